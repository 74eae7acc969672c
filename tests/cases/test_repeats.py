"""Work that is done more often than once."""

from __future__ import annotations

from pathlib import Path

from harness import Run

from .case import CASES, accepted, done, markers, told

# ---- CB-43: acknowledgements are lost -------------------------------------------------------------------------------


async def acks_lost(run: Run) -> None:
    """For three seconds the broker hears the desk, and the desk does not hear the broker."""
    async with run.load():
        await run.steady(1)
        async with run.faults.silent(run.entry, run.broker, way="from"):
            await run.steady(3)
        await run.recovered(4)


async def test_a_retry_doubles_what_was_stored(tmp_path: Path) -> None:
    came = await CASES["CB-43"].as_reported(acks_lost, tmp_path)
    came.must_have_bitten("silent")
    retried = set(told(came, "again"))
    assert len(retried) >= 30
    came.must_name("effects", retried, edges=2)
    assert max(done(came).values()) >= 4  # one that was sent when the silence began
    came.must("holds", "no_loss", "no_phantoms")


async def test_a_retry_with_an_id_is_known(tmp_path: Path) -> None:
    came = await CASES["CB-43"].as_control(acks_lost, tmp_path)
    came.must_have_bitten("silent")
    assert len(set(told(came, "again"))) >= 30
    assert set(done(came).values()) == {1}
    came.must("holds", "no_loss", "no_phantoms")


# ---- CB-45: a repeat does not lengthen the window -------------------------------------------------------------------


async def two_seconds(run: Run) -> None:
    """Two seconds of work, and no fault."""
    async with run.load():
        await run.steady(2)


async def test_an_id_is_forgotten_though_it_is_sent_again_and_again(tmp_path: Path) -> None:
    """Nine times in 2.4 s, and remembered for 0.9 s: three are taken for new."""
    came = await CASES["CB-45"].as_reported(two_seconds, tmp_path)
    times = done(came)
    came.must_name("effects", set(times))
    assert set(times.values()) <= {2, 3, 4}
    assert set(times) == set(markers(came, accepted(came)))
    came.must("holds", "no_loss", "no_phantoms", "available.failed")


async def test_an_id_that_is_remembered_for_longer_than_it_is_sent_is_known(tmp_path: Path) -> None:
    came = await CASES["CB-45"].as_control(two_seconds, tmp_path)
    assert set(done(came).values()) == {1}
    came.must("holds", "no_loss", "no_phantoms", "available.failed")


# ---- CB-46: prefetched jobs whose time has run out ------------------------------------------------------------------


async def one_second(run: Run) -> None:
    """A second of work, and no fault."""
    async with run.load():
        await run.steady(1)


async def test_jobs_that_wait_in_a_hand_are_done_by_another_too(tmp_path: Path) -> None:
    came = await CASES["CB-46"].as_reported(one_second, tmp_path)
    times = done(came)
    assert len(times) == len(accepted(came)) >= 22
    came.must_name("effects", {op for op, count in times.items() if count > 1})
    came.must("holds", "no_loss", "no_phantoms", "available.failed")


async def test_who_fetches_one_at_a_time_does_each_once(tmp_path: Path) -> None:
    came = await CASES["CB-46"].as_control(one_second, tmp_path)
    assert set(done(came).values()) == {1}
    came.must("holds", "no_loss", "no_phantoms", "available.failed")
