"""What must be so of every decision, whatever the policy, the runs and the baseline."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, cast

from hypothesis import Phase, assume, event, given, settings
from hypothesis import strategies as st

from harness.gate.answer import Answer
from harness.gate.policy import Policy
from harness.report.shape import Run, Scenario
from tests.gate.stories import TODAY, decided, findings, policy, run
from tests.report import verdicts

UNITS = {"no_loss": ("operations", 0), "reconnects.works": ("s", 5), "available.latency": ("ms", None)}
CLAUSES = st.sampled_from(sorted(UNITS))
NAMES = st.sampled_from(["calm", "crash", "pause"])
PLACES = st.fixed_dictionaries({"clause": CLAUSES, "scenario": st.sampled_from(["*", "crash", "c*"])})
VERDICTS = st.sampled_from(["holds"] * 12 + ["violated", "inconclusive"])


@st.composite
def found(draw: st.DrawFn) -> verdicts.JSON:
    clause = draw(CLAUSES)
    unit, bound = UNITS[clause]
    value = draw(st.none() | st.sampled_from([0.0, 1.0, 2.0, 400.0]) | st.floats(0, 1000))
    return verdicts.finding(
        clause, draw(VERDICTS), unit=unit, bound=bound, measured=value, counted=draw(st.integers(0, 3))
    )


@st.composite
def scenario(draw: st.DrawFn) -> verdicts.JSON:
    exposes = draw(st.sampled_from([{}] * 9 + [{"M3": "no_loss"}]))
    faults = [verdicts.KILL | {"bit": draw(st.booleans())}] if draw(st.booleans()) else []
    state = "documented" if exposes else "hardened"
    return verdicts.scenario(
        draw(NAMES), state, exposes=exposes, faults=faults, findings=draw(st.lists(found(), min_size=1, max_size=4))
    )


@st.composite
def runs(draw: st.DrawFn, name: str) -> list[Run]:
    """Runs, most of them repetitions of one, since only such can be compared."""
    scenarios = st.lists(scenario(), min_size=1, max_size=2, unique_by=lambda one: str(one["id"]))
    first = draw(scenarios)
    made = [run(f"{name}-{number}", *copy.deepcopy(first)) for number in range(draw(st.integers(1, 6)))]
    if draw(st.integers(0, 3)) == 3:
        made.append(run(f"{name}-other", *draw(scenarios)))
    if draw(st.integers(0, 9)) == 9:
        made.append(cast(Run, verdicts.empty() | {"run": f"{name}-empty", "system": "ours"}))
    if draw(st.integers(0, 9)) == 9:
        made[0]["missing"] = ["gone[hardened]"]
    return made


def now_and_then(strategy: st.SearchStrategy[Any], otherwise: Any) -> st.SearchStrategy[Any]:
    """Most parts of a policy are left out, so that each answer comes up."""
    return st.integers(0, 3).flatmap(lambda drawn: strategy if drawn == 3 else st.just(otherwise))


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    days = st.integers(-2, 2).map(lambda number: TODAY + timedelta(days=number))
    known = st.builds(lambda place, last: {**place, "owner": "a", "reason": "b", "expires": last}, PLACES, days)
    bounds = st.builds(lambda place, most: {**place, "most": most}, PLACES, st.floats(0, 1000))
    timed = bounds.filter(lambda bound: bound["clause"] != "no_loss")
    names = st.lists(st.sampled_from([*UNITS, "reconnects"]), min_size=1, max_size=3)
    least = draw(now_and_then(st.integers(1, 3), 1))
    regression = st.fixed_dictionaries(
        {},
        optional={"chance": st.sampled_from([0.01, 0.5]), "shift_share": st.floats(0, 1), "shift_s": st.floats(0, 1)},
    )
    return policy(
        must_hold=draw(now_and_then(names, None)),
        inconclusive=draw(st.sampled_from(["cannot-say", "no-go", "unless-judged"])),
        least=draw(now_and_then(st.just({"scenarios": 2, "faults": 1}), {})),
        repetitions={"least": least, "may_fail": draw(st.integers(0, least - 1))},
        bounds=draw(now_and_then(st.lists(bounds, max_size=2), [])),
        budgets=draw(now_and_then(st.lists(timed, max_size=2), [])),
        known=draw(st.lists(known, max_size=2)),
        regression=draw(now_and_then(regression, None)),
    )


STORIES = st.tuples(policies(), runs("now"), runs("before"))
Story = tuple[Policy, list[Run], list[Run]]
many = settings(max_examples=40, deadline=None)


@many
@given(st.lists(scenario(), max_size=3, unique_by=lambda one: str(one["id"])), st.booleans())
def test_without_a_policy_it_is_the_exit_of_the_run(made: list[verdicts.JSON], gone: bool) -> None:
    one = cast(Run, verdicts.run(made, missing=["gone[x]"] * gone))
    worst = [1 if verdict == "violated" else 2 for scenario in made for verdict in _unexpected(scenario)]
    expected = 1 if 1 in worst else 2 if 2 in worst or gone or not made else 0
    assert decided(Policy(), [one]).answer.exit == expected


def _unexpected(scenario: verdicts.JSON) -> list[str]:
    """By the words of docs/guarantees.md, and by none of the code."""
    if all(one["bound"] is None and one["verdict"] == "holds" for one in scenario["findings"]):
        return ["inconclusive"]
    if not scenario["exposes"]:
        return [one["verdict"] for one in scenario["findings"] if one["verdict"] != "holds"]
    shown = [one["verdict"] for one in scenario["findings"] if one["clause"] == "no_loss"][-1:]
    return {(): ["inconclusive"], ("violated",): [], ("holds",): ["violated"]}.get(tuple(shown), ["inconclusive"])


def _where_all_must_hold(runs: list[Run]) -> list[Scenario]:
    return [one for each in runs for one in each["scenarios"] if not one["exposes"]]


@many
@given(STORIES, st.data())
def test_one_more_violation_never_turns_a_no_go_into_anything_else(story: Story, data: st.DataObject) -> None:
    chosen, now, before = story
    places = _where_all_must_hold(now)
    assume(places)
    earlier = decided(chosen, now, before).answer
    assume(earlier is Answer.NO_GO)
    more = data.draw(found().map(lambda one: one | {"verdict": "violated", "measured": None}))
    data.draw(st.sampled_from(places))["findings"].append(cast(Any, more))
    assert decided(chosen, now, before).answer is Answer.NO_GO


@many
@given(STORIES, st.data())
def test_a_violation_that_nobody_knows_of_is_a_no_go(story: Story, data: st.DataObject) -> None:
    chosen, now, before = story
    places = _where_all_must_hold(now)
    assume(places)
    more = data.draw(found().map(lambda one: one | {"verdict": "violated"}))
    one = data.draw(st.sampled_from(places))
    assume(chosen.decides(more["clause"]))
    assume(not any(weakness.clause == more["clause"] for weakness in chosen.known))
    assume(more["clause"] == "no_loss" or chosen.repetitions.may_fail == 0)
    one["findings"].append(cast(Any, more))
    assert decided(chosen, now, before).answer is Answer.NO_GO


def _no_evidence(now: list[Run], before: list[Run]) -> list[Callable[[], object]]:
    """Every way to take a piece of evidence away: a fault's, a finding's, a scenario's, a run of the baseline."""
    ways: list[Callable[[], object]] = []
    for each in now:
        for one in each["scenarios"]:
            ways += [partial(cast(Any, fault).update, bit=False) for fault in one["faults"]]
            ways.append(partial(_gone, each, one))
        ways += [partial(one.update, verdict="inconclusive", reason="gap: not read") for one in findings(each)]
    return ways + [partial(before.pop, at) for at in range(len(before))]


def _gone(run: Run, scenario: Scenario) -> None:
    run["scenarios"].remove(scenario)
    run["missing"].append(scenario["id"])


@many
@given(STORIES, st.data())
def test_less_evidence_never_makes_a_go(story: Story, data: st.DataObject) -> None:
    """Of what was no violation: who takes a violation away has mended it. A run that made up for another stays."""
    chosen, now, before = story
    violated = any(one["verdict"] == "violated" for each in now for one in findings(each))
    assume(not violated and chosen.inconclusive != "unless-judged")
    ways = _no_evidence(now, before)
    assume(ways)
    earlier = decided(chosen, now, before).answer
    event(f"earlier: {earlier}")
    data.draw(st.sampled_from(ways))()
    later = decided(chosen, now, before).answer
    assert later is not Answer.GO or earlier is Answer.GO


@many
@given(STORIES)
def test_the_order_of_runs_and_a_run_twice_change_nothing(story: Story) -> None:
    chosen, now, before = story
    answer = decided(chosen, now, before).answer
    assert decided(chosen, [*reversed(now)], [*reversed(before)]).answer is answer
    assert decided(chosen, [*now, *now], before).answer is answer


@many
@given(STORIES)
def test_it_changes_nothing_that_it_is_given(story: Story) -> None:
    chosen, now, before = story
    earlier = copy.deepcopy((now, before))
    decided(chosen, now, before)
    assert (now, before) == earlier


@many
@given(STORIES)
def test_an_answer_has_its_reasons_and_each_one_says_something(story: Story) -> None:
    decision = decided(*story)
    deciding = [reason.answer for reason in decision.deciding]
    assert (decision.answer is Answer.GO) == (not deciding)
    assert not deciding or decision.answer is deciding[0]
    assert all(reason.text and reason.do for reason in decision.deciding)


@many
@given(runs("now"), runs("before"), st.data())
def test_a_slower_time_never_ends_a_regression(now: list[Run], before: list[Run], data: st.DataObject) -> None:
    chosen = policy(regression={"chance": 0.5, "shift_share": 0.0, "shift_s": 0.0})
    timed = [
        one for each in now for one in findings(each) if one["unit"] != "operations" and one["measured"] is not None
    ]
    assume(timed)
    earlier = {
        (r.scenario, r.clause) for r in decided(chosen, now, before).reasons if r.rule == "regression" and r.value
    }
    data.draw(st.sampled_from(timed))["measured"] += data.draw(st.floats(0, 100))
    later = {(r.scenario, r.clause) for r in decided(chosen, now, before).reasons if r.rule == "regression" and r.value}
    assert earlier <= later


def test_every_answer_comes_up() -> None:
    """What is drawn above is not all of one kind."""
    answers: Counter[Answer] = Counter()

    @settings(max_examples=100, deadline=None, database=None, phases=[Phase.generate], derandomize=True)
    @given(STORIES)
    def draw(story: Story) -> None:
        answers[decided(*story).answer] += 1

    draw()
    assert min(answers[answer] for answer in Answer) >= 5, answers
