"""A link's proxy that hangs, dies or is told too late; what was asked of it is done all the same."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest

from harness.errors import ProxyError, StartError
from harness.runtime._links import ProxyLink
from harness.runtime._runtime import SystemRuntime
from harness.runtime.processes import Processes
from harness.runtime.proxy import ProxyHangs, Toxic
from tests.stopping import stand_still

from .conftest import both
from .world import Lines, Wire, cancelled


@both
async def test_a_proxy_that_hangs_is_replaced_and_told_again(link: ProxyLink, wire: Wire, lines: Lines) -> None:
    pid = link.proxy_pid
    stand_still(pid)  # behind the link's back: its API hangs
    await link.cut("silent")
    assert link.proxy_pid != pid
    assert await wire.ended()
    assert {"timeout_to", "timeout_from"} <= {toxic["name"] for toxic in await link.toxics()}
    (trouble,) = lines.of("trouble", name="proxy replaced")
    assert trouble["links"] == [["load", "broker-0"]]
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
        await cancelled(link.cut("silent"), after_s=delay_s)
        await link.mend()
        fresh = await Wire.dial((link.host, link.port))
        await fresh.answer()
        await fresh.close()


async def test_a_cut_that_was_cancelled_on_its_way_never_comes_after_the_mending(link: ProxyLink, wire: Wire) -> None:
    for _ in range(8):
        stand_still(link.proxy_pid)  # the order lies in the proxy's socket while the cut is given up
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
        await cancelled(link.replace(), after_s=delay_s)
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
    stand_still(link.proxy_pid)
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
