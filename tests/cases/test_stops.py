"""Workers that are asked to stop with work in their hands."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import Run, drains, redelivers
from harness.history.reader import History
from harness.history.rows import Step
from tests.controls.control import Came

from .case import CASES, accepted, done, markers, outputs, refused, seen

ACK_WAIT_S = 4
"""Of the hands' consumer, in held.toml."""
pytestmark = pytest.mark.timed

# ---- CB-48: what a worker held when it closed its client ------------------------------------------------------------


async def holding(run: Run) -> None:
    """A hand closes its client while it has fetched jobs that it has not done, and is dead soon after."""
    async with run.load():
        await run.steady(1.5)
        async with run.faults.burst(times=12, seconds=0.6):
            await run.steady(1.4)
            async with run.faults.terminate(run.workers[0]):
                await run.steady(0.2)
        await run.recovered(8)
    run.expect(redelivers())


async def test_what_a_closed_client_held_waits_for_the_time_to_acknowledge(tmp_path: Path) -> None:
    """That its client is gone is no reason for the broker to give its jobs to another: their time is."""
    came = await CASES["CB-48"].as_reported(holding, tmp_path)
    came.must_have_bitten("burst", "terminate")
    again = given_again(came)
    assert len(again) == 10
    came.must_name("redelivers.again", set(again))
    assert all(ACK_WAIT_S - 0.05 <= waited_s <= ACK_WAIT_S + 2 for waited_s in again.values()), again
    came.must("holds", "no_loss", "effects")


async def test_who_promises_no_more_than_the_time_to_acknowledge_keeps_it(tmp_path: Path) -> None:
    came = await CASES["CB-48"].as_control(holding, tmp_path)
    came.must_have_bitten("burst", "terminate")
    assert len(given_again(came)) == 10


def given_again(came: Came) -> dict[str, float]:
    """The jobs that were given out a second time, and how long after the first."""
    history = History.open(came.folder / "history")
    taken = {line["text"]: line["t_ns"] for line in reversed(list(history.lines("output")))}  # the first time of each
    second = [seen for seen in history.sightings(Step.EFFECT) if seen.attempt == 2 and seen.op is not None]
    marked = [(history.marker(seen.op), seen.t_ns) for seen in second if seen.op is not None]
    return {op: (t_ns - taken[f"taken {op}"]) / 1e9 for op, t_ns in marked}


# ---- CB-53: a drain that does not wait ------------------------------------------------------------------------------


async def told_to_stop(run: Run) -> None:
    """More comes than two hands can do at once, and one of them is asked to stop while jobs wait in its client."""
    async with run.load():
        await run.steady(1)
        async with run.faults.burst(times=6, seconds=0.6):
            await run.steady(0.6)
        async with run.faults.terminate(run.workers[0]):
            await run.steady(0.2)
    run.expect(drains())


async def test_a_drain_ends_with_its_time_and_not_with_its_work(tmp_path: Path) -> None:
    """What was in hand is cut in the middle, and what waited in the client behind it is never begun."""
    came = await CASES["CB-53"].as_reported(told_to_stop, tmp_path)
    came.must_have_bitten("burst", "terminate")
    came.must_name("drains.finishes", cut_in_the_middle(came))
    gone = set(markers(came, accepted(came))) - set(done(came))
    came.must_name("no_loss", gone)
    assert len(gone) >= 3
    came.must("holds", "drains.exits")
    assert sum("drain" in text for text in outputs(came, "hand-0")) == 1  # one error of the client's, no exception
    assert not refused(came)


async def test_a_drain_with_time_enough_finishes(tmp_path: Path) -> None:
    came = await CASES["CB-53"].as_control(told_to_stop, tmp_path)
    came.must_have_bitten("burst", "terminate")
    came.must("holds", "no_loss", "drains.exits")
    assert set(done(came).values()) == set(seen(came, Step.FINISHED).values()) == {1}
    assert not any("drain" in text for text in outputs(came, "hand-0"))


def cut_in_the_middle(came: Came) -> set[str]:
    """What had been begun when the hand was asked to stop, and was never finished."""
    history = came.history
    asked_ns = min(line["t_ns"] for line in history.lines("node") if line["event"] == "stopping")
    begun = {history.marker(s.op) for s in history.sightings(Step.EFFECT) if s.op is not None and s.t_ns < asked_ns}
    return begun - set(seen(came, Step.FINISHED))
