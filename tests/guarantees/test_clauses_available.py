"""The edges of available.failed: whose failure counts, until when a result is in time, and how many may fail."""

from __future__ import annotations

import pytest

from harness.history.rows import Outcome
from harness.verdict import Verdict

from .synthetic import END, HEALED, HIT, HOLDS, INCONCLUSIVE, RESULTS_MS, VIOLATED, came_out, named, story


@pytest.mark.parametrize(
    ("after_ms", "proved", "late"),
    [(RESULTS_MS, True, False), (RESULTS_MS + 1e-6, True, True), (10, False, True), (None, True, True)],
)
def test_a_result_counts_up_to_its_deadline(after_ms: float | None, proved: bool, late: bool) -> None:
    with story(calm=True) as told:
        told.load(0, END)
        told.work(0, END)
        op = told.op(9_000)
        told.effect(op, 9_001)
        if after_ms is not None:
            told.result(op, 9_000 + after_ms, proved=proved)
        finding = came_out(told, "available.failed")
    assert (finding.verdict, finding.bound) == (VIOLATED if late else HOLDS, 0.0)
    assert finding.ops == (named(told, op) if late else ())
    assert finding.measured == (1 / 401 if late else 0)


@pytest.mark.parametrize("failed", [0.0, 0.25, 0.5])
@pytest.mark.parametrize("over", [0, 1])
@pytest.mark.parametrize("outcome", [Outcome.FAIL, Outcome.UNKNOWN, None])
def test_the_share_that_failed_may_be_just_what_is_allowed(failed: float, over: int, outcome: Outcome | None) -> None:
    with story(calm=True, promises={"failed": failed}) as told:
        told.load(0, END)
        bad = int(100 * failed) + over
        for n in range(100):
            if n < bad:
                told.op(n, outcome)
            else:
                told.done(told.op(n), n)
        finding = came_out(told, "available.failed")
    assert (finding.verdict, finding.measured) == (VIOLATED if over else HOLDS, bad / 100)
    assert (finding.ops_total, len(finding.ops)) == (bad, min(bad, 20))


@pytest.mark.parametrize("expected", [None, 0.4, 0.5])
def test_under_a_fault_it_is_measured_and_judged_where_a_scenario_bounds_it(expected: float | None) -> None:
    """Of those intended in the window, its edges included: 15 refused and 15 done; what is outside does not count."""
    with story(promises={"failed": 0.0}) as told:
        told.load(0, END)
        told.fault(HIT, HEALED)
        for n in range(15):
            told.done(told.op(HIT + 100 * n, intended=HIT), 6_600)
            told.op(HEALED + 100 * n, Outcome.FAIL, intended=HEALED)
        for at, intended in ((HIT, HIT - 1e-6), (HEALED, HEALED + 1e-6)):
            told.op(at, Outcome.FAIL, intended=intended)
        if expected is not None:
            told.expect("available", failed=expected)
        finding = came_out(told, "available.failed")
    assert (finding.counted, finding.measured, finding.bound) == (30, 0.5, expected)
    assert finding.verdict is (VIOLATED if expected == 0.4 else HOLDS)
    assert ("not judged" in finding.reason) is (expected is None)


@pytest.mark.parametrize(("offered", "verdict"), [(19, INCONCLUSIVE), (20, HOLDS)])
def test_availability_is_of_twenty_operations_in_the_window(offered: int, verdict: Verdict) -> None:
    with story() as told:
        told.load(0, END)
        told.work(0, HIT)
        told.fault(HIT, HEALED)
        for n in range(offered):
            told.done(told.op(HIT + n), HIT + n)
        told.expect("available", failed=0.0)
        assert came_out(told, "available.failed").verdict is verdict


@pytest.mark.parametrize("outcome", Outcome)
def test_what_is_not_polled_is_done_when_it_is_acknowledged(outcome: Outcome) -> None:
    with story("bare", calm=True) as told:
        told.load(0, END)
        for at in range(0, 1_000, 10):
            told.op(at, workload="messages", seq=at + 1)
        op = told.op(2_000, outcome, workload="messages", seq=2_001)
        told.read(40_000, "stream")
        finding = told.judged()["available.failed"]
    assert finding.ops == (() if outcome is Outcome.OK else named(told, op))
    assert finding.verdict is (HOLDS if outcome is Outcome.OK else VIOLATED)


def test_what_nobody_was_promised_failed_though_it_was_done() -> None:
    with story(calm=True) as told:
        told.load(0, END)
        told.work(0, END)
        op = told.done(told.op(9_000, Outcome.UNKNOWN), 9_000)
        finding = came_out(told, "available.failed")
    assert (finding.verdict, finding.ops) == (VIOLATED, named(told, op))
    assert "0 refused, 1 unknown, 0 with" in finding.reason
