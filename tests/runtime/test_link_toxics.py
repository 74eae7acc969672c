"""What slows a link or spoils it, proven by bytes that cross late, few or in pieces."""

from __future__ import annotations

import asyncio
import time

import pytest

from harness.runtime._links import ProxyLink
from harness.runtime.contract import Impairment, Way

from .conftest import both
from .ears import Ears
from .world import Wire


@pytest.mark.parametrize(("way", "round_ms"), [("both", 80), ("to", 40), ("from", 40)])
@both
async def test_slow_delays_what_it_says(link: ProxyLink, wire: Wire, way: Way, round_ms: int) -> None:
    """By the fastest of some answers: what they share is of the link, what they have more is of this machine."""
    await link.slow(latency_ms=40, way=way)
    under = min([await wire.answer() for _ in range(5)])
    await link.mend()
    after = min([await wire.answer() for _ in range(5)])
    assert round_ms <= under < round_ms + 40
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
