"""Workers that are asked to stop with work in their hands."""

from __future__ import annotations

from pathlib import Path

from harness import Run

from .case import CASES, accepted, done, markers, outputs, refused

# ---- CB-53: a drain that does not wait ------------------------------------------------------------------------------


async def told_to_stop(run: Run) -> None:
    """More comes than two hands can do, and one of them is asked to stop while jobs wait in its client."""
    async with run.load():
        await run.steady(1)
        async with run.faults.burst(times=4, seconds=0.6):
            await run.steady(0.6)
        async with run.faults.terminate(run.workers[0]):
            await run.steady(0.2)


async def test_a_drain_ends_with_its_time_and_not_with_its_work(tmp_path: Path) -> None:
    came = await CASES["CB-53"].as_reported(told_to_stop, tmp_path)
    came.must_have_bitten("burst", "terminate")
    gone = set(markers(came, accepted(came))) - set(done(came))
    came.must_name("no_loss", gone)
    assert 3 <= len(gone) <= 20
    assert sum("drain" in text for text in outputs(came, "hand-0")) == 1  # one error of the client's, no exception
    assert not refused(came)


async def test_a_drain_with_time_enough_finishes(tmp_path: Path) -> None:
    came = await CASES["CB-53"].as_control(told_to_stop, tmp_path)
    came.must_have_bitten("burst", "terminate")
    assert set(done(came).values()) == {1}
    assert not any("drain" in text for text in outputs(came, "hand-0"))
