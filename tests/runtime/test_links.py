"""Each cut and its mending, proven by bytes that cross or do not."""

from __future__ import annotations

import asyncio
import time

import pytest

from harness.errors import UsageError
from harness.runtime._links import ProxyLink
from harness.runtime.contract import How, Way

from .conftest import both
from .ears import Ears
from .world import Lines, Wire, cancelled


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
        await cancelled(link.cut("reset"), after_s=delay_s)
        await link.mend()
        fresh = await Wire.dial((link.host, link.port))
        await fresh.close()
