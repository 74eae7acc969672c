from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from harness.history.compact import compact
from harness.history.reader import History
from harness.history.rows import OpId, Outcome, Step
from harness.report import stories
from harness.report.shape import Scenario
from harness.report.stories import Story as Told

from ..guarantees.synthetic import WORKER, Story, story
from . import verdicts
from .verdicts import HOSTILE


def of(make: Callable[[Story], OpId]) -> Told:
    """The story of the operation that `make` makes."""
    with story() as told:
        told.load(0, 10_000)
        told.done(told.op(0), 0)
        op = make(told)
        return stories.of(told.ended(), [told.marker(op)])[told.marker(op)]


def how(told: Told) -> dict[str, str]:
    return {step.step: step.how for step in told.steps}


def test_the_missing_step_is_marked_and_what_nobody_could_see_is_not_called_missing() -> None:
    told = of(lambda story: story.op(1_000))
    assert how(told) == {
        "offered": "seen",
        "accepted": "seen",
        "published": "unseen",
        "delivered": "unseen",
        "effect": "missing",
        "result": "missing",
    }


def test_each_step_says_when_and_who_saw_it() -> None:
    def doubled(told: Story) -> OpId:
        op = told.op(1_000, ref="their-1", took=5)
        told.effect(op, 2_000, by=WORKER)
        told.effect(None, 3_000, ref="their-1", attempt=2)
        told.end(Step.PENDING, op, 4_000)
        told.end(Step.PENDING, op, 5_000)
        return op

    says = {step.step: step.says for step in of(doubled).steps}
    assert says["offered"] == "+1.000 s"
    assert says["accepted"] == "yes after 5.0 ms, as their-1"
    assert says["effect"] == (
        "+2.000 s by search-0 (seen by effects); +3.000 s by search-0, attempt 2 (seen by effects)"
    )
    assert says["pending"] == "+5.000 s (seen by poll), the last of 2"


def test_what_was_not_seen_while_nobody_could_read_is_not_called_missing() -> None:
    def blind(told: Story) -> OpId:
        told.line("gap", 2_000, source="effects", from_ns=told.clock.now, to_ns=None, why="EOF")
        return told.op(1_000)

    told = of(blind)
    assert how(told)["effect"] == "unseen"
    assert how(told)["result"] == "missing"
    assert any("effects could not read from" in step.says for step in told.steps)


@pytest.mark.parametrize(("reads_again", "seen"), [(500, "missing"), (1_500, "unseen")])
def test_an_observer_that_reads_again_before_it_was_offered_would_have_seen_it(reads_again: int, seen: str) -> None:
    def blind(told: Story) -> OpId:
        began = told.clock.now
        told.line("gap", 100, source="effects", from_ns=began, to_ns=None, why="EOF")
        again = began + (reads_again - 100) * 1_000_000
        told.line("gap", reads_again, source="effects", from_ns=began, to_ns=again, why="EOF")
        return told.op(1_000)

    assert how(of(blind))["effect"] == seen


@pytest.mark.parametrize(
    ("outcome", "says"), [(Outcome.FAIL, "refused after"), (Outcome.UNKNOWN, "not known"), (None, "not known")]
)
def test_what_was_not_accepted_says_so(outcome: Outcome | None, says: str) -> None:
    told = of(lambda story: story.op(1_000, outcome))
    assert how(told)["accepted"] == "missing"
    assert says in told.steps[1].says


def test_an_operation_that_nobody_offered_has_a_story_too() -> None:
    def phantom(told: Story) -> OpId:
        told.effect(OpId(7, 7), 2_000)
        return OpId(7, 7)

    told = of(phantom)
    assert how(told)["offered"] == "missing"
    assert how(told)["effect"] == "seen"


def test_the_lines_around_are_the_nearest_and_harmless() -> None:
    def printed(told: Story) -> OpId:
        for at in range(0, 3_000, 100):
            told.line("output", at, node="web-0", text=f"line at {at}")
        told.line("output", 1_001, node="web-0", text=" ".join(HOSTILE).encode("utf-8", "replace").decode() + "x" * 900)
        told.line("output", 40_000, node="web-0", text="much later")
        return told.op(1_000)

    told = of(printed)
    assert [line.text for line in told.printed if not line.within] == [f"line at {at}" for at in range(500, 1_000, 100)]
    within = [line for line in told.printed if line.within]
    assert len(within) == stories.AFTER
    assert within[0].text == "line at 1000"
    assert r"\x1b[2J" in within[1].text
    assert "characters more" in within[1].text
    assert "\x1b" not in within[1].text


@pytest.mark.parametrize(
    "op", ["", "no id", "7f3a9k2m-0-118' OR 1=1", "../../etc", "a" * 9000, "7f3a9k2m-99999999999-1"]
)
def test_a_name_that_is_no_operation_s_has_no_story(op: str) -> None:
    with story() as told:
        told.load(0, 1_000)
        told.op(0)
        assert stories.of(told.ended(), [op]) == {}


def test_a_history_that_cannot_be_asked_has_no_stories() -> None:
    with story() as told:
        told.load(0, 1_000)
        op = told.op(0)
        told.ended()
        compact(told.folder)
        finding = verdicts.lost_finding() | {"stories": [{"op": told.marker(op), "lines": ["offered"]}]}
        scenario = cast(Scenario, verdicts.scenario("broker_crash", findings=[finding]))
        assert list(stories.read(History.open(told.folder, still=True), scenario)) == [told.marker(op)]
        for file in (told.folder / "operations").iterdir():
            file.write_bytes(b"PAR1 and nothing of it")
        assert stories.read(History.open(told.folder, still=True), scenario) == {}


def test_many_stories_are_asked_for_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    sql = History.sql

    def counted(self: History, query: str, *args: object) -> list[tuple[Any, ...]]:
        asked.append(query)
        return sql(self, query, *args)

    monkeypatch.setattr(History, "sql", counted)
    with story() as told:
        told.load(0, 10_000)
        ops = [told.op(at, ref=f"their-{at % 2}") for at in range(4)]
        told.effect(None, 100, ref="their-1")
        told.effect(ops[0], 200)
        found = stories.of(told.ended(), [told.marker(op) for op in ops])
    assert len(asked) == 3
    assert [how(found[told.marker(op)])["effect"] for op in ops] == ["seen", "seen", "missing", "seen"]
    assert [one.steps[1].says for one in found.values()] == [f"yes after 1.0 ms, as their-{n % 2}" for n in range(4)]
