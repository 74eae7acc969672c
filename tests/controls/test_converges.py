"""Controls of coming back to what was before: the backlog drains, and rate and latency are as they were."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import Run, converges
from harness.history.reader import History

from .control import Came, came_of

pytestmark = pytest.mark.timed
DRAINED, RATE, LATENCY = ("converges.drained", "converges.rate", "converges.latency")
NS = 1_000_000_000


async def killed(run: Run) -> None:
    """The broker dies, and another stands in its place; the load goes on for long enough to be compared."""
    async with run.load():
        await run.steady(2.2)
        async with run.faults.kill(run.broker):
            await run.steady(1)
        await run.recovered(3)
        await run.steady(2.2)
    run.expect(converges())


async def slowed(run: Run) -> None:
    """Work goes on, a little slower, and is accepted all the while."""
    async with run.load():
        await run.steady(2.2)
        async with run.faults.latency(run.workers[0], run.broker, latency_ms=50):
            await run.steady(2)
        await run.recovered(5)
        await run.steady(2.2)
    run.expect(converges())


def at_the_end(came: Came) -> set[str]:
    """The operations of the load's last two seconds."""
    lines = History.open(came.folder / "history").lines("load")
    (until,) = [line["t_ns"] for line in lines if line["event"] == "stopping"]
    return came.of_history(lambda operation: until - 2 * NS <= operation.intended_ns <= until)


def accepted_before_healing(came: Came) -> set[str]:
    (span,) = History.open(came.folder / "history").faults()
    healed = span.healed_ns or 0
    return came.of_history(lambda operation: 0 < (operation.end_ns or 0) <= healed and operation.outcome == "ok")


async def test_the_pure_system_works_as_before(tmp_path: Path) -> None:
    came = await came_of(killed, tmp_path, sins="none")
    came.must_have_bitten("kill")
    came.must("holds", DRAINED, RATE, LATENCY, "no_loss", "effects")
    assert came.finding(DRAINED)["counted"] >= 100
    assert came.finding(RATE)["counted"] >= 150
    assert came.verdict["as_expected"]


async def test_the_pure_system_drains_what_was_slow(tmp_path: Path) -> None:
    came = await came_of(slowed, tmp_path, sins="none")
    came.must_have_bitten("latency")
    came.must("holds", DRAINED, RATE, "no_loss", "effects")


async def test_work_that_is_never_done_never_drains(tmp_path: Path) -> None:
    came = await came_of(slowed, tmp_path, sins="lose")
    came.must_have_bitten("latency")
    came.must_name(DRAINED, came.confessed("lose") & accepted_before_healing(came))
    assert "never ended, and 0 too late" in came.finding(DRAINED)["reason"]


async def test_work_that_is_done_too_late_drains_too_late(tmp_path: Path) -> None:
    """Told 3 s after it was accepted: too late where that was in the second before the healing, and nowhere lost."""
    came = await came_of(slowed, tmp_path, sins="late", settles_s=5.5)
    came.must_have_bitten("latency")
    came.must("violated", DRAINED)
    finding = came.finding(DRAINED)
    assert set(finding["ops"]) <= came.confessed("late") & accepted_before_healing(came)
    assert len(finding["ops"]) == finding["ops_total"] >= 2
    assert " 0 never ended, and " in finding["reason"]
    assert 1 < finding["measured"] < 6
    came.must("holds", "no_loss")


async def test_a_system_that_does_half_as_much(tmp_path: Path) -> None:
    came = await came_of(killed, tmp_path, sins="weary")
    came.must_have_bitten("kill")
    came.must_name(RATE, came.confessed("weary") & at_the_end(came))
    assert 0.3 < came.finding(RATE)["measured"] < 0.7
    came.must("holds", DRAINED, "no_loss", "effects")


async def test_a_system_that_is_slower_for_good(tmp_path: Path) -> None:
    came = await came_of(killed, tmp_path, sins="slack")
    came.must_have_bitten("kill")
    came.must_name(LATENCY, came.confessed("slack") & at_the_end(came))
    assert came.finding(LATENCY)["measured"] >= 600
    came.must("holds", DRAINED, RATE, "no_loss", "effects")
