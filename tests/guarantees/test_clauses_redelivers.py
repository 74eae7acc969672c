"""The edges of redelivers: what a dead worker left, how often a thing is tried, and what may be a dead letter."""

from __future__ import annotations

from typing import Any

import pytest

from harness.history.rows import OpId, Outcome, Step
from harness.verdict import Verdict

from .synthetic import (
    END,
    ENTRY,
    HOLDS,
    INCONCLUSIVE,
    OTHER,
    VIOLATED,
    WORKER,
    Story,
    begun,
    came_out,
    named,
    story,
    t,
)

AGAIN, BOUNDED = ("redelivers.again", "redelivers.bounded")
DEAD_LETTERS, NO_HEALTHY = ("redelivers.dead_letters", "redelivers.no_healthy")
CLAUSES = {AGAIN, BOUNDED, DEAD_LETTERS, NO_HEALTHY}
DIED, BACK = 5_000, 8_000
BOUND_MS, SETTLES_MS = 5_000, 4_000


def killed(told: Story, node: str = OTHER, *, held: int = 5, **down: Any) -> list[OpId]:
    """Work that goes well, and a worker that dies; what it has in hand is begun by another two seconds later."""
    told.load(0, END)
    told.expect("redelivers", redelivers_s=BOUND_MS / 1000)
    told.work(1_000, END)
    has = [begun(told, DIED - 50 + n, by=node) for n in range(held)]
    for op in has:
        told.effect(op, DIED + 2_000, step=Step.REPEAT, attempt=2)
        told.result(op, DIED + 2_100)
    told.down(node, DIED, **{"gone": DIED, "code": -9, "back": BACK, "asked": False, **down})
    return has


def poisoned(told: Story, *, poisons: int = 3) -> list[OpId]:
    """Work that goes well, and poison, each of which becomes a dead letter."""
    told.load(0, END)
    told.expect("redelivers")
    told.work(1_000, END)
    told.fault(DIED, BACK, "poison", links=())
    return [told.poison(DIED + n) for n in range(poisons)]


def letters_read(told: Story, at: float = 40_000, *, complete: bool = True) -> None:
    told.read(at, "dead letters", complete=complete)


# ---- what is asked --------------------------------------------------------------------------------------------------


def test_a_death_asks_for_redelivery_and_poison_for_dead_letters() -> None:
    with story() as told:
        killed(told)
        told.read(40_000)
        of_a_death = CLAUSES & told.judged().keys()
    with story() as told:
        poisoned(told)
        told.read(40_000)
        of_poison = CLAUSES & told.judged().keys()
    assert of_a_death == {AGAIN, BOUNDED}
    assert of_poison == {BOUNDED, DEAD_LETTERS, NO_HEALTHY}


@pytest.mark.parametrize("node", [ENTRY, "eventstore-0"])
def test_a_death_of_who_is_no_worker_is_none(node: str) -> None:
    with story() as told:
        killed(told, node)
        finding = came_out(told, AGAIN)
    assert finding.reason == "too little: no worker was killed, and the broker took no poison"


def test_a_worker_that_ended_when_it_was_asked_was_not_killed() -> None:
    with story() as told:
        killed(told, asked=True, code=0)
        assert came_out(told, AGAIN).reason.startswith("too little: no worker was killed")


def test_a_worker_that_outlived_its_grace_was_killed() -> None:
    """What it had in hand counts from its death, not from when it was asked."""
    with story() as told:
        killed(told, asked=True, gone=DIED + 1_000)
        finding = came_out(told, AGAIN)
    assert finding.verdict is HOLDS
    assert finding.measured == pytest.approx(1.0)


# ---- again ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ns", "verdict"), [(-1, HOLDS), (0, HOLDS), (1, VIOLATED)])
@pytest.mark.parametrize("step", [Step.EFFECT, Step.REPEAT])
def test_it_may_be_begun_again_just_in_time(ns: int, verdict: Verdict, step: Step) -> None:
    with story() as told:
        killed(told)
        op = begun(told, DIED - 100)
        told.effect(op, DIED + BOUND_MS, step=step, ns=ns, attempt=2)
        finding = came_out(told, AGAIN)
    assert (finding.verdict, finding.counted) == (verdict, 6)
    assert finding.measured == pytest.approx(BOUND_MS / 1000)
    assert finding.ops == (named(told, op) if verdict is VIOLATED else ())


def test_its_successor_may_do_it() -> None:
    with story() as told:
        killed(told)
        told.effect(begun(told, DIED - 100), BACK + 500, by=OTHER, attempt=2)
        finding = came_out(told, AGAIN)
    assert finding.verdict is HOLDS
    assert finding.measured == pytest.approx(3.5)


def test_what_has_a_result_and_was_begun_by_nobody_since_it_had_finished() -> None:
    """Polls see a result late; an explicit failure is none."""
    with story() as told:
        has = killed(told)
        told.result(begun(told, DIED - 100), DIED + 300)
        failed = begun(told, DIED - 90)
        told.end(Step.FAILURE, failed, DIED + 300)
        finding = came_out(told, AGAIN)
    assert (finding.verdict, finding.counted, finding.ops) == (VIOLATED, len(has) + 1, named(told, failed))


@pytest.mark.parametrize(("read", "verdict"), [(BOUND_MS, INCONCLUSIVE), (BOUND_MS + 1, VIOLATED)])
def test_what_is_never_begun_again_is_too_late_once_it_was_watched_for_so_long(read: float, verdict: Verdict) -> None:
    with story() as told:
        killed(told)
        op = begun(told, DIED - 100)
        told.read(DIED + read)
        finding = told.judged()[AGAIN]
    assert (finding.verdict, finding.ops) == (verdict, named(told, op) if verdict is VIOLATED else ())


@pytest.mark.parametrize("complete", [None, False])
def test_effects_that_were_not_read_to_their_end_tell_nothing(complete: bool | None) -> None:
    with story() as told:
        killed(told)
        if complete is not None:
            told.read(40_000, complete=complete)
        finding = told.judged()[AGAIN]
    assert finding.reason == "gap: the effects were not read to their end"


@pytest.mark.parametrize("clause", [AGAIN, BOUNDED])
@pytest.mark.parametrize(("held", "verdict"), [(4, INCONCLUSIVE), (5, HOLDS)])
def test_five_in_hand_are_enough(clause: str, held: int, verdict: Verdict) -> None:
    with story() as told:
        killed(told, held=held)
        assert came_out(told, clause).verdict is verdict


# ---- bounded --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("attempt", "verdict"), [(3, HOLDS), (4, VIOLATED)])
def test_it_may_be_tried_three_times(attempt: int, verdict: Verdict) -> None:
    """As telhawk promises."""
    with story() as told:
        has = killed(told)
        told.effect(has[0], 12_000, step=Step.REPEAT, attempt=attempt)
        finding = came_out(told, BOUNDED)
    assert (finding.verdict, finding.measured) == (verdict, attempt)
    assert finding.ops == (named(told, has[0]) if verdict is VIOLATED else ())


def test_without_a_promise_it_is_measured_alone() -> None:
    with story(promises={"attempts": None}) as told:
        has = killed(told)
        told.effect(has[0], 12_000, step=Step.REPEAT, attempt=200)
        finding = came_out(told, BOUNDED)
    assert (finding.verdict, finding.bound, finding.measured) == (HOLDS, None, 200)


@pytest.mark.parametrize(("tried", "verdict"), [(19, INCONCLUSIVE), (20, HOLDS)])
def test_bounded_is_judged_of_twenty_that_tell_an_attempt(tried: int, verdict: Verdict) -> None:
    with story() as told:
        told.load(0, END)
        told.expect("redelivers")
        told.fault(DIED, BACK, "poison", links=())
        told.poison(DIED)
        for n in range(50):
            told.effect(told.op(6_000 + n), 6_100 + n, attempt=int(n < tried))
        assert came_out(told, BOUNDED).verdict is verdict


# ---- dead letters ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("poison", "verdict"),
    [
        ({}, HOLDS),
        ({"letters": 0}, VIOLATED),
        ({"letters": 2}, VIOLATED),
        ({"reason": None}, VIOLATED),
        ({"payload": False}, VIOLATED),
    ],
)
def test_each_poison_is_one_dead_letter_that_says_why_and_of_what(poison: dict[str, Any], verdict: Verdict) -> None:
    with story() as told:
        poisoned(told)
        op = told.poison(DIED + 10, **poison)
        letters_read(told)
        finding = came_out(told, DEAD_LETTERS)
    assert (finding.verdict, finding.counted) == (verdict, 4)
    assert finding.ops == (named(told, op) if verdict is VIOLATED else ())


@pytest.mark.parametrize(("read", "verdict"), [(SETTLES_MS - 1, INCONCLUSIVE), (SETTLES_MS, VIOLATED)])
def test_a_poison_that_is_no_dead_letter_is_missed_once_all_has_settled(read: float, verdict: Verdict) -> None:
    with story() as told:
        poisoned(told)
        told.poison(DIED, letters=0)
        letters_read(told, BACK + read)
        assert came_out(told, DEAD_LETTERS).verdict is verdict


def test_dead_letters_that_were_not_read_to_their_end_tell_of_none_that_is_missing() -> None:
    with story() as told:
        poisoned(told)
        told.poison(DIED, letters=0)
        letters_read(told, complete=False)
        told.read(40_000)
        findings = told.judged()
    assert {findings[clause].reason.partition(":")[0] for clause in (DEAD_LETTERS, NO_HEALTHY)} == {"gap"}


def test_a_gap_of_the_dead_letters_is_one_of_theirs() -> None:
    with story() as told:
        poisoned(told)
        letters_read(told)
        told.line("gap", 6_000, source="dead letters", from_ns=1, to_ns=2, why="of a gap")
        told.read(40_000)
        findings = told.judged()
    assert {findings[clause].verdict for clause in (DEAD_LETTERS, NO_HEALTHY)} == {INCONCLUSIVE}
    assert findings[BOUNDED].verdict is HOLDS


@pytest.mark.parametrize(("poisons", "verdict"), [(2, INCONCLUSIVE), (3, HOLDS)])
@pytest.mark.parametrize("clause", [DEAD_LETTERS, NO_HEALTHY])
def test_three_poisons_are_enough(clause: str, poisons: int, verdict: Verdict) -> None:
    with story() as told:
        poisoned(told, poisons=poisons)
        letters_read(told)
        assert came_out(told, clause).verdict is verdict


def test_what_the_broker_did_not_take_is_no_poison() -> None:
    with story() as told:
        poisoned(told)
        told.op(DIED, Outcome.FAIL, workload="poison")
        letters_read(told)
        finding = came_out(told, DEAD_LETTERS)
    assert (finding.verdict, finding.counted) == (HOLDS, 3)


@pytest.mark.parametrize("by_ref", [False, True])
def test_nothing_else_may_be_a_dead_letter(by_ref: bool) -> None:
    with story() as told:
        poisoned(told)
        op = told.op(DIED + 100, ref="q-1")
        if by_ref:
            told.recorder.sight(Step.DEAD_LETTER, t_ns=t(DIED + 200), source="dead letters", op=None, ref="q-1")
        else:
            told.letter(op, DIED + 200)
        letters_read(told)
        finding = came_out(told, NO_HEALTHY)
    assert (finding.verdict, finding.ops) == (VIOLATED, named(told, op))


def test_among_whom_there_is_nobody_else_nobody_else_was_spared() -> None:
    with story() as told:
        told.load(0, END)
        told.expect("redelivers")
        told.fault(DIED, BACK, "poison", links=())
        for n in range(3):
            told.poison(DIED + n)
        for n in range(19):
            told.done(told.op(n), n, by=WORKER)
        letters_read(told)
        assert came_out(told, NO_HEALTHY).verdict is INCONCLUSIVE
