"""Each cut, slowing and mending, proven by bytes that cross or do not."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import subprocess
import time
from collections.abc import AsyncIterator

import pytest

from harness.errors import ProxyError, StartError, UsageError
from harness.runtime import _nft
from harness.runtime._hub_client import Hub
from harness.runtime._links import ProxyLink
from harness.runtime._runtime import SystemRuntime
from harness.runtime.contract import How, Impairment, Way
from harness.runtime.journal import undo
from harness.runtime.processes import Processes
from harness.runtime.proxy import ProxyHangs, Toxic

from .conftest import both
from .ears import Ears
from .world import Lines, Wire

KEY = ("load", "broker-0")


@pytest.fixture
def link(alone: SystemRuntime) -> ProxyLink:
    return alone.links[KEY]


@pytest.fixture
async def wire(link: ProxyLink) -> AsyncIterator[Wire]:
    wire = await Wire.dial((link.host, link.port))
    await asyncio.sleep(0.05)  # the kernel may put off an acknowledgement by 40 ms
    yield wire
    await wire.close()


@pytest.fixture
async def ears(alone: SystemRuntime) -> AsyncIterator[Ears]:
    """Our own target behind the link, in the broker's place."""
    await alone.nodes["broker-0"].kill()
    await alone.links[KEY].open()
    async with Ears.listening(alone.links[KEY].upstream_port) as ears:
        yield ears


@both
async def test_bytes_cross_and_are_counted(link: ProxyLink, wire: Wire) -> None:
    before = await link.crossed()
    assert before.to_in == before.to_out
    assert before.from_in == before.from_out
    await wire.answer()
    await asyncio.sleep(0.05)
    after = await link.crossed()
    assert [now - then for now, then in zip(after, before, strict=True)] == [6, 6, 6, 6]
    sides = {one.local.partition(":")[2]: one for one in await link.own_sockets()}
    assert sides[str(link.port)].state == "ESTABLISHED"
    upstream = next(one for port, one in sides.items() if port != str(link.port))
    assert upstream.remote.endswith(f":{link.upstream_port}")


@both
async def test_frozen_both_ways_holds_bytes_and_keeps_connections(link: ProxyLink, wire: Wire, lines: Lines) -> None:
    asked = time.monotonic_ns()
    cut = await link.cut("frozen")
    assert link.proxy_state() == "T"
    assert asked < cut <= time.monotonic_ns()
    wire.ping()
    assert not await wire.pong(0.2)
    mended = await link.mend()
    assert await wire.pong()
    assert mended > cut
    assert "T" not in link.proxy_state()
    events = [(line["event"], line["t_ns"]) for line in lines.of("link")][-2:]
    assert events == [("cut", cut), ("mended", mended)]
    assert not lines.of("trouble")


@pytest.mark.parametrize("way", ["to", "from"])
@both
async def test_frozen_one_way_holds_that_way_alone(link: ProxyLink, wire: Wire, way: Way) -> None:
    before = await link.crossed()
    await link.cut("frozen", way)
    wire.ping()
    assert not await wire.pong(0.2)
    to_out, from_out = (await link.crossed()).to_out - before.to_out, (await link.crossed()).from_out - before.from_out
    assert (to_out, from_out) == ((0, 0) if way == "to" else (6, 0))
    await link.mend()
    assert await wire.pong()


@pytest.mark.parametrize("way", ["both", "to", "from"])
@both
async def test_silent_loses_bytes(link: ProxyLink, wire: Wire, way: Way) -> None:
    before = await link.crossed()
    await link.cut("silent", way)
    wire.ping()
    assert not await wire.pong(0.2)
    after = await link.crossed()
    assert after.to_in - before.to_in == 6
    assert after.to_out - before.to_out == (6 if way == "from" else 0)
    assert after.from_out == before.from_out
    await link.mend()
    assert await wire.ended()
    fresh = await Wire.dial((link.host, link.port))
    assert await fresh.answer() < 1000
    await fresh.close()
    assert {toxic["type"] for toxic in await link.toxics()} == {"latency", "bandwidth"}


@both
async def test_refused_ends_connections_and_refuses_new_ones(link: ProxyLink, wire: Wire) -> None:
    await link.cut("refused")
    assert link.refusing
    assert await wire.ended()
    with pytest.raises(ConnectionRefusedError):
        await Wire.dial((link.host, link.port))
    await link.mend()
    assert not link.refusing
    fresh = await Wire.dial((link.host, link.port))
    await fresh.close()


@pytest.mark.parametrize("how", ["refused", "reset"])
async def test_what_has_no_ways_is_told(link: ProxyLink, how: How) -> None:
    with pytest.raises(UsageError):
        await link.cut(how, "to")


async def test_a_dead_node_s_link_is_not_opened_by_mending_it_nor_mended_by_opening_it(link: ProxyLink) -> None:
    await link.cut("refused")
    await link.refuse()
    await link.mend()
    with pytest.raises(ConnectionRefusedError):
        await Wire.dial((link.host, link.port))
    await link.cut("refused")
    await link.open()
    with pytest.raises(ConnectionRefusedError):
        await Wire.dial((link.host, link.port))
    await link.mend()
    fresh = await Wire.dial((link.host, link.port))
    await fresh.close()


async def test_reset_is_seen_by_both_ends_of_idle_connections_too(link: ProxyLink, ears: Ears) -> None:
    busy, idle = [await ears.pair(link) for _ in range(2)]
    await busy.cross()
    cut = await link.cut("reset")
    ends = [await end.how() for pair in (busy, idle) for end in (pair.near, pair.far)]
    assert ends == ["ECONNRESET"] * 4
    fresh = await ears.pair(link)
    await fresh.cross()
    assert cut <= time.monotonic_ns()
    assert not link.refusing
    assert {toxic["type"] for toxic in await link.toxics()} == {"latency", "bandwidth"}


async def test_a_close_without_reset_is_seen_as_one(link: ProxyLink, ears: Ears) -> None:
    """The control: what shows a reset shows a clean end for what it is."""
    pair = await ears.pair(link)
    await link.cut("refused")
    assert [await end.how() for end in (pair.near, pair.far)] == ["EOF", "EOF"]
    await link.mend()


async def test_new_connections_are_reset_while_asked(link: ProxyLink, ears: Ears) -> None:
    old = await ears.pair(link)
    await old.cross()
    await link.cut("reset", new=True)
    assert [await end.how() for end in (old.near, old.far)] == ["ECONNRESET", "ECONNRESET"]
    pair = await ears.pair(link)
    pair.near.send(b"x")
    assert [await end.how() for end in (pair.near, pair.far)] == ["ECONNRESET", "ECONNRESET"]
    await link.mend()
    fresh = await ears.pair(link)
    await fresh.cross()


async def test_a_reset_that_was_cancelled_leaves_the_link_open(link: ProxyLink) -> None:
    for delay_s in (0, 0.001, 0.002, 0.004):
        cut = asyncio.ensure_future(link.cut("reset"))
        await asyncio.sleep(delay_s)
        cut.cancel()
        await asyncio.wait([cut])
        await link.mend()
        fresh = await Wire.dial((link.host, link.port))
        await fresh.close()


@pytest.mark.parametrize(
    ("toxic", "attributes"),
    [
        ("slicer", {"average_size": 10, "size_variation": 0, "delay": 20_000}),
        ("limit_data", {"bytes": 100}),
        ("slow_close", {"delay": 200}),
    ],
)
async def test_toxics_are_added_to_both_ways_and_removed(
    link: ProxyLink, toxic: Impairment, attributes: dict[str, int]
) -> None:
    await link.impair(toxic, attributes)
    added = [one for one in await link.toxics() if one["type"] == toxic]
    assert sorted((one["stream"], one["attributes"] == attributes) for one in added) == [
        ("downstream", True),
        ("upstream", True),
    ]
    await link.mend()
    assert {one["type"] for one in await link.toxics()} == {"latency", "bandwidth"}


async def test_a_proxy_outlives_the_mending_of_many_connections_that_hold_bytes(link: ProxyLink, ears: Ears) -> None:
    """Toxiproxy panics where a rate is changed under a chunk that it holds; each connection is one more chance."""
    pid = link.proxy_pid
    pairs = [await ears.pair(link) for _ in range(40)]
    for _ in range(6):
        await link.cut("frozen", "to")
        for n, pair in enumerate(pairs):
            pair.near.send(b"x" * 100)
            if n % 10 == 0:
                await asyncio.sleep(0.01)  # so that not all of them wait for the same moment
        await asyncio.sleep(0.05)
        await link.slow(rate_bytes_s=100_000, way="to")
        await link.mend()
        for pair in pairs:
            assert len(await pair.far.read(100)) == 100
    assert link.proxy_pid == pid


async def test_slicer_lets_slices_through_one_after_the_other(link: ProxyLink, ears: Ears) -> None:
    pair = await ears.pair(link)
    await link.impair("slicer", {"average_size": 10, "size_variation": 0, "delay": 30_000}, "to")
    started = time.monotonic()
    pair.near.send(b"x" * 40)
    assert await pair.far.read(40) == b"x" * 40
    assert time.monotonic() - started >= 3 * 0.03
    await link.mend()
    await pair.cross()


async def test_data_limit_ends_a_connection_in_the_middle_of_what_it_carries(link: ProxyLink, ears: Ears) -> None:
    old = await ears.pair(link)
    await old.cross()
    await link.impair("limit_data", {"bytes": 25}, "to")
    for pair in (old, await ears.pair(link)):
        pair.near.send(b"x" * 40)
        assert await pair.far.read(40) == b"x" * 25
        assert await pair.far.how() == "EOF"
    await link.mend()
    await (await ears.pair(link)).cross()


async def test_slow_close_holds_a_close_back(link: ProxyLink, ears: Ears) -> None:
    pair = await ears.pair(link)
    await link.impair("slow_close", {"delay": 300})
    started = time.monotonic()
    pair.near.close()
    assert await pair.far.how() == "EOF"
    assert time.monotonic() - started >= 0.3
    await link.mend()


needs_nft = pytest.mark.skipif("not _can_lose()", reason="losing packets needs root and nft")


@needs_nft
@pytest.mark.parametrize("way", ["both", "to", "from"])
@both
async def test_lost_packets_are_counted_and_come_again(link: ProxyLink, wire: Wire, lines: Lines, way: Way) -> None:
    await link.lose(1, way)
    wire.ping()
    assert not await wire.pong(0.3)
    await link.mend()
    assert await wire.pong(10)  # TCP's back-off
    (lost,) = lines.of("link", event="lost")
    assert isinstance(lost["dropped"], int)
    assert lost["seen"] == lost["dropped"] >= 1
    assert not _tables(link)


@needs_nft
async def test_a_share_of_the_packets_is_lost(link: ProxyLink, ears: Ears, lines: Lines) -> None:
    pair = await ears.pair(link)
    await link.lose(0.1)
    for _ in range(60):
        await pair.cross()
    await link.mend()
    (lost,) = lines.of("link", event="lost")
    assert isinstance(lost["dropped"], int)
    assert isinstance(lost["seen"], int)
    assert 0 < lost["dropped"] < lost["seen"]


@needs_nft
@both
async def test_a_loss_that_was_cancelled_leaves_no_rules(link: ProxyLink) -> None:
    for delay_s in (0, 0.001, 0.003, 0.01):
        loss = asyncio.ensure_future(link.lose(1))
        await asyncio.sleep(delay_s)
        loss.cancel()
        await asyncio.wait([loss])
        await link.mend()
        assert not _tables(link)
        fresh = await Wire.dial((link.host, link.port))
        await fresh.close()


@needs_nft
async def test_a_killed_runner_s_rules_are_undone_by_its_journal(link: ProxyLink, alone: Processes) -> None:
    await link.lose(1)
    assert len(_tables(link)) == 1
    done = undo(alone.journal.path)
    assert any(removed.startswith("nft table nats_harness_") for removed in done.removed)
    assert not done.left
    assert not _tables(link)


def test_where_packets_cannot_be_lost_it_is_told(link: ProxyLink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_nft, "NFT", "no-such-nft")
    with pytest.raises(UsageError, match="nftables"):
        link.can_lose()


def _can_lose() -> bool:
    try:
        _nft.check()
    except UsageError:
        return False
    return True


def _tables(link: ProxyLink) -> list[str]:
    """Ours, where the link's proxy lives."""
    where: _nft.Where = ()
    ours = f"nats_harness_{os.getpid()}_"
    if isinstance(link._proxy_host, Hub):
        where, ours = link._proxy_host._network, "nats_harness_"
    listed = subprocess.run([*where, _nft.NFT, "list", "tables"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if ours in line]


@pytest.mark.parametrize(("way", "round_ms"), [("both", 80), ("to", 40), ("from", 40)])
@both
async def test_slow_delays_what_it_says(link: ProxyLink, wire: Wire, way: Way, round_ms: int) -> None:
    await link.slow(latency_ms=40, way=way)
    under = statistics.median([await wire.answer() for _ in range(3)])
    await link.mend()
    after = statistics.median([await wire.answer() for _ in range(3)])
    assert 0.8 * round_ms <= under < round_ms + 40
    assert after < 20


async def test_slow_limits_bytes_a_second(link: ProxyLink, wire: Wire) -> None:
    await link.slow(rate_bytes_s=20_000, way="to")
    before = await link.crossed()
    wire.send(b"PUB a 40000\r\n" + b"x" * 40_000 + b"\r\n")
    await asyncio.sleep(1)
    crossed = (await link.crossed()).to_out - before.to_out
    assert 5_000 < crossed < 1.2 * 20_000
    await link.mend()
    await wire.answer()


@both
async def test_a_proxy_that_hangs_is_replaced_and_told_again(link: ProxyLink, wire: Wire, lines: Lines) -> None:
    pid = link.proxy_pid
    os.kill(pid, signal.SIGSTOP)  # behind the link's back: its API hangs
    await link.cut("silent")
    assert link.proxy_pid != pid
    assert await wire.ended()
    assert {"timeout_to", "timeout_from"} <= {toxic["name"] for toxic in await link.toxics()}
    (trouble,) = lines.of("trouble", name="proxy replaced")
    assert trouble["links"] == [list(KEY)]
    await link.mend()
    fresh = await Wire.dial((link.host, link.port))
    await fresh.close()


@both
async def test_a_proxy_that_died_is_replaced(link: ProxyLink, lines: Lines) -> None:
    os.kill(link.proxy_pid, signal.SIGKILL)
    await link.cut("frozen")
    assert link.proxy_state() == "T"
    await link.mend()
    fresh = await Wire.dial((link.host, link.port))
    await fresh.close()
    assert lines.of("trouble", name="proxy replaced")


async def test_replace_keeps_refusing(link: ProxyLink) -> None:
    await link.refuse()
    await link.replace()
    with pytest.raises(ConnectionRefusedError):
        await Wire.dial((link.host, link.port))
    await link.open()
    started = time.monotonic()
    await link.replace()
    fresh = await Wire.dial((link.host, link.port))
    assert time.monotonic() - started < 1
    await fresh.close()


async def test_a_cut_that_was_cancelled_is_mended(link: ProxyLink, wire: Wire) -> None:
    for delay_s in (0, 0.0005, 0.001, 0.002):
        cut = asyncio.ensure_future(link.cut("silent"))
        await asyncio.sleep(delay_s)
        cut.cancel()
        await asyncio.wait([cut])
        await link.mend()
        fresh = await Wire.dial((link.host, link.port))
        await fresh.answer()
        await fresh.close()


async def test_a_cut_that_was_cancelled_on_its_way_never_comes_after_the_mending(link: ProxyLink, wire: Wire) -> None:
    for _ in range(8):
        os.kill(link.proxy_pid, signal.SIGSTOP)  # the order lies in the proxy's socket while the cut is given up
        while link.proxy_state() != "T":
            await asyncio.sleep(0.001)
        cut = asyncio.ensure_future(link.cut("silent"))
        await asyncio.sleep(0.02)
        cut.cancel()
        mended = asyncio.ensure_future(link.mend())
        await asyncio.sleep(0.02)
        os.kill(link.proxy_pid, signal.SIGCONT)
        await asyncio.wait([cut])
        await mended
        assert not {"timeout_to", "timeout_from"} & {toxic["name"] for toxic in await link.toxics()}
    assert cut.cancelled()
    fresh = await Wire.dial((link.host, link.port))
    await fresh.close()


async def test_an_interrupted_replacement_is_made_good(link: ProxyLink) -> None:
    for delay_s in (0.001, 0.01, 0.02):
        replaced = asyncio.ensure_future(link.replace())
        await asyncio.sleep(delay_s)
        replaced.cancel()
        await asyncio.wait([replaced])
        await link.open()
        fresh = await Wire.dial((link.host, link.port))
        await fresh.close()


async def test_what_is_asked_of_a_frozen_link_is_done_when_it_is_mended(link: ProxyLink) -> None:
    await link.cut("frozen")
    await link.refuse()
    assert link.proxy_state() == "T"
    await link.mend()
    with pytest.raises(ConnectionRefusedError):
        await Wire.dial((link.host, link.port))


@both
async def test_subscribers_hear_the_proxy_log(link: ProxyLink) -> None:
    heard: list[tuple[int, str]] = []
    stop = link.subscribe(lambda t_ns, line: heard.append((t_ns, str(line.get("message")))))
    wire = await Wire.dial((link.host, link.port))
    before = time.monotonic_ns()
    await wire.close()
    await asyncio.sleep(0.05)
    messages = [message for _, message in heard]
    assert "Accepted client" in messages
    assert any("RemoveConnection" in message for message in messages)
    assert all(before - 5e9 < t_ns < before + 1e9 for t_ns, _ in heard)
    stop()
    count = len(heard)
    await (await Wire.dial((link.host, link.port))).close()
    assert len(heard) == count


async def test_what_a_proxy_did_not_take_as_asked_is_an_error(link: ProxyLink) -> None:
    with pytest.raises(ProxyError, match="should be"):
        await link._api.update(Toxic("latency_to", "latency", "upstream", {"latncy": 10}))
    with pytest.raises(ProxyError, match="404"):
        await link._api.update(Toxic("nothing", "latency", "upstream", {"latency": 10, "jitter": 0}))
    with pytest.raises(ProxyError, match="400"):
        await link._api.add(Toxic("odd", "no such kind", "upstream", {}))


async def test_both_ways_to_the_api_have_deadlines(link: ProxyLink) -> None:
    os.kill(link.proxy_pid, signal.SIGSTOP)
    for call in (link._api.toxics, link._api.state):
        started = time.monotonic()
        with pytest.raises(ProxyHangs):
            await call()
        assert time.monotonic() - started < 2
    os.kill(link.proxy_pid, signal.SIGCONT)
    assert (await link._api.state()).enabled


async def test_taken_ports_are_told(alone: SystemRuntime, link: ProxyLink, lines: Lines) -> None:
    assert isinstance(alone, Processes)
    assert alone._ports is not None
    (free,) = alone._ports.reserve(1)
    for port, api_port in ((link.upstream_port, free), (free, link.upstream_port)):
        other = ProxyLink(
            ("load", "other"),
            scheme="nats",
            listen=("127.0.0.1", port),
            api=("127.0.0.1", api_port),
            upstream=("127.0.0.1", link.upstream_port),
            host=link._proxy_host,
            recorder=lines,
        )

        async def make_and_open(other: ProxyLink = other) -> None:
            await other.make()
            await other.open()

        with pytest.raises((StartError, ProxyError), match="address already in use"):
            await make_and_open()
        assert other.process is not None
        await other.process.kill()
        other.process.close()
