"""Each part of a policy decides what it says, and says it in one sentence."""

from __future__ import annotations

import json
import re
from datetime import date, timedelta
from typing import Any, cast

import pytest

from harness.gate.answer import Answer
from harness.gate.lines import as_json, of_decision
from harness.gate.policy import Policy
from harness.report.shape import Run
from harness.report.terminal import Look
from tests.gate.stories import (
    RECOVERY,
    TODAY,
    decided,
    findings,
    known,
    policy,
    reasons,
    recovering,
    repeated,
    run,
)
from tests.report import verdicts

LATE = recovering("late", 8.2, verdict="violated", reason="web-0 came back late")
REGRESSION = policy(regression={})
BEFORE = repeated(0.80, 0.81, 0.79, 0.83, 0.82, name="before")


@pytest.mark.parametrize("story", verdicts.ALL)
def test_without_a_policy_it_says_what_the_exit_says(story: str) -> None:
    found = cast(Run, verdicts.ALL[story]())
    assert decided(Policy(), [found]).answer.exit == found["exit"]


def test_of_several_runs_the_worst_counts() -> None:
    good, bad, unsure = (cast(Run, make()) for make in (verdicts.green, verdicts.red, verdicts.inconclusive))
    for name, one in (("a", good), ("b", bad), ("c", unsure)):
        one["run"] = name
    assert decided(Policy(), [good, unsure]).answer is Answer.CANNOT_SAY
    assert decided(Policy(), [good, unsure, bad]).answer is Answer.NO_GO
    assert decided(Policy(), []).answer is Answer.CANNOT_SAY


def test_a_reason_names_clause_scenario_value_bound_and_what_to_do() -> None:
    (reason,) = decided(Policy(), [LATE]).deciding
    for word in (RECOVERY, "crash[hardened]", "8.2 s", "bound 5 s", "web-0 came back late", "nats-harness replay"):
        assert word in reason.text
    assert (reason.clause, reason.scenario, reason.value, reason.bound) == (RECOVERY, "crash[hardened]", 8.2, 5)


def test_what_need_not_hold_is_told_and_decides_nothing() -> None:
    decision = decided(policy(must_hold=["no_loss"]), [LATE])
    assert decision.answer is Answer.GO
    assert [reason.clause for reason in decision.told] == [RECOVERY]
    assert decided(policy(must_hold=["reconnects"]), [LATE]).answer is Answer.NO_GO


def test_what_must_hold_must_be_judged() -> None:
    decision = decided(policy(must_hold=["no_loss", "drains"]), [run("a")])
    assert decision.answer is Answer.CANNOT_SAY
    assert [reason.clause for reason in decision.deciding] == ["drains"]
    only_measured = run("a", verdicts.scenario("crash", findings=[verdicts.finding("no_loss", bound=None)]))
    assert reasons(decided(policy(must_hold=["no_loss"]), [only_measured]), "must_hold")


def test_a_bound_tightens() -> None:
    tight = [{"clause": RECOVERY, "most": 2}]
    decision = decided(policy(bounds=tight), [recovering("a", 3.5)])
    (reason,) = decision.deciding
    assert (decision.answer, reason.value, reason.bound) == (Answer.NO_GO, 3.5, 2)
    assert "3.5 s in a: the policy's bound is 2 s" in reason.text
    assert decided(policy(bounds=tight), [recovering("a", 2.0)]).answer is Answer.GO
    assert decided(policy(bounds=[{"clause": RECOVERY, "most": 20}]), [LATE]).answer is Answer.NO_GO, "never loosens"
    assert decided(policy(bounds=[{**tight[0], "scenario": "calm*"}]), [run("a", verdicts.calm())]).answer.exit == 2


def test_what_need_not_hold_still_has_its_bound_and_nothing_is_said_twice() -> None:
    tight = [{"clause": RECOVERY, "most": 4}]
    never = recovering("never", None, verdict="violated")
    for one in (LATE, never):
        assert decided(policy(must_hold=["no_loss"], bounds=tight), [one, recovering("b", 1)]).answer is Answer.NO_GO
        assert [reason.rule for reason in decided(policy(bounds=tight), [one, recovering("b", 1)]).reasons] == [
            "violated"
        ]
    assert decided(policy(bounds=tight, known=[known()]), [recovering("a", 4.5)]).answer is Answer.GO, "known"


@pytest.mark.parametrize("place", [{"scenario": "other"}, {"state": "other"}, {"system": "other"}])
def test_a_bound_that_nothing_was_measured_against_cannot_say(place: dict[str, str]) -> None:
    decision = decided(policy(bounds=[{"clause": RECOVERY, "most": 9, **place}]), [recovering("a", 1)])
    assert decision.answer is Answer.CANNOT_SAY
    assert "nothing was measured of reconnects.works of" in decision.deciding[0].text


def test_a_budget_is_for_the_whole_run() -> None:
    timed = [verdicts.finding(RECOVERY, bound=5, measured=seconds, unit="s") for seconds in (2, 3)]
    both = run("a", *(verdicts.scenario(f"crash_{n}", findings=[one]) for n, one in enumerate(timed)))
    assert decided(policy(budgets=[{"clause": RECOVERY, "most": 5}]), [both, both]).answer is Answer.GO
    (reason,) = decided(policy(budgets=[{"clause": RECOVERY, "most": 4}]), [both]).deciding
    assert (reason.answer, reason.value, reason.bound) == (Answer.NO_GO, 5, 4)
    assert "3 s of it in crash_1[hardened]" in reason.text


def test_a_budget_of_shares_is_weighed_by_what_they_count() -> None:
    shares = [("few", 1.0, 10), ("many", 0.0, 990)]
    made = [
        verdicts.scenario(
            name, findings=[verdicts.finding("available.failed", measured=m, counted=c, unit="share", bound=1)]
        )
        for name, m, c in shares
    ]
    assert decided(policy(budgets=[{"clause": "available.failed", "most": 0.01}]), [run("a", *made)]).answer.exit == 0
    assert decided(policy(budgets=[{"clause": "available.failed", "most": 0.009}]), [run("a", *made)]).answer.exit == 1


@pytest.mark.parametrize(
    ("least", "exit_"), [({"scenarios": 2, "faults": 1}, 0), ({"scenarios": 3}, 2), ({"faults": 2}, 2)]
)
def test_least_numbers_count_each_once(least: dict[str, int], exit_: int) -> None:
    """Two scenarios, one fault: that they were run twice makes no more of them."""
    decision = decided(policy(least=least), [run("a"), run("b")])
    assert decision.answer.exit == exit_
    assert [reason.rule for reason in decision.deciding] == ["least"] * (exit_ > 0)


def test_a_fault_without_evidence_does_not_count() -> None:
    unseen = verdicts.scenario("crash", faults=[verdicts.KILL | {"bit": False}])
    (reason,) = decided(policy(least={"faults": 1}), [run("a", unseen)]).deciding
    assert reason.text.startswith("0 faults with evidence, and the policy asks for 1")


def test_a_system_that_is_asked_for_must_have_a_run() -> None:
    decision = decided(policy(least={"systems": ["ours", "theirs"]}), [run("a")])
    assert [reason.system for reason in decision.deciding] == ["theirs"]
    assert decision.answer is Answer.CANNOT_SAY


def test_a_known_weakness_is_told_until_it_expires() -> None:
    decision = decided(policy(known=[known()]), [LATE])
    assert decision.answer is Answer.GO
    assert "it is known until 2026-12-31 (Ada: waits for nats-py 3)" in decision.told[0].text


@pytest.mark.parametrize(("days", "exit_"), [(0, 0), (-1, 1)])
def test_the_last_day_of_a_weakness_still_counts(days: int, exit_: int) -> None:
    decision = decided(policy(known=[known(expires=TODAY + timedelta(days=days))]), [LATE])
    assert decision.answer.exit == exit_


def test_an_expired_weakness_is_violated_and_says_whose_it_is() -> None:
    decision = decided(policy(known=[known(expires=date(2026, 10, 1))]), [LATE])
    (reason,) = decision.deciding
    assert (decision.answer, reason.rule) == (Answer.NO_GO, "expired")
    for word in (RECOVERY, "8.2 s", "bound 5 s", "expired on 2026-10-01", "Ada", "waits for nats-py 3"):
        assert word in reason.text


@pytest.mark.parametrize(
    "place", [{"scenario": "other"}, {"state": "other"}, {"system": "other"}, {"clause": "no_loss"}]
)
def test_a_weakness_is_known_where_it_says_and_nowhere_else(place: dict[str, str]) -> None:
    assert decided(policy(known=[known(**place)]), [LATE]).answer is Answer.NO_GO


def test_a_weakness_that_does_not_show_any_more_is_told() -> None:
    decision = decided(policy(known=[known()]), [recovering("a", 1)])
    assert decision.answer is Answer.GO
    assert "does not show any more; ask Ada" in decision.told[0].text
    assert "was not judged here" in decided(policy(known=[known(scenario="x")]), [recovering("a", 1)]).told[0].text


def test_each_clause_is_judged_as_often_as_asked() -> None:
    thrice = policy(repetitions={"least": 3})
    decision = decided(thrice, repeated(1, 1))
    assert decision.answer is Answer.CANNOT_SAY
    assert "judged in 2 runs, and the policy asks for 3" in decision.deciding[0].text
    assert decided(thrice, repeated(1, 1, 1)).answer is Answer.GO
    assert decided(thrice, [recovering("same", 1)] * 3).answer is Answer.CANNOT_SAY, (
        "one run is no repetition of itself"
    )


def test_a_time_may_fail_as_often_as_the_policy_says_and_a_loss_never() -> None:
    lenient = policy(repetitions={"least": 3, "may_fail": 1})
    decision = decided(lenient, [*repeated(1, 1), LATE])
    assert decision.answer is Answer.GO
    assert "1 of 3 runs, and 1 may fail" in decision.told[0].text
    assert decided(lenient, [*repeated(1, 1), LATE, recovering("b", 9, verdict="violated")]).answer is Answer.NO_GO
    lost = run("lost", verdicts.scenario("crash", findings=[verdicts.lost_finding(1)]))
    for runs in ([run("a"), run("b"), lost], [run(f"good-{n}") for n in range(50)] + [lost]):
        assert reasons(decided(lenient, runs), "violated")


@pytest.mark.parametrize(("means", "exits"), [("cannot-say", (2, 2)), ("no-go", (1, 1)), ("unless-judged", (2, 0))])
def test_what_inconclusive_means(means: str, exits: tuple[int, int]) -> None:
    doubtful = recovering("doubtful", 1, verdict="inconclusive", reason="noise: 80 ms late")
    gone = run("gone", verdicts.calm(), missing=["crash[hardened]"])
    raised = run("raised", verdicts.scenario("crash", findings=[]))
    for one in (doubtful, gone, raised):
        assert decided(policy(inconclusive=means), [one]).answer.exit == exits[0]
        assert decided(policy(inconclusive=means), [one, recovering("b", 1)]).answer.exit == exits[1]


def test_a_regression_needs_the_test_and_the_shift() -> None:
    worse = repeated(2.41, 2.44, 2.40, 2.39, 2.52)
    (reason,) = decided(REGRESSION, worse, BEFORE).deciding
    assert (reason.answer, reason.rule, reason.clause) == (Answer.NO_GO, "regression", RECOVERY)
    for word in ("crash[hardened]", "2.41 s", "0.81 s", "1.6 s later", "once in 252 times", "baseline accept RUN"):
        assert word in reason.text
    small = repeated(0.88, 0.87, 0.89, 0.88, 0.86)
    assert decided(REGRESSION, small, BEFORE).answer is Answer.GO, "sure, and too small a shift"
    scattered = repeated(0.80, 0.81, 3.0, 2.9, 2.8)
    assert decided(REGRESSION, scattered, BEFORE).answer is Answer.GO, "a large shift, and by chance once in 36 times"
    assert decided(policy(regression={"chance": 0.2}), scattered, BEFORE).answer is Answer.NO_GO
    assert decided(REGRESSION, repeated(0.2, 0.2, 0.2, 0.2, 0.2), BEFORE).answer is Answer.GO, "better is not worse"
    assert decided(Policy(), worse, BEFORE).answer is Answer.GO, "nobody asked"
    assert decided(policy(regression={"clauses": ["drains"]}), worse, BEFORE).answer is Answer.GO


@pytest.mark.parametrize(("share", "seconds", "exit_"), [(0.0, 2.0, 0), (3.0, 0.0, 0), (0.5, 0.5, 1)])
def test_the_least_shift_is_the_larger_of_two(share: float, seconds: float, exit_: int) -> None:
    chosen = policy(regression={"shift_share": share, "shift_s": seconds})
    assert decided(chosen, repeated(2.4, 2.4, 2.4, 2.4, 2.4), BEFORE).answer.exit == exit_


def test_a_least_shift_in_seconds_is_one_of_milliseconds_too() -> None:
    def latencies(name: str, ms: float) -> list[Run]:
        found = [
            verdicts.finding("available.latency", bound=None, unit="ms", measured=ms + number) for number in range(5)
        ]
        lost = verdicts.finding("no_loss")
        return [
            run(f"{name}-{number}", verdicts.scenario("crash", findings=[lost, one]))
            for number, one in enumerate(found)
        ]

    assert decided(REGRESSION, latencies("now", 90), latencies("before", 10)).answer is Answer.GO
    assert decided(REGRESSION, latencies("now", 190), latencies("before", 10)).answer is Answer.NO_GO


@pytest.mark.parametrize("name", ["now", "before"])
def test_under_five_samples_are_too_few(name: str) -> None:
    four = repeated(9, 9, 9, 9, name="four")
    runs, before = (four, BEFORE) if name == "now" else (repeated(4, 4, 4, 4, 4), four)
    (reason,) = decided(REGRESSION, runs, before).deciding
    assert (reason.answer, reason.rule, reason.value, reason.bound) == (Answer.CANNOT_SAY, "too few", 4, 5)
    assert "too few to compare" in reason.text
    assert "rounds 5" in reason.text if name == "now" else "baseline accept" in reason.text
    told = decided(policy(regression={"too_few": "reported"}), runs, before)
    assert (told.answer, told.told[0].rule) == (Answer.GO, "too few")


def test_a_run_of_the_baseline_is_not_compared_with_itself() -> None:
    decision = decided(REGRESSION, BEFORE, BEFORE)
    assert decision.answer is Answer.CANNOT_SAY
    assert "the baseline has none but these runs of ours, processes" in decision.deciding[0].text
    assert "there is no baseline of ours, processes" in decided(REGRESSION, BEFORE).deciding[0].text


def test_what_held_without_a_time_to_measure_is_told() -> None:
    """As draining, where there was nothing left to take; but not where it held too seldom."""
    told = [recovering(f"told-{number}", None) for number in range(4)]
    decision = decided(REGRESSION, [*told, recovering("one", 9)], BEFORE)
    assert (decision.answer, [reason.rule for reason in decision.told]) == (Answer.GO, ["too few"])
    assert "it held in as many runs, without a time to measure" in decision.told[0].text
    assert decided(REGRESSION, told, BEFORE).answer is Answer.CANNOT_SAY


def test_what_is_violated_is_no_sample() -> None:
    """Or one more violation, of a weakness that is known, could end a regression."""
    chosen = policy(regression={}, known=[known()])
    more = [recovering(f"more-{number}", 0.1, verdict="violated") for number in range(5)]
    assert decided(chosen, [*repeated(2.4, 2.4, 2.4, 2.4, 2.4), *more], BEFORE).answer is Answer.NO_GO


def test_a_known_violation_alone_is_nothing_judged() -> None:
    only = verdicts.finding(RECOVERY, "violated", bound=5, measured=8, unit="s")
    decision = decided(policy(known=[known()]), [run("a", verdicts.scenario("crash", findings=[only]))])
    assert decision.answer is Answer.CANNOT_SAY
    assert "nothing was judged" in decision.deciding[0].text


def test_another_runtime_is_no_baseline() -> None:
    for one in (elsewhere := repeated(1, 1, 1, 1, 1, name="elsewhere")):
        one["runtime"] = "containers"
    assert decided(REGRESSION, repeated(1, 1, 1, 1, 1), elsewhere).answer is Answer.CANNOT_SAY


def test_what_the_baseline_judged_must_be_judged() -> None:
    gone = [run(f"gone-{n}", verdicts.scenario("crash", findings=[verdicts.finding("no_loss")])) for n in range(5)]
    decision = decided(policy(regression={"too_few": "reported"}), gone, BEFORE)
    assert decision.answer is Answer.CANNOT_SAY
    assert "reconnects.works of crash[hardened] (ours) was judged in the baseline" in decision.deciding[0].text


def test_a_regression_says_which_versions_changed() -> None:
    for one in (now := repeated(4, 4, 4, 4, 4)):
        one["versions"] = {**one["versions"], "nats-server": "2.13.0"}
    (reason,) = decided(REGRESSION, now, BEFORE).deciding
    assert "(changed since: nats-server 2.12.8 to 2.13.0)" in reason.text


def test_a_weakness_of_the_system_file_that_does_not_show_is_a_no_go_whatever_must_hold() -> None:
    decision = decided(policy(must_hold=["no_loss"]), [cast(Run, verdicts.unexposed())])
    assert decision.answer is Answer.NO_GO
    assert "M3 was to show as no_loss violated; it holds" in decision.deciding[0].text


def test_hostile_words_stay_on_their_line_and_colour_nothing() -> None:
    hostile: Any = verdicts.hostile()
    hostile["scenarios"][0]["findings"][0]["clause"] = "no_loss"
    hostile["scenarios"][0]["id"] = "::error::" + hostile["scenarios"][0]["id"]
    evil = known(clause="no_loss", owner="\x1b[31mA\nGO", reason="::error::x\x07")
    for one in (policy(), policy(known=[evil]), policy(known=[known(**{**evil, "expires": date(2020, 1, 1)})])):
        decision = decided(one, [hostile])
        told = of_decision(decision, "gate\x1b[2J.toml", Look())
        assert len(told) == 2 + len(decision.reasons) + (not decision.deciding) + bool(decision.told)
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202e\ud800-\udfff]", "".join(told))
        assert not any(line.lstrip().startswith("::") for line in told), "no command of a workflow"
        assert json.dumps(as_json(decision, "x"), ensure_ascii=False).isprintable()
        assert all("nats-harness" not in line or len(line) < 1000 for line in told), "what to do is not cut off"


def test_json_says_the_same() -> None:
    decision = decided(policy(known=[known(scenario="x")]), [LATE])
    found = as_json(decision, "gate.toml")
    assert (found["answer"], found["exit"]) == ("NO-GO", 1)
    assert [reason["decides"] for reason in found["reasons"]] == [True, False]
    assert len(list(findings(LATE))) == 2
