"""Each cut, slowing and mending, proven by bytes that cross or do not."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import time
from collections.abc import AsyncIterator

import pytest

from harness.errors import ProxyError, StartError, UsageError
from harness.runtime._links import ProxyLink
from harness.runtime.contract import Way
from harness.runtime.processes import Processes
from harness.runtime.proxy import ProxyHangs, Toxic

from .world import Lines, Wire

KEY = ("load", "broker-0")


@pytest.fixture
def link(alone: Processes) -> ProxyLink:
    return alone.links[KEY]


@pytest.fixture
async def wire(link: ProxyLink) -> AsyncIterator[Wire]:
    wire = await Wire.dial(link.port)
    await asyncio.sleep(0.05)  # the kernel may put off an acknowledgement by 40 ms
    yield wire
    await wire.close()


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
    assert upstream.remote == f"127.0.0.1:{link.upstream_port}"


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
    fresh = await Wire.dial(link.port)
    assert await fresh.answer() < 1000
    await fresh.close()
    assert {toxic["type"] for toxic in await link.toxics()} == {"latency", "bandwidth"}


async def test_refused_ends_connections_and_refuses_new_ones(link: ProxyLink, wire: Wire) -> None:
    await link.cut("refused")
    assert link.refusing
    assert await wire.ended()
    with pytest.raises(ConnectionRefusedError):
        await Wire.dial(link.port)
    await link.mend()
    assert link.refusing
    await link.open()
    fresh = await Wire.dial(link.port)
    await fresh.close()
    with pytest.raises(UsageError):
        await link.cut("refused", "to")


@pytest.mark.parametrize(("way", "round_ms"), [("both", 80), ("to", 40), ("from", 40)])
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


async def test_a_proxy_that_hangs_is_replaced_and_told_again(link: ProxyLink, wire: Wire, lines: Lines) -> None:
    pid = link.proxy_pid
    os.kill(pid, signal.SIGSTOP)  # behind the link's back: its API hangs
    await link.cut("silent")
    assert link.proxy_pid != pid
    assert await wire.ended()
    assert {"silence_to", "silence_from"} <= {toxic["name"] for toxic in await link.toxics()}
    (trouble,) = lines.of("trouble", name="proxy replaced")
    assert trouble["links"] == [list(KEY)]
    await link.mend()
    fresh = await Wire.dial(link.port)
    await fresh.close()


async def test_a_proxy_that_died_is_replaced(link: ProxyLink, lines: Lines) -> None:
    os.kill(link.proxy_pid, signal.SIGKILL)
    await link.cut("frozen")
    assert link.proxy_state() == "T"
    await link.mend()
    fresh = await Wire.dial(link.port)
    await fresh.close()
    assert lines.of("trouble", name="proxy replaced")


async def test_replace_keeps_refusing(link: ProxyLink) -> None:
    await link.refuse()
    await link.replace()
    with pytest.raises(ConnectionRefusedError):
        await Wire.dial(link.port)
    await link.open()
    started = time.monotonic()
    await link.replace()
    fresh = await Wire.dial(link.port)
    assert time.monotonic() - started < 1
    await fresh.close()


async def test_a_cut_that_was_cancelled_is_mended(link: ProxyLink, wire: Wire) -> None:
    for delay_s in (0, 0.0005, 0.001, 0.002):
        cut = asyncio.ensure_future(link.cut("silent"))
        await asyncio.sleep(delay_s)
        cut.cancel()
        await asyncio.wait([cut])
        await link.mend()
        fresh = await Wire.dial(link.port)
        await fresh.answer()
        await fresh.close()


async def test_a_cut_that_was_cancelled_on_its_way_never_comes_after_the_mending(link: ProxyLink, wire: Wire) -> None:
    for _ in range(8):
        os.kill(link.proxy_pid, signal.SIGSTOP)  # the order lies in the proxy's socket while the cut is given up
        cut = asyncio.ensure_future(link.cut("silent"))
        await asyncio.sleep(0.02)
        cut.cancel()
        mended = asyncio.ensure_future(link.mend())
        await asyncio.sleep(0.02)
        os.kill(link.proxy_pid, signal.SIGCONT)
        await asyncio.wait([cut])
        await mended
        assert not {"silence_to", "silence_from"} & {toxic["name"] for toxic in await link.toxics()}
    assert cut.cancelled()
    fresh = await Wire.dial(link.port)
    await fresh.close()


async def test_an_interrupted_replacement_is_made_good(link: ProxyLink) -> None:
    for delay_s in (0.001, 0.01, 0.02):
        replaced = asyncio.ensure_future(link.replace())
        await asyncio.sleep(delay_s)
        replaced.cancel()
        await asyncio.wait([replaced])
        await link.open()
        fresh = await Wire.dial(link.port)
        await fresh.close()


async def test_what_is_asked_of_a_frozen_link_is_done_when_it_is_mended(link: ProxyLink) -> None:
    await link.cut("frozen")
    await link.refuse()
    assert link.proxy_state() == "T"
    await link.mend()
    with pytest.raises(ConnectionRefusedError):
        await Wire.dial(link.port)


async def test_subscribers_hear_the_proxy_log(link: ProxyLink) -> None:
    heard: list[tuple[int, str]] = []
    stop = link.subscribe(lambda t_ns, line: heard.append((t_ns, str(line.get("message")))))
    wire = await Wire.dial(link.port)
    before = time.monotonic_ns()
    await wire.close()
    await asyncio.sleep(0.05)
    messages = [message for _, message in heard]
    assert "Accepted client" in messages
    assert any("RemoveConnection" in message for message in messages)
    assert all(before - 5e9 < t_ns < before + 1e9 for t_ns, _ in heard)
    stop()
    count = len(heard)
    await (await Wire.dial(link.port)).close()
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


async def test_taken_ports_are_told(alone: Processes, link: ProxyLink, lines: Lines) -> None:
    (free,) = alone._ports.reserve(1)  # type: ignore[union-attr]
    for port, api_port in ((link.upstream_port, free), (free, link.upstream_port)):
        other = ProxyLink(
            ("load", "other"),
            scheme="nats",
            port=port,
            api_port=api_port,
            upstream_port=link.upstream_port,
            binary=alone.links[KEY]._binary,
            env={},
            journal=alone.journal,
            recorder=lines,
        )

        async def make_and_open(other: ProxyLink = other) -> None:
            await other.make()
            await other.open()

        with pytest.raises((StartError, ProxyError), match="address already in use"):
            await make_and_open()
        assert other.child is not None
        await other.child.kill()
        other.child.close()
