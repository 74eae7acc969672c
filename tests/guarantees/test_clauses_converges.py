"""The edges of converges: until when the backlog may take, and what the load's last two seconds are beside."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.history.rows import Outcome, Step
from harness.verdict import Finding, Verdict

from .synthetic import (
    END,
    ENTRY_LINK,
    HEALED,
    HIT,
    HOLDS,
    INCONCLUSIVE,
    VIOLATED,
    Story,
    came_out,
    few_examples,
    named,
    story,
    t,
)

DRAINED, RATE, LATENCY = ("converges.drained", "converges.rate", "converges.latency")
DRAINS_MS = 5_000
LAST = END - 2_000


def begin(told: Story) -> None:
    """Work that goes well, all the time but under the fault; a backlog of five seconds is promised to drain."""
    told.load(0, END)
    told.fault(HIT, HEALED)
    told.expect("converges", drains_s=DRAINS_MS / 1000)
    told.work(0, HIT)
    told.work(HEALED, END)


# ---- drained --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ns", "verdict"), [(-1, HOLDS), (0, HOLDS), (1, VIOLATED)])
@pytest.mark.parametrize("step", [Step.FAILURE, Step.DEAD_LETTER])
def test_the_backlog_may_drain_just_in_time(ns: int, verdict: Verdict, step: Step) -> None:
    with story() as told:
        begin(told)
        op = told.op(7_000)
        told.end(step, op, HEALED + DRAINS_MS, ns=ns)
        finding = came_out(told, DRAINED)
    assert finding.verdict is verdict
    assert finding.measured == pytest.approx(DRAINS_MS / 1000)
    assert finding.ops == (named(told, op) if verdict is VIOLATED else ())


@given(ends=st.lists(st.integers(-2_000, 8_000), max_size=8))
@few_examples
def test_it_has_drained_when_the_last_has_ended(ends: list[int]) -> None:
    with story() as told:
        begin(told)
        ops = [told.op(6_000 + n) for n in range(len(ends))]
        for op, after in zip(ops, ends, strict=True):
            told.result(op, HEALED + after)
            told.result(op, HEALED + after + 1_000)  # seen again: the first counts
        finding = came_out(told, DRAINED)
    late = [op for op, after in zip(ops, ends, strict=True) if after > DRAINS_MS]
    assert finding.measured == pytest.approx(max(0, *ends, 0) / 1000)
    assert (finding.verdict, finding.ops) == (VIOLATED if late else HOLDS, named(told, *late))


@pytest.mark.parametrize(
    ("accepted", "outcome", "counts"),
    [(HEALED - 1, Outcome.OK, True), (HEALED, Outcome.OK, False), (7_000, Outcome.UNKNOWN, False)],
)
def test_drained_is_of_what_was_accepted_by_the_healing(accepted: int, outcome: Outcome, counts: bool) -> None:
    with story() as told:
        begin(told)
        op = told.op(accepted, outcome, took=1)
        told.result(op, HEALED + DRAINS_MS + 2_000)
        assert came_out(told, DRAINED).verdict is (VIOLATED if counts else HOLDS)


@pytest.mark.parametrize(
    ("looked", "verdict", "doubt"),
    [(DRAINS_MS + 1, VIOLATED, ""), (DRAINS_MS, INCONCLUSIVE, "too little: "), (None, INCONCLUSIVE, "gap: ")],
)
@pytest.mark.parametrize("step", [Step.PENDING, Step.GONE])
def test_what_never_ended_is_late_once_it_was_watched_for_long_enough(
    looked: int | None, verdict: Verdict, doubt: str, step: Step
) -> None:
    with story() as told:
        begin(told)
        op = told.op(7_000)
        if looked is not None:
            told.end(step, op, HEALED + looked)
            told.end(step, op, HEALED + 10)
        finding = came_out(told, DRAINED)
    assert finding.verdict is verdict
    assert finding.reason.startswith(doubt)
    assert finding.measured == (pytest.approx(5.001) if verdict is VIOLATED else None)


def test_one_that_is_certainly_late_is_a_violation_whatever_cannot_be_told_of_others() -> None:
    with story() as told:
        begin(told)
        late, _ = told.op(7_000), told.op(7_001)
        told.result(late, HEALED + DRAINS_MS + 500)
        finding = came_out(told, DRAINED)
    assert (finding.verdict, finding.ops) == (VIOLATED, named(told, late))


@pytest.mark.parametrize(("accepted", "verdict"), [(19, INCONCLUSIVE), (20, HOLDS)])
def test_drained_is_of_twenty_operations_around_the_fault(accepted: int, verdict: Verdict) -> None:
    with story() as told:
        told.load(0, END)
        told.fault(HIT, HEALED)
        told.expect("converges")
        told.work(0, HIT - 2_100)
        told.work(HEALED, END)
        for n in range(accepted):
            told.done(told.op(HIT + n), HIT + n)
        assert came_out(told, DRAINED).verdict is verdict


def test_the_promise_bounds_it_where_the_scenario_does_not() -> None:
    with story(promises={"drains_s": 7.0}) as told:
        told.load(0, END)
        told.fault(HIT, HEALED)
        told.expect("converges")
        told.work(0, HIT)
        assert came_out(told, DRAINED).bound == 7.0


def test_of_a_stream_that_is_read_at_the_end_acceptance_is_the_end_of_what_is_found() -> None:
    """The read comes long after; what it does not find never ended, and was watched until it was over."""
    for found in (True, False):
        with story("bare") as told:
            told.load(0, END)
            told.fault(HIT, HEALED, links=(("load", "broker-0"),))
            told.expect("converges")
            ops = [told.op(at, workload="messages", seq=at + 1) for at in range(0, END, 50)]
            for op in ops[0 if found else 1 :]:
                told.result(op, 38_000)
            told.read(40_000, "stream")
            findings = told.judged()
        expected = (HOLDS, 0.0, ()) if found else (VIOLATED, 32.0, named(told, ops[0]))
        drained = findings[DRAINED]
        assert (drained.verdict, drained.measured, drained.ops) == expected
        assert (findings[RATE].verdict, findings[LATENCY].verdict) == (HOLDS, HOLDS)


# ---- rate and latency -----------------------------------------------------------------------------------------------


def at_the_end(told: Story, ends: int, of: int = 40, *, took: float = 1) -> None:
    """Forty operations end before the fault; in the last two seconds, so many of so many that are offered."""
    told.load(0, END)
    told.fault(HIT, HEALED)
    told.expect("converges")
    told.work(2_000, HIT)
    for n in range(of):
        at = LAST + n * 2_000 // of
        op = told.op(at, took=took)
        if n < ends:
            told.result(op, at + 10)


@pytest.mark.parametrize(("ends", "verdict"), [(40, HOLDS), (36, HOLDS), (35, VIOLATED), (0, VIOLATED)])
def test_nine_tenths_of_the_rate_will_do(ends: int, verdict: Verdict) -> None:
    with story() as told:
        at_the_end(told, ends)
        finding = came_out(told, RATE)
    assert finding.verdict is verdict
    assert finding.measured == pytest.approx(1 - ends / 40)
    assert finding.ops_total == (40 - ends if verdict is VIOLATED else 0)


def test_a_rate_that_is_higher_is_no_lower() -> None:
    with story() as told:
        at_the_end(told, 80, 80)
        finding = came_out(told, RATE)
    assert (finding.verdict, finding.measured) == (HOLDS, 0.0)


def test_before_the_fault_counts_from_the_first_end_on() -> None:
    """A load that began a second before the fault: its rate is that of the second in which work could end at all."""
    with story() as told:
        told.load(HIT - 1_000, END)
        told.fault(HIT, HEALED)
        told.expect("converges")
        told.work(HIT - 1_000, HIT, every=25)
        told.work(HEALED, END, every=25)
        finding = came_out(told, RATE)
    assert finding.verdict is HOLDS
    assert finding.reason == "40.0 ended a second at the load's end, 40.0 before the fault"


@pytest.mark.parametrize(("ends", "verdict"), [(36, HOLDS), (35, VIOLATED)])
def test_a_backlog_that_is_worked_off_before_the_fault_is_no_rate(ends: int, verdict: Verdict) -> None:
    """A system that is slow to begin: all that was offered in two seconds ended in the second one."""
    with story() as told:
        told.load(HIT - 2_000, END)
        told.fault(HIT, HEALED)
        told.expect("converges")
        for n in range(40):
            told.result(told.op(HIT - 2_000 + 50 * n), HIT - 1_000 + 25 * n)
            op = told.op(LAST + 50 * n)
            if n < ends:
                told.result(op, LAST + 50 * n + 10)
        finding = came_out(told, RATE)
    assert finding.verdict is verdict
    assert finding.reason == f"{ends / 2:.1f} ended a second at the load's end, 20.0 before the fault"


@pytest.mark.parametrize(("was", "limit"), [(1, 21.5), (100, 170)])
@pytest.mark.parametrize(("over", "verdict"), [(-4, HOLDS), (4, VIOLATED)])
def test_the_median_may_be_half_as_much_again_and_20_ms(was: int, limit: float, over: int, verdict: Verdict) -> None:
    with story() as told:
        told.load(0, END)
        told.fault(HIT, HEALED)
        told.expect("converges")
        for since, until, took in ((0, HIT, was), (LAST, END, limit + over)):
            for at in range(since, until, 50):
                told.op(at, took=took)
        finding = came_out(told, LATENCY)
    assert finding.verdict is verdict
    assert finding.bound == pytest.approx(limit, rel=0.02)
    assert finding.measured == pytest.approx(limit + over, rel=0.02)


@pytest.mark.parametrize(("over", "verdict"), [(-4, HOLDS), (4, VIOLATED)])
def test_a_scenario_may_say_how_much_more_the_median_may_be(over: int, verdict: Verdict) -> None:
    with story() as told:
        told.load(0, END)
        told.fault(HIT, HEALED)
        told.expect("converges", later_ms=100)
        for since, until, took in ((0, HIT, 100), (LAST, END, 250 + over)):
            for at in range(since, until, 50):
                told.op(at, took=took)
        finding = came_out(told, LATENCY)
    assert finding.verdict is verdict
    assert finding.bound == pytest.approx(250, rel=0.02)
    assert finding.ops_total == (40 if verdict is VIOLATED else 0)


@pytest.mark.parametrize(("went_on", "verdict"), [(1_999, INCONCLUSIVE), (2_000, HOLDS)])
def test_the_load_must_go_on_for_two_seconds_after_the_healing(went_on: int, verdict: Verdict) -> None:
    with story() as told:
        told.load(0, HEALED + went_on)
        told.fault(HIT, HEALED)
        told.expect("converges")
        told.work(0, HEALED + went_on, every=10)
        told.read(40_000)
        findings = told.judged()
    assert {findings[clause].verdict for clause in (RATE, LATENCY)} == {verdict}
    if verdict is INCONCLUSIVE:
        assert findings[RATE].reason == "too little: the load went on for 2.0 s after the healing, not for 2 s"


@pytest.mark.parametrize(
    ("before", "last", "verdict"), [(19, 40, INCONCLUSIVE), (40, 19, INCONCLUSIVE), (20, 20, HOLDS)]
)
def test_both_stretches_are_of_twenty_operations(before: int, last: int, verdict: Verdict) -> None:
    with story() as told:
        told.load(0, END)
        told.fault(HIT, HEALED)
        told.expect("converges")
        for since, count in ((HIT - 2_000, before), (LAST, last)):
            for n in range(count):
                told.done(told.op(since + 50 * n), since + 50 * n)
        told.read(40_000)
        findings = told.judged()
    assert findings[LATENCY].verdict is verdict
    assert (findings[RATE].verdict is INCONCLUSIVE) is (verdict is INCONCLUSIVE)


def test_a_broker_that_was_not_there_at_the_start_leaves_nothing_to_compare_with() -> None:
    with story() as told:
        told.fault(500, HEALED, "absent", links=(ENTRY_LINK,))
        told.load(1_000, END)
        told.expect("converges")
        told.work(HEALED, END)
        for at in range(1_000, HEALED, 50):
            told.op(at, Outcome.FAIL)
        told.read(40_000)
        findings = told.judged()
    assert {findings[clause].verdict for clause in (RATE, LATENCY)} == {INCONCLUSIVE}


def test_answers_alone_are_compared_where_no_ends_are_seen() -> None:
    """Without polls, streams and effects, acceptance is the end; `drained` would say nothing, and is left out."""
    with story("bare") as told:
        answers_alone = {"messages": {**told.meta["workloads"]["messages"], "read": ""}}
    with story("bare", workloads=answers_alone) as told:
        told.load(0, END)
        told.fault(HIT, HEALED, links=(("load", "broker-0"),))
        told.expect("converges")
        for at in range(0, END, 50):
            told.op(at, workload="messages")
        findings = told.judged()
    assert DRAINED not in findings
    assert (findings[RATE].verdict, findings[LATENCY].verdict) == (HOLDS, HOLDS)


def noisy(told: Story, at: float) -> None:
    """Our loop was late in the half second until then."""
    measured: dict[str, Any] = {"lag_p99_ms": 0.0, "lag_max_ms": 3_000.0, "late_share": 0.5}
    told.line("noise", at, what="runner", from_ns=t(at - 500), cpu={}, **measured)


NOISE = [
    pytest.param(4_000, {RATE, LATENCY}, set(), id="before the fault"),
    pytest.param(9_000, {DRAINED}, {DRAINED}, id="after the healing"),
    pytest.param(LAST + 100, {RATE, LATENCY}, {RATE, LATENCY}, id="as the last stretch begins"),
    pytest.param(LAST + 1_000, set(), {RATE, LATENCY}, id="in the last stretch"),
]


@pytest.mark.parametrize(("at", "held", "broken"), NOISE)
def test_noise_spoils_what_it_can_have_made(at: float, held: set[str], broken: set[str]) -> None:
    """Late before the fault, what follows looks better than it is; late at the load's end, worse."""
    with story() as told:
        begin(told)
        noisy(told, at)
        assert _doubted(told) == held
    with story() as told:
        told.load(0, END)
        told.fault(HIT, HEALED)
        told.expect("converges", drains_s=DRAINS_MS / 1000)
        told.work(0, HIT)
        told.result(told.op(7_000), HEALED + DRAINS_MS + 1)
        for moment in range(LAST, END, 50):
            told.op(moment, took=500)
        noisy(told, at)
        assert _doubted(told) == broken


# By how much we were late at most before the fault, and how often; and which comparison that can have moved.
@pytest.mark.parametrize(
    ("late_ms", "share", "doubted"),
    [(99, 0.02, set()), (101, 0.02, {RATE}), (99, 0.09, set()), (99, 0.11, {LATENCY}), (101, 0.11, {RATE, LATENCY})],
)
def test_a_stall_moves_some_ends_and_no_median(late_ms: float, share: float, doubted: set[str]) -> None:
    with story() as told:
        begin(told)
        measured: dict[str, Any] = {"lag_p99_ms": 0.0, "lag_max_ms": late_ms, "late_share": share}
        told.line("noise", HIT - 500, what="runner", from_ns=t(HIT - 1_500), cpu={}, **measured)
        assert _doubted(told) == doubted


def _doubted(told: Story) -> set[str]:
    told.read(40_000)
    found: dict[str, Finding] = told.judged()
    return {name for name in (DRAINED, RATE, LATENCY) if found[name].reason.startswith("noise: ")}


@pytest.mark.parametrize(("lags", "near"), [((2, 3, 4, 30), False), ((9, 11, 13, 15), True)])
def test_of_what_whole_stretches_have_in_the_middle_the_mean_lag_counts(lags: tuple[int, ...], near: bool) -> None:
    """The median is 20.5 ms within its bound: one late second of four does not move it by as much."""
    with story() as told:
        told.load(0, END)
        told.fault(HIT, HEALED)
        told.expect("converges")
        for at in (*range(0, HIT, 50), *range(LAST, END, 50)):
            told.op(at, took=1)
        for second, lag in enumerate(lags):
            measured: dict[str, Any] = {"lag_p99_ms": lag, "lag_max_ms": 90.0, "late_share": 0.0}
            told.line("noise", HIT - 500 * second - 100, what="runner", from_ns=t(HIT - 500 - 500 * second), **measured)
        finding = came_out(told, LATENCY)
    assert finding.verdict is (INCONCLUSIVE if near else HOLDS)
    assert finding.reason.startswith("noise: ") is near
