"""The edges of no_loss and effects: what is lost and since when, and how often is too often or too seldom."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.history.rows import OpId, Outcome, Step
from harness.verdict import Verdict

from .synthetic import (
    END,
    HEALED,
    HIT,
    HOLDS,
    INCONCLUSIVE,
    SETTLES_MS,
    VIOLATED,
    Story,
    begin,
    came_out,
    few_examples,
    named,
    story,
)

# ---- no_loss --------------------------------------------------------------------------------------------------------


@given(accepted=st.integers(0, 16_000), late_ns=st.integers(-2, 2) | st.integers(-(10**9), 10**9), gone=st.booleans())
@few_examples
def test_open_work_is_lost_once_it_had_time_to_settle(accepted: int, late_ns: int, gone: bool) -> None:
    """From its acceptance or from the healing, whichever is later; a poll one nanosecond before says nothing."""
    with story() as told:
        begin(told)
        op = told.op(accepted, took=5)
        due = max(accepted + 5, HEALED) + SETTLES_MS
        told.end(Step.GONE if gone else Step.PENDING, op, due, ns=late_ns)
        finding = came_out(told, "no_loss")
    if late_ns < 0:
        assert finding.verdict is INCONCLUSIVE
        assert finding.reason.startswith("gap: ")
    else:
        assert (finding.verdict, finding.measured, finding.ops) == (VIOLATED, 1, named(told, op))


def nothing(told: Story, op: OpId) -> None:
    """Never asked, or never answered."""


def asked_long_ago(told: Story, op: OpId) -> None:
    told.end(Step.PENDING, op, 11_000)


def asked_again_too_late(told: Story, op: OpId) -> None:
    told.end(Step.PENDING, op, 11_000)
    told.end(Step.PENDING, op, 30_000)


def asked_late_then_early(told: Story, op: OpId) -> None:
    """As two writers may write it."""
    told.end(Step.GONE, op, 30_000)
    told.end(Step.GONE, op, 11_000)


def with_a_result(told: Story, op: OpId) -> None:
    told.result(op, 9_000)


def with_a_late_result(told: Story, op: OpId) -> None:
    told.end(Step.PENDING, op, 30_000)
    told.result(op, 35_000)


def with_a_result_of_another(told: Story, op: OpId) -> None:
    told.result(op, 9_000, proved=False)


def lost_with_a_result_of_another(told: Story, op: OpId) -> None:
    told.result(op, 9_000, proved=False)
    told.end(Step.GONE, op, 30_000)


def with_a_failure(told: Story, op: OpId) -> None:
    told.end(Step.FAILURE, op, 9_000)


def with_a_dead_letter(told: Story, op: OpId) -> None:
    told.end(Step.DEAD_LETTER, op, 9_000)


def with_an_effect_alone(told: Story, op: OpId) -> None:
    told.effect(op, 9_000)
    told.end(Step.PENDING, op, 30_000)


@pytest.mark.parametrize(
    ("tell", "verdict"),
    [
        (nothing, INCONCLUSIVE),
        (asked_long_ago, INCONCLUSIVE),
        (asked_again_too_late, VIOLATED),
        (asked_late_then_early, VIOLATED),
        (with_a_result, HOLDS),
        (with_a_late_result, HOLDS),
        (with_a_result_of_another, INCONCLUSIVE),
        (lost_with_a_result_of_another, VIOLATED),
        (with_a_failure, HOLDS),
        (with_a_dead_letter, HOLDS),
        (with_an_effect_alone, VIOLATED),
    ],
)
@pytest.mark.parametrize("outcome", [*Outcome, None])
def test_only_accepted_work_is_lost_and_only_without_an_end(
    tell: Callable[[Story, OpId], None], verdict: Verdict, outcome: Outcome | None
) -> None:
    with story() as told:
        begin(told)
        tell(told, told.op(6_000, outcome))
        finding = came_out(told, "no_loss")
    assert finding.verdict is (verdict if outcome is Outcome.OK else HOLDS)


def test_what_is_lost_is_violated_whatever_else_cannot_be_told() -> None:
    with story() as told:
        begin(told)
        told.op(6_000)  # never asked after
        lost = [told.op(at) for at in (6_100, 6_200)]
        for op in reversed(lost):
            told.end(Step.PENDING, op, 30_000)
        told.line("in_hand", 6_000, node="search-0", count=0, asked=5)
        finding = came_out(told, "no_loss")
    assert (finding.verdict, finding.measured, finding.ops_total) == (VIOLATED, 2, 2)
    assert finding.ops == named(told, *lost)
    assert [entry["op"] for entry in finding.stories] == list(named(told, *lost))


@pytest.mark.parametrize(
    ("count", "asked", "verdict"),
    [(4, 5, INCONCLUSIVE), (5, 5, HOLDS), (5, 9, HOLDS), (4, 9, INCONCLUSIVE), (3, 3, HOLDS), (2, 3, INCONCLUSIVE)],
)
def test_work_in_hand_is_at_least_five_operations(count: int, asked: int, verdict: Verdict) -> None:
    with story() as told:
        begin(told)
        told.line("in_hand", 6_000, node="search-0", count=9, asked=5)
        told.line("in_hand", 6_100, node="search-1", count=count, asked=asked)
        finding = came_out(told, "no_loss")
    assert finding.verdict is verdict
    assert finding.reason.startswith("too little: search-1 ") is (verdict is INCONCLUSIVE)


@pytest.mark.parametrize(("before", "after", "verdict"), [(20, 0, HOLDS), (19, 0, INCONCLUSIVE), (10, 10, HOLDS)])
def test_twenty_operations_must_have_been_at_risk(before: int, after: int, verdict: Verdict) -> None:
    """What was accepted up to 2 s before the effect and after the healing counts, to the millisecond."""
    with story() as told:
        told.load(0, END)
        told.fault(HIT, HEALED)
        told.work(0, 2_900)
        told.work(11_000, END)
        for n in range(before):
            told.done(told.op(2_000 - n, took=1_000 + n), 3_100)  # accepted at 3,000, which is 2 s before the effect
        told.done(told.op(1_999, took=1_000), 3_100)  # a millisecond too early
        for _ in range(after):
            told.done(told.op(10_000), 10_010)  # 2 s after the healing
        told.done(told.op(10_001), 10_010)
        finding = came_out(told, "no_loss")
    assert finding.verdict is verdict
    assert finding.reason.startswith("too little: 19 ") is (verdict is INCONCLUSIVE)


@pytest.mark.parametrize(
    ("read_at", "complete", "verdict"),
    [(8_001, True, VIOLATED), (8_000, True, INCONCLUSIVE), (30_000, False, INCONCLUSIVE), (None, True, INCONCLUSIVE)],
)
def test_a_stream_that_was_read_to_its_end_tells_what_is_lost(
    read_at: int | None, complete: bool, verdict: Verdict
) -> None:
    """A stream needs no time to settle; but it tells nothing of what was accepted, here at 8,001, after it was read."""
    with story("bare") as told:
        told.load(0, END)
        told.fault(HIT, HEALED, "kill")
        for at in range(0, END, 100):
            op = told.op(at, workload="messages", seq=at + 1)
            if at != HEALED:
                told.effect(op, 12_000)
        if read_at is not None:
            told.read(read_at, "stream", complete=complete)
        finding = told.judged()["no_loss"]
    assert finding.verdict is verdict
    assert finding.ops == named(told, OpId(0, 80))


# ---- effects --------------------------------------------------------------------------------------------------------

Ended = Step | None
PROMISES = {"exactly-once": (1, 1), "at-least-once": (1, None), "at-most=1": (0, 1), "at-most=3": (0, 3)}


ENDS: tuple[Ended, ...] = (Step.RESULT, Step.FAILURE, Step.DEAD_LETTER, Step.PENDING, Step.GONE, None)
FATES = list(product(Outcome, (0, 1, 2, 3, 4), (0, 1, 2), ENDS))
"""Every outcome, how often it was done, how many repeats of it the system recognised, and its end."""


def wrong(fate: tuple[Outcome, int, int, Ended], least: int, most: int | None) -> bool:
    """The rule of docs/guarantees.md, told once more."""
    outcome, effects, _, end = fate
    if most is not None and effects > most:
        return True
    due = end in (Step.RESULT, Step.PENDING, Step.GONE)
    return outcome is Outcome.OK and due and effects < least


def tell(told: Story, at: float, fate: tuple[Outcome, int, int, Ended]) -> OpId:
    outcome, effects, repeats, end = fate
    op = told.op(at, outcome)
    for _ in range(effects):
        told.effect(op, 6_500)
    for _ in range(repeats):
        told.effect(op, 6_600, step=Step.REPEAT)
    if end is Step.RESULT:
        told.result(op, 7_000)
    elif end is not None:
        told.end(end, op, 30_000)
    return op


@pytest.mark.parametrize("promise", sorted(PROMISES))
def test_effects_are_counted_as_promised(promise: str) -> None:
    least, most = PROMISES[promise]
    with story(promises={"effects": promise, "effects_least": least, "effects_most": most}) as told:
        begin(told)
        ops = {tell(told, 6_000 + number, fate): fate for number, fate in enumerate(FATES)}
        finding = came_out(told, "effects")
    expected = [op for op, fate in ops.items() if wrong(fate, least, most)]
    assert finding.verdict is (VIOLATED if expected else HOLDS)
    assert (finding.measured, finding.ops_total, len(finding.ops)) == (
        len(expected),
        len(expected),
        min(20, len(expected)),
    )
    assert set(finding.ops) <= set(named(told, *expected))
    refused = sum(outcome is Outcome.FAIL and effects > 0 for outcome, effects, *_ in FATES)
    assert f"{refused} refused, yet done" in finding.reason


@pytest.mark.parametrize("fate", [fate for fate in FATES if fate[2] == 1 and fate[1] < 3])
def test_each_fate_alone_is_kept_or_broken(fate: tuple[Outcome, int, int, Ended]) -> None:
    """Where effects are promised exactly once."""
    with story() as told:
        begin(told)
        op = tell(told, 6_000, fate)
        finding = came_out(told, "effects")
    assert (finding.verdict, finding.ops) == ((VIOLATED, named(told, op)) if wrong(fate, 1, 1) else (HOLDS, ()))
    assert ("1 refused, yet done" in finding.reason) is (fate[0] is Outcome.FAIL and fate[1] > 0)


@pytest.mark.parametrize("complete", [False, None])
def test_effects_that_were_not_read_to_their_end_are_inconclusive(complete: bool | None) -> None:
    with story() as told:
        begin(told)
        for _ in range(2):
            told.effect(told.op(6_000), 6_100)
        if complete is not None:
            told.read(40_000, complete=complete)
        told.read(40_000, "taps")
        finding = told.judged()["effects"]
    assert finding.verdict is INCONCLUSIVE
    assert finding.reason.startswith("gap: ")


@pytest.mark.parametrize(("accepted", "verdict"), [(19, INCONCLUSIVE), (20, HOLDS)])
def test_effects_are_judged_of_twenty_accepted_operations(accepted: int, verdict: Verdict) -> None:
    with story() as told:
        told.load(0, END)
        told.fault(HIT, HEALED)
        for n in range(accepted):
            told.done(told.op(n), n)
        for n in range(50):
            told.op(1_000 + n, Outcome.FAIL)
        assert came_out(told, "effects").verdict is verdict
