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


# ---- latency, silence, hangs: judged where a scenario bounds them --------------------------------------------------

LATENCY, SILENCE, HANGS = ("available.latency", "available.silence", "available.hangs")
DEADLINE_MS = 2_000


@pytest.mark.parametrize("clause", [LATENCY, SILENCE, HANGS])
def test_what_nobody_bounds_is_measured_alone(clause: str) -> None:
    with story() as told:
        told.load(0, END)
        told.fault(HIT, HEALED)
        for n in range(40):
            told.op(HIT + n, Outcome.UNKNOWN, took=DEADLINE_MS)
        told.op(HIT, None)
        finding = came_out(told, clause)
    assert (finding.verdict, finding.bound, finding.reason.endswith("; measured, not judged")) == (HOLDS, None, True)
    assert finding.measured == pytest.approx({LATENCY: 2_000, SILENCE: 3.0, HANGS: 41}[clause], rel=0.02)


@pytest.mark.parametrize(("slow", "verdict"), [(5, HOLDS), (6, VIOLATED)])
@pytest.mark.parametrize("how", ["slow answers", "slow refusals", "late begins", "given up"])
def test_one_operation_in_twenty_may_be_slow(slow: int, verdict: Verdict, how: str) -> None:
    """Of a hundred; counted from when it was meant to begin; and what is not answered counts with its waiting."""
    with story() as told:
        told.load(0, END)
        told.fault(HIT, HEALED)
        wronged = []
        for n in range(100):
            at = HIT + 10 * n
            if n >= slow:
                told.done(told.op(at, took=80), at)
            elif how == "late begins":
                wronged.append(told.op(at + 200, took=1, intended=at))
            else:
                outcome = {"slow answers": Outcome.OK, "slow refusals": Outcome.FAIL}.get(how, Outcome.UNKNOWN)
                wronged.append(told.op(at, outcome, took=200))
        told.expect("available", latency_ms=100)
        finding = came_out(told, LATENCY)
    assert (finding.verdict, finding.counted) == (verdict, 100)
    assert finding.measured == pytest.approx(200 if verdict is VIOLATED else 80, rel=1 / 64)
    assert finding.ops == (named(told, *wronged) if verdict is VIOLATED else ())


@pytest.mark.parametrize(("open_", "verdict"), [(5, HOLDS), (6, VIOLATED)])
def test_what_is_never_answered_is_slow(open_: int, verdict: Verdict) -> None:
    """One in twenty may be; to leave it out would flatter."""
    with story() as told:
        told.load(0, END)
        told.fault(HIT, HEALED)
        never = [told.op(HIT + n, None) for n in range(open_)]
        for at in range(HIT + 10, HIT + 10 * (101 - open_), 10):
            told.done(told.op(at, took=80), at)
        told.expect("available", latency_ms=100)
        finding = came_out(told, LATENCY)
    assert (finding.verdict, finding.counted) == (verdict, 100)
    assert finding.ops == (named(told, *never) if verdict is VIOLATED else ())


@pytest.mark.parametrize(("silence_s", "verdict"), [(0.99, VIOLATED), (1.01, HOLDS), (3.0, INCONCLUSIVE)])
@pytest.mark.parametrize(("since", "until"), [(5_400, 6_400), (HIT, HIT + 1_000), (HEALED - 1_000, HEALED)])
def test_silence_is_between_two_accepted_answers_or_the_windows_edges(
    silence_s: float, verdict: Verdict, since: int, until: int
) -> None:
    """Refusals do not break it. A silence cannot be longer than the window, so that a longer bound says nothing."""
    with story() as told:
        told.load(0, END)
        told.fault(HIT, HEALED)
        mute = []
        for at in range(HIT, HEALED + 1, 10):
            if since < at < until:
                mute.append(told.op(at, Outcome.FAIL))
            else:
                told.op(at, took=0)
        told.expect("available", silence_s=silence_s)
        finding = came_out(told, SILENCE)
    assert finding.verdict is verdict
    if verdict is not INCONCLUSIVE:
        assert finding.measured == pytest.approx(1.0)
        assert finding.ops_total == (len(mute) if verdict is VIOLATED else 0)
        assert set(finding.ops) <= set(named(told, *mute))


@pytest.mark.parametrize("outcome", [Outcome.FAIL, Outcome.UNKNOWN])
def test_without_an_accepted_answer_all_is_silence(outcome: Outcome) -> None:
    with story() as told:
        told.load(0, END)
        told.fault(HIT, HEALED)
        for at in range(HIT, HEALED, 50):
            told.op(at, outcome)
        told.expect("available", silence_s=2.9)
        finding = came_out(told, SILENCE)
    assert (finding.verdict, finding.measured, finding.ops_total) == (VIOLATED, 3.0, 59)


@pytest.mark.parametrize(
    ("outcome", "took", "hangs"),
    [
        (Outcome.UNKNOWN, DEADLINE_MS - 1e-6, False),  # closed before the answer: an end all the same
        (Outcome.UNKNOWN, DEADLINE_MS, True),  # given up
        (Outcome.OK, DEADLINE_MS, False),
        (Outcome.OK, DEADLINE_MS + 1_000, False),
        (Outcome.OK, DEADLINE_MS + 1_000 + 1e-6, True),
        (Outcome.FAIL, DEADLINE_MS + 1_000 + 1e-6, True),
        (None, 0, True),
    ],
)
def test_an_operation_hangs_that_is_not_completed_in_time(outcome: Outcome | None, took: float, hangs: bool) -> None:
    with story() as told:
        told.load(0, END)
        told.fault(HIT, HEALED)
        told.work(HIT, HEALED)
        op = told.op(6_001, outcome, took=took)
        told.expect("available")
        finding = came_out(told, HANGS)
    assert (finding.verdict, finding.measured, finding.bound) == (VIOLATED if hangs else HOLDS, int(hangs), 0)
    assert finding.ops == (named(told, op) if hangs else ())


@pytest.mark.parametrize(("watched", "verdict"), [(3_000, INCONCLUSIVE), (3_000 + 1e-6, VIOLATED)])
def test_what_was_not_watched_until_its_deadline_cannot_be_told(watched: float, verdict: Verdict) -> None:
    with story() as told:
        told.load(0, HEALED)
        told.fault(HIT, HEALED)
        told.work(HIT, HEALED)
        told.op(HEALED, None)
        told.expect("available")
        finding = told.judged(HEALED + watched)[HANGS]
    assert finding.verdict is verdict


@pytest.mark.parametrize(("answered", "verdict"), [(19, INCONCLUSIVE), (20, HOLDS)])
@pytest.mark.parametrize("clause", [LATENCY, SILENCE, HANGS])
def test_bounds_that_hardly_an_answer_kept_say_nothing(answered: int, verdict: Verdict, clause: str) -> None:
    with story() as told:
        told.load(0, END)
        told.fault(HIT, HEALED)
        for n in range(60):
            told.op(HIT + 50 * n, Outcome.OK if n % 3 == 0 and n // 3 < answered else Outcome.UNKNOWN)
        told.expect("available", latency_ms=500, silence_s=2.9)
        assert came_out(told, clause).verdict is verdict
