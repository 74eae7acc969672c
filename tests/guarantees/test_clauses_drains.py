"""The edges of drains: what a replica had in hand when it was asked to stop, and until when it may take and end."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.history.rows import OpId, Outcome, Step
from harness.verdict import Finding, Verdict

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
    few_examples,
    named,
    story,
    t,
)

EXITS, FINISHES = ("drains.exits", "drains.finishes")
STOPS_TAKING, TAKES_OVER = ("drains.stops_taking", "drains.takes_over")
CLAUSES = (EXITS, FINISHES, STOPS_TAKING, TAKES_OVER)
ASKED, GONE, BACK = 5_000, 5_500, 8_000
STOPS_MS, DRAINS_MS, TAKES_MS, FROM_THEN_MS = 1_000, 3_000, 250, 5_000


def stopped(told: Story, node: str = OTHER, *, held: int = 5, **down: Any) -> list[OpId]:
    """Work that goes well, and a replica that is asked to stop; what a worker has in hand ends 400 ms later."""
    told.load(0, END)
    told.expect("drains", drains_s=DRAINS_MS / 1000)
    told.work(1_000, END)
    has = [begun(told, ASKED - 50 + n, by=node) for n in range(held)]
    for op in has:
        told.result(op, ASKED + 400)
    told.down(node, ASKED, **{"gone": GONE, "code": 0, "back": BACK, **down})
    return has


def busy_entry(told: Story) -> None:
    """Work that goes well, and an entry with five operations in hand when it is asked to stop."""
    told.load(0, END)
    told.expect("drains")
    told.work(1_000, ASKED - 200)
    for n in range(5):
        told.result(told.op(ASKED - 50 + n), ASKED + 400)


@pytest.mark.parametrize("node", [OTHER, ENTRY])
def test_a_replica_that_hands_over_keeps_every_clause(node: str) -> None:
    with story() as told:
        if node == ENTRY:
            told.load(0, END)
            told.expect("drains")
            for at in (*range(1_000, ASKED, 100), *range(BACK, END, 100)):
                told.done(told.op(at), at)
            for n in range(5):
                told.result(told.op(ASKED - 50 + n), ASKED + 400)
            for at in range(ASKED, BACK, 100):
                told.op(at, Outcome.FAIL)
            told.down(ENTRY, ASKED, gone=GONE, code=0, back=BACK)
        else:
            stopped(told)
        told.read(40_000)
        findings = told.judged()
    assert {clause: findings[clause].verdict for clause in CLAUSES} == dict.fromkeys(CLAUSES, HOLDS)
    assert findings[FINISHES].counted == 5
    assert findings[EXITS].faults == [2]


# ---- in hand --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("held", [0, 4, 5])
def test_fewer_than_five_in_hand_are_too_little(held: int) -> None:
    with story() as told:
        stopped(told, held=held)
        told.read(40_000)
        findings = told.judged()
    assert {findings[clause].verdict for clause in CLAUSES} == {HOLDS if held == 5 else INCONCLUSIVE}
    if held < 5:
        assert findings[EXITS].reason == f"too little: search-1 had {held} operations in hand"


def test_what_is_violated_is_so_however_little_was_in_hand() -> None:
    with story() as told:
        stopped(told, held=0, code=1)
        assert came_out(told, EXITS).verdict is VIOLATED


@pytest.mark.parametrize("heard", ["poll", "tap", "failed"])
def test_what_had_ended_when_it_was_asked_was_not_in_hand(heard: str) -> None:
    with story() as told:
        has = stopped(told)
        ended = begun(told, ASKED - 100)
        if heard == "failed":
            told.end(Step.FAILURE, ended, ASKED - 1)
        else:
            told.result(ended, ASKED - 1, proved=heard == "poll")
        finding = came_out(told, FINISHES)
    assert (finding.verdict, finding.counted) == (HOLDS, len(has))


def test_what_another_has_begun_since_is_in_its_hands() -> None:
    with story() as told:
        has = stopped(told)
        passed_on = begun(told, ASKED - 1_000)
        told.effect(passed_on, ASKED - 100, by=WORKER, step=Step.REPEAT, attempt=2)
        told.result(passed_on, ASKED + 100)
        finding = came_out(told, FINISHES)
    assert (finding.verdict, finding.counted) == (HOLDS, len(has))


def test_what_a_former_life_had_begun_is_not_in_the_hands_of_the_next() -> None:
    with story() as told:
        told.line("node", ASKED - 500, node=OTHER, event="started")
        has = stopped(told)
        told.end(Step.PENDING, begun(told, ASKED - 700), 40_000)
        finding = came_out(told, FINISHES)
    assert (finding.verdict, finding.counted) == (HOLDS, len(has))


# ---- exits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ns", "verdict"), [(-1, HOLDS), (0, HOLDS), (1, VIOLATED)])
def test_it_may_end_just_in_time(ns: int, verdict: Verdict) -> None:
    with story() as told:
        stopped(told, gone=ASKED + STOPS_MS, gone_ns=ns)
        finding = came_out(told, EXITS)
    assert finding.verdict is verdict
    assert finding.measured == pytest.approx(STOPS_MS / 1000)


@pytest.mark.parametrize(("code", "said"), [(1, "code 1"), (-15, "signal 15"), (-9, "signal 9")])
def test_a_code_that_is_not_0_is_no_good_end_and_no_matter_of_time(code: int, said: str) -> None:
    with story() as told:
        stopped(told, code=code)
        late: dict[str, Any] = {"lag_p99_ms": 0.0, "lag_max_ms": 2_000.0, "late_share": 0.5, "slip_p99_ms": 0.0}
        told.line("noise", 6_000, what="runner", from_ns=t(5_000), cpu={}, **late)
        finding = came_out(told, EXITS)
    assert (finding.verdict, finding.measured) == (VIOLATED, None)
    assert finding.reason == f"search-1 ended with {said} after 0.500 s"


# ---- finishes -------------------------------------------------------------------------------------------------------

# outcome, when it ends, the last look that was answered, attempts; and what comes of it
FATES: list[tuple[Outcome, bool, float | None, int, Verdict]] = [
    (Outcome.OK, True, None, 1, HOLDS),
    (Outcome.OK, True, None, 0, HOLDS),
    (Outcome.OK, True, None, 2, VIOLATED),
    (Outcome.OK, False, 40_000, 1, VIOLATED),
    (Outcome.OK, False, BACK + 3_999, 1, INCONCLUSIVE),
    (Outcome.OK, False, None, 1, INCONCLUSIVE),
    (Outcome.UNKNOWN, False, None, 1, INCONCLUSIVE),
    (Outcome.UNKNOWN, True, None, 1, HOLDS),
    (Outcome.FAIL, False, None, 1, HOLDS),
]


@pytest.mark.parametrize(("outcome", "ends", "looked", "attempt", "verdict"), FATES)
def test_what_becomes_of_what_is_in_hand(
    outcome: Outcome, ends: bool, looked: float | None, attempt: int, verdict: Verdict
) -> None:
    with story() as told:
        stopped(told)
        op = told.op(ASKED - 100, outcome)
        told.effect(op, ASKED - 90, by=OTHER, attempt=min(attempt, 1))
        if attempt > 1:
            told.effect(op, ASKED + 2_000, step=Step.REPEAT, attempt=attempt)
        if ends:
            told.result(op, ASKED + 2_500)
        if looked is not None:
            told.end(Step.PENDING, op, looked)
        finding = came_out(told, FINISHES)
    assert finding.verdict is verdict
    assert finding.ops == (named(told, op) if verdict is VIOLATED else ())


def test_where_no_attempt_is_told_beginning_it_twice_is_one_too_many() -> None:
    with story() as told:
        stopped(told)
        op = told.op(ASKED - 100)
        told.effect(op, ASKED - 90, by=OTHER, attempt=0)
        told.effect(op, ASKED + 2_000, step=Step.REPEAT, attempt=0)
        told.result(op, ASKED + 2_500)
        finding = came_out(told, FINISHES)
    assert (finding.verdict, finding.ops) == (VIOLATED, named(told, op))


@pytest.mark.parametrize(("outcome", "verdict"), [(Outcome.OK, HOLDS), (Outcome.FAIL, HOLDS), (None, INCONCLUSIVE)])
def test_what_the_entry_was_being_asked_is_in_its_hands(outcome: Outcome | None, verdict: Verdict) -> None:
    with story() as told:
        busy_entry(told)
        asking = told.op(ASKED - 10, outcome, took=100)
        if outcome is Outcome.OK:
            told.result(asking, ASKED + 400)
        told.down(ENTRY, ASKED, gone=GONE, code=0, back=BACK)
        finding = came_out(told, FINISHES)
    assert (finding.verdict, finding.counted) == (verdict, 6)


@pytest.mark.parametrize(("asking", "verdict", "counted"), [(None, INCONCLUSIVE, 6), (ASKED - 11, HOLDS, 5)])
def test_what_came_while_it_was_being_asked_is_in_nobodys_hands(
    asking: float | None, verdict: Verdict, counted: int
) -> None:
    """An engine takes its time to ask; what comes meanwhile may be refused, and may be taken."""
    with story() as told:
        busy_entry(told)
        told.op(ASKED - 10, None, took=5)
        told.down(ENTRY, ASKED, gone=GONE, code=0, back=BACK, asking=asking)
        finding = came_out(told, FINISHES)
    assert (finding.verdict, finding.counted) == (verdict, counted)


# ---- stops_taking ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ns", "verdict"), [(-1, HOLDS), (0, HOLDS), (1, VIOLATED)])
def test_it_may_take_just_a_little_longer(ns: int, verdict: Verdict) -> None:
    with story() as told:
        stopped(told)
        op = told.op(ASKED + 100)
        told.effect(op, ASKED + TAKES_MS, by=OTHER, ns=ns)
        told.result(op, ASKED + 450)
        finding = came_out(told, STOPS_TAKING)
    assert finding.verdict is verdict
    assert finding.measured == pytest.approx(TAKES_MS / 1000)
    assert finding.ops == (named(told, op) if verdict is VIOLATED else ())


def test_what_it_begins_anew_is_not_taken_and_what_its_successor_takes_is_not_its() -> None:
    with story() as told:
        has = stopped(told)
        told.effect(has[0], ASKED + 300, by=OTHER, step=Step.REPEAT)
        told.done(told.op(BACK + 100), BACK + 100, by=OTHER)
        finding = came_out(told, STOPS_TAKING)
    assert (finding.verdict, finding.measured) == (HOLDS, None)


@pytest.mark.parametrize(
    ("at", "took", "outcome", "verdict"),
    [
        (ASKED + 300, 1, Outcome.OK, VIOLATED),
        (ASKED + 300, 1, Outcome.FAIL, HOLDS),
        (ASKED + 300, 4_000, Outcome.OK, HOLDS),  # its successor answered it
        (ASKED + 200, 200, Outcome.OK, HOLDS),
        (ASKED - 10, 400, Outcome.OK, HOLDS),
    ],
)
def test_an_entry_takes_what_it_accepts(at: float, took: float, outcome: Outcome, verdict: Verdict) -> None:
    with story() as told:
        busy_entry(told)
        for n in range(5):
            told.op(ASKED + 500 + n, Outcome.FAIL)
        op = told.op(at, outcome, took=took)
        told.result(op, at + took + 10)
        told.down(ENTRY, ASKED, gone=GONE, code=0, back=BACK)
        finding = came_out(told, STOPS_TAKING)
    assert (finding.verdict, finding.ops) == (verdict, named(told, op) if verdict is VIOLATED else ())


@pytest.mark.parametrize(("offered", "verdict"), [(4, INCONCLUSIVE), (5, HOLDS)])
def test_who_is_offered_nothing_shows_nothing_by_taking_nothing(offered: int, verdict: Verdict) -> None:
    with story() as told:
        told.load(0, END)
        told.expect("drains")
        for n in range(5):
            told.result(begun(told, ASKED - 50 + n), ASKED + 400)
        for n in range(offered):
            told.done(told.op(ASKED + 100 + n), ASKED + 100 + n)
        told.down(OTHER, ASKED, gone=GONE, code=0, back=BACK)
        assert came_out(told, STOPS_TAKING).verdict is verdict


# ---- takes_over -----------------------------------------------------------------------------------------------------


@given(after=st.lists(st.integers(0, 6_000), max_size=6))
@few_examples
def test_what_is_accepted_from_then_on_may_end_just_in_time(after: list[int]) -> None:
    with story() as told:
        stopped(told)
        ops = [told.op(ASKED + 100 + n) for n in range(len(after))]  # each is answered after a millisecond
        for op, n, ms in zip(ops, range(len(after)), after, strict=True):
            told.result(op, ASKED + 101 + n + ms)
        finding = came_out(told, TAKES_OVER)
    late = [op for op, ms in zip(ops, after, strict=True) if ms > DRAINS_MS]
    assert (finding.verdict, finding.ops) == (VIOLATED if late else HOLDS, named(told, *late))
    assert finding.measured == pytest.approx(max([9, *after]) / 1000)


@pytest.mark.parametrize(
    ("at", "counts"), [(ASKED - 2, False), (ASKED - 1, True), (ASKED + FROM_THEN_MS - 1, True), (ASKED + 5_000, False)]
)
def test_the_five_seconds_begin_when_it_is_asked(at: float, counts: bool) -> None:
    with story() as told:
        stopped(told)
        op = told.op(at)
        told.result(op, at + 1 + DRAINS_MS + 1)
        assert came_out(told, TAKES_OVER).verdict is (VIOLATED if counts else HOLDS)


@pytest.mark.parametrize(
    ("looked", "verdict"), [(DRAINS_MS + 1, VIOLATED), (DRAINS_MS, INCONCLUSIVE), (None, INCONCLUSIVE)]
)
def test_what_never_ends_is_too_late_once_it_was_watched_for_so_long(looked: float | None, verdict: Verdict) -> None:
    with story() as told:
        stopped(told)
        op = told.op(ASKED + 99)
        if looked is not None:
            told.end(Step.GONE, op, ASKED + 100 + looked)
        finding = came_out(told, TAKES_OVER)
    assert finding.verdict is verdict
    assert finding.ops == (named(told, op) if verdict is VIOLATED else ())


# ---- who is meant ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("node", ["eventstore-0", "broker-0"])
def test_a_stop_of_who_takes_no_work_is_nothing_to_judge(node: str) -> None:
    with story() as told:
        stopped(told, held=0)
        told.down(node, 10_000, gone=10_500, code=0, back=11_000, number=3)
        told.line("node", 12_000, node=WORKER, event="stopping")  # at the end of all, under no fault
        findings: dict[str, Finding] = told.judged()
    assert {findings[clause].counted for clause in (EXITS,)} == {1}


def test_of_several_the_worst_counts() -> None:
    with story() as told:
        stopped(told)
        for n in range(5):
            told.result(begun(told, 10_000 - 50 + n, by=WORKER), 10_300)
        told.down(WORKER, 10_000, gone=10_900, code=0, back=11_000, number=3)
        finding = came_out(told, EXITS)
    assert (finding.counted, list(finding.faults)) == (2, [2, 3])
    assert finding.measured == pytest.approx(0.9)
