"""Controls of reconnecting, under real faults: the pure system notices, comes back and works; each sin misses one.

Both clients of it are hit: the entry, which is seen to work by what it accepts, and the worker, by its deeds.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import Run, reconnects
from harness.runtime.contract import Node

from .control import BOUND_S, Came, came_of

pytestmark = pytest.mark.timed
NOTICES, RECONNECTS, WORKS = ("reconnects.notices", "reconnects.reconnects", "reconnects.works")
COUNTED = ("no_loss", "no_phantoms", "effects")
UNTOLD_S = BOUND_S + 1.1
"""How long a fault that tells nobody must last, for noticing to be judged."""
AFTER_S = BOUND_S + 0.5
"""How long a client that does not come back is waited for."""


async def silent_worker(run: Run) -> None:
    """The worker's line is cut, and nobody is told."""
    await cut(run, run.workers[0])


async def silent_entry(run: Run) -> None:
    """The entry's line is cut, and nobody is told."""
    await cut(run, run.entry)


async def cut(run: Run, client: Node | None) -> None:
    async with run.load():
        await run.steady(1)
        async with run.faults.silent(client, run.broker):
            await run.steady(UNTOLD_S)
        await run.recovered(AFTER_S)
    run.expect(reconnects())


async def silent_both(run: Run) -> None:
    """Both lines are cut, and nobody is told."""
    async with run.load():
        await run.steady(1)
        async with run.faults.silent(run.entry, run.broker), run.faults.silent(run.workers[0], run.broker):
            await run.steady(UNTOLD_S)
        await run.recovered(AFTER_S)
    run.expect(reconnects())


async def paused(run: Run) -> None:
    """The broker stops, keeps its connections, and goes on."""
    async with run.load():
        await run.steady(1)
        async with run.faults.pause(run.broker):
            await run.steady(UNTOLD_S)
        await run.recovered(AFTER_S)
    run.expect(reconnects())


async def killed(run: Run) -> None:
    """The broker dies, and another stands in its place."""
    async with run.load():
        await run.steady(1)
        async with run.faults.kill(run.broker):
            await run.steady(2)
        await run.recovered(AFTER_S)
    run.expect(reconnects())


def of_links(came: Came, clause: str, *, late: tuple[str, ...], of: int) -> None:
    """The clause is about so many links, and violated by these alone: they never did what was promised."""
    came.must("violated", clause)
    finding = came.finding(clause)
    assert finding["counted"] == of
    told = [part.split() for part in finding["reason"].split("; ")]
    assert sorted((who, how.strip(",")) for who, how, *_ in told) == sorted((link, "never") for link in late)
    assert finding["measured"] > finding["bound"] == BOUND_S


async def test_the_pure_system_comes_back_to_silent_links(tmp_path: Path) -> None:
    came = await came_of(silent_both, tmp_path, sins="none")
    came.must_have_bitten("silent", "silent")
    came.must("holds", NOTICES, RECONNECTS, WORKS, *COUNTED)
    assert {came.finding(clause)["counted"] for clause in (NOTICES, RECONNECTS, WORKS)} == {2}
    assert came.finding(NOTICES)["measured"] > 0.2  # it pings every 0.3 s
    assert came.finding("available.failed")["measured"] > 0.5  # what is refused meanwhile is measured, not judged
    assert came.verdict["as_expected"]


async def test_the_pure_system_comes_back_to_a_new_broker(tmp_path: Path) -> None:
    came = await came_of(killed, tmp_path, sins="none")
    came.must_have_bitten("kill")
    came.must("holds", NOTICES, RECONNECTS, WORKS, *COUNTED)
    assert came.finding(NOTICES)["reason"].startswith("told: ")
    assert came.finding(NOTICES)["bound"] is None
    assert {came.finding(clause)["counted"] for clause in (RECONNECTS, WORKS)} == {2}


async def test_the_pure_system_comes_back_to_a_broker_that_stopped(tmp_path: Path) -> None:
    came = await came_of(paused, tmp_path, sins="none")
    came.must_have_bitten("pause")
    came.must("holds", NOTICES, RECONNECTS, WORKS, *COUNTED)
    assert {came.finding(clause)["counted"] for clause in (NOTICES, RECONNECTS, WORKS)} == {2}
    assert came.finding(NOTICES)["measured"] > 0.2


async def test_who_pings_nobody_does_not_notice(tmp_path: Path) -> None:
    """A paused broker goes on where it stopped, so that the deaf are back at once, and never knew."""
    came = await came_of(paused, tmp_path, sins="deaf")
    came.must_have_bitten("pause")
    of_links(came, NOTICES, late=("web-0", "hand-0"), of=2)
    came.must("holds", RECONNECTS, WORKS, *COUNTED)
    assert came.finding(RECONNECTS)["measured"] == 0


async def test_who_gives_up_does_not_reconnect(tmp_path: Path) -> None:
    came = await came_of(killed, tmp_path, sins="gone")
    came.must_have_bitten("kill")
    of_links(came, RECONNECTS, late=("web-0", "hand-0"), of=2)
    of_links(came, WORKS, late=("web-0", "hand-0"), of=2)
    came.must("holds", NOTICES, *COUNTED)


async def test_an_entry_that_came_back_and_works_no_more(tmp_path: Path) -> None:
    came = await came_of(silent_entry, tmp_path, sins="idle")
    came.must_have_bitten("silent")
    came.must("holds", NOTICES, RECONNECTS, *COUNTED)
    of_links(came, WORKS, late=("web-0",), of=1)


async def test_a_worker_that_came_back_and_works_no_more(tmp_path: Path) -> None:
    came = await came_of(silent_worker, tmp_path, sins="idle")
    came.must_have_bitten("silent")
    came.must("holds", NOTICES, RECONNECTS, *COUNTED)
    of_links(came, WORKS, late=("hand-0",), of=1)
