"""Work that was accepted and is gone, though nothing failed that the sender could see."""

from __future__ import annotations

from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

from harness import Run, available
from harness.history.reader import History
from harness.history.rows import Step

from .case import CASES, accepted, done, markers, outputs, refused, seen, stream_of, told

MOST_BUFFERED_BYTES = 2 * 1024 * 1024
"""What nats-py keeps while it is disconnected, by default."""


async def two_seconds(run: Run) -> None:
    """Two seconds of work, and no fault."""
    async with run.load():
        await run.steady(2)


# ---- CB-32: the producer is back before anybody listens -------------------------------------------------------------


async def producer_first(run: Run) -> None:
    """The broker dies; the desk finds the new one 2.3 s before the hand does."""
    async with run.load():
        await run.steady(1)
        async with run.faults.kill(run.broker, reopen="entry first"):
            await run.steady(1)
        await run.recovered(4)


async def test_what_a_client_kept_is_flushed_to_nobody(tmp_path: Path) -> None:
    """Lost are those of one stretch: from the death of the broker to the hand's return; the kept ones among them."""
    came = await CASES["CB-32"].as_reported(producer_first, tmp_path)
    came.must_have_bitten("kill")
    sent, there = markers(came, accepted(came)), done(came)
    gone = [op for op in sent if op not in there]
    came.must_name("no_loss", set(gone))
    came.must_name("effects", set(gone))
    first, last = sent.index(gone[0]), sent.index(gone[-1])
    assert gone == sent[first : last + 1]
    kept = set(told(came, "buffered"))
    assert len(kept) >= 40
    assert kept <= set(gone)
    assert not refused(came)  # nobody was told
    fault = History.open(came.folder / "history").faults()[0]
    assert fault.asked_ns - 1e9 / 50 <= accepted(came)[first].start_ns <= (fault.effective_ns or 0) + 1e9


async def test_who_waits_until_it_is_done_loses_nothing(tmp_path: Path) -> None:
    came = await CASES["CB-32"].as_control(producer_first, tmp_path)
    came.must_have_bitten("kill")
    assert len(refused(came)) >= 20


# ---- CB-18: a publish without a server is no error ------------------------------------------------------------------


async def away(run: Run) -> None:
    """The broker is away for longer than what is offered meanwhile can be kept.

    Nothing is offered before: what is handed to a connection that is dying is another thing.
    """
    async with AsyncExitStack() as death:
        await death.enter_async_context(run.faults.kill(run.broker))
        async with run.load():
            await run.steady(2.5)
            await death.aclose()
            await run.recovered(3)
    run.expect(available(failed=0.0))


async def test_what_a_client_keeps_arrives_and_more_is_refused(tmp_path: Path) -> None:
    came = await CASES["CB-18"].as_reported(away, tmp_path)
    came.must_have_bitten("kill")
    came.must("holds", "effects", "no_phantoms")
    kept = told(came, "buffered")
    assert 0.95 * MOST_BUFFERED_BYTES < len(kept) * 20_050 <= MOST_BUFFERED_BYTES
    assert set(kept) <= set(done(came))
    came.must("violated", "available.failed")  # what was too much is told, and counts
    assert set(came.finding("available.failed")["ops"]) <= refused(came)


async def test_what_a_client_keeps_is_gone_with_it(tmp_path: Path) -> None:
    """The same with a client that gives up while the broker is away."""
    came = await CASES["CB-18"].as_control(away, tmp_path)
    came.must_have_bitten("kill")
    kept, gone = set(told(came, "buffered")), set(markers(came, accepted(came))) - set(done(came))
    assert len(kept) >= 20
    came.must_name("no_loss", gone)
    assert kept <= gone
    assert not gone - kept


# ---- CB-37, CB-38: full streams -------------------------------------------------------------------------------------


async def test_a_full_stream_throws_the_oldest_away(tmp_path: Path) -> None:
    came = await CASES["CB-37"].as_reported(two_seconds, tmp_path)
    sent = markers(came, accepted(came))
    assert len(sent) == came.verdict["operations"]["offered"] >= 285
    came.must_name("no_loss", set(sent[:-100]))
    came.must_name("effects", set(sent[:-100]))
    came.must("holds", "available.failed")


async def test_a_full_stream_that_refuses_loses_nothing(tmp_path: Path) -> None:
    came = await CASES["CB-37"].as_control(two_seconds, tmp_path)
    assert len(accepted(came)) == 100
    came.must("holds", "effects")
    came.must_name("available.failed", refused(came))


async def test_too_much_of_a_subject_is_thrown_away_though_the_stream_refuses(tmp_path: Path) -> None:
    came = await CASES["CB-38"].as_reported(two_seconds, tmp_path)
    sent = markers(came, accepted(came))
    assert len(sent) == came.verdict["operations"]["offered"] >= 95
    came.must_name("no_loss", set(sent[:-30]))
    came.must("holds", "available.failed")


async def test_too_much_of_a_subject_is_refused_where_the_stream_is_told_so(tmp_path: Path) -> None:
    came = await CASES["CB-38"].as_control(two_seconds, tmp_path)
    assert len(accepted(came)) == 30
    came.must_name("available.failed", refused(came))


# ---- CB-42: a second job with the id of the first -------------------------------------------------------------------


async def test_a_job_with_a_known_id_is_swallowed(tmp_path: Path) -> None:
    """Each is acknowledged, all but the first as a repeat; the first alone is done."""
    came = await CASES["CB-42"].as_reported(two_seconds, tmp_path)
    sent = accepted(came)
    assert [operation.duplicate for operation in sent] == [False, *[True] * (len(sent) - 1)]
    came.must_name("no_loss", set(markers(came, sent[1:])))
    assert done(came) == {markers(came, sent)[0]: 1}
    came.must("holds", "available.failed")


async def test_jobs_with_ids_of_their_own_are_done(tmp_path: Path) -> None:
    came = await CASES["CB-42"].as_control(two_seconds, tmp_path)
    assert not any(operation.duplicate for operation in accepted(came))
    came.must("holds", "effects", "no_phantoms", "available.failed")


# ---- CB-35: a broker that is killed ---------------------------------------------------------------------------------


async def killed(run: Run) -> None:
    """The broker dies while 400 messages a second are acknowledged."""
    async with run.load():
        await run.steady(1.5)
        async with run.faults.kill(run.broker):
            await run.steady(0.5)
        await run.recovered(3)


async def test_what_was_acknowledged_outlives_the_broker(tmp_path: Path) -> None:
    """A killed process takes nothing from the kernel. A power loss would, and no test here shows that it does not."""
    came = await CASES["CB-35"].as_reported(killed, tmp_path)
    came.must_have_bitten("kill")
    came.must("holds", "effects", "no_phantoms")
    assert len(accepted(came)) >= 500


async def test_a_stream_in_memory_dies_with_the_broker(tmp_path: Path) -> None:
    came = await CASES["CB-35"].as_control(killed, tmp_path)
    came.must_have_bitten("kill")
    came.must_name("no_loss", set(markers(came, accepted(came))))


# ---- CB-41: a slow consumer -----------------------------------------------------------------------------------------


async def more_than_it_can(run: Run) -> None:
    """For a second and a half jobs come three times as fast as they are done."""
    async with run.load():
        await run.steady(1.5)


async def test_a_client_throws_away_what_its_handler_is_too_slow_for(tmp_path: Path) -> None:
    came = await CASES["CB-41"].as_reported(more_than_it_can, tmp_path)
    gone = set(markers(came, accepted(came))) - set(done(came))
    came.must_name("no_loss", gone)
    dropped = [text for text in outputs(came, "hand-0") if "slow consumer, messages dropped" in text]
    assert len(dropped) == len(gone) >= 50
    assert not refused(came)


async def test_a_client_that_keeps_enough_loses_nothing(tmp_path: Path) -> None:
    came = await CASES["CB-41"].as_control(more_than_it_can, tmp_path)
    assert set(done(came).values()) == {1}
    assert not any("slow consumer" in text for text in outputs(came, "hand-0"))


# ---- CB-49: delivered for the last time -----------------------------------------------------------------------------


async def test_a_job_that_was_delivered_often_enough_stays_and_nothing_shows_it(tmp_path: Path) -> None:
    came = await CASES["CB-49"].as_reported(two_seconds, tmp_path)
    poisons = Counter(told(came, "poison"))
    assert len(poisons) >= 7
    assert set(poisons.values()) == {3}
    came.must_name("no_loss", set(poisons))
    came.must("holds", "available.failed", "no_phantoms")
    kept = stream_of(came, "JOBS")
    assert kept["messages"] == len(poisons)
    assert (kept["consumers"]["hands"]["pending"], kept["consumers"]["hands"]["ack_pending"]) == (0, 0)


async def test_a_job_that_was_delivered_often_enough_becomes_a_dead_letter(tmp_path: Path) -> None:
    came = await CASES["CB-49"].as_control(two_seconds, tmp_path)
    poisons = Counter(told(came, "poison"))
    assert set(poisons.values()) == {3}
    assert seen(came, Step.DEAD_LETTER) == dict.fromkeys(poisons, 1)
    assert stream_of(came, "JOBS")["messages"] == 0
