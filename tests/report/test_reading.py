from __future__ import annotations

from typing import cast

import pytest

from harness.report import page, reading, terminal
from harness.report.reading import Standing
from harness.report.shape import Run, Scenario

from . import verdicts
from .verdicts import JSON, finding, good_findings, lost_finding, scenario


def one(**given: object) -> Scenario:
    return cast(Scenario, scenario("broker_crash", **given))  # type: ignore[arg-type]


def standings(scenario: Scenario) -> list[Standing]:
    return [reading.standing(scenario, found) for found in scenario["findings"]]


def test_where_everything_must_hold_all_else_is_unexpected() -> None:
    doubtful = finding("effects", "inconclusive")
    assert standings(one(findings=[finding("no_phantoms"), lost_finding(), doubtful])) == [
        Standing.HOLDS,
        Standing.UNEXPECTED,
        Standing.UNEXPECTED,
    ]


def test_where_a_weakness_must_show_its_clause_alone_decides() -> None:
    shown = one(
        state="documented", exposes={"M3": "no_loss"}, findings=[lost_finding(), finding("effects", "inconclusive")]
    )
    assert standings(shown) == [Standing.SHOWN, Standing.ASIDE]
    assert reading.cell(shown, "no_loss").letters == "V*"
    assert reading.cell(shown, "effects").letters == "I°"


@pytest.mark.parametrize(("verdict", "letters"), [("holds", "H!"), ("inconclusive", "I")])
def test_a_weakness_that_does_not_show_is_unexpected(verdict: str, letters: str) -> None:
    hidden = one(state="documented", exposes={"M3": "no_loss"}, findings=[finding("no_loss", verdict)])
    assert standings(hidden) == [Standing.UNEXPECTED]
    assert reading.cell(hidden, "no_loss").letters == letters


def test_a_weakness_without_evidence_is_unexpected_though_its_clause_is_violated() -> None:
    hidden = one(state="documented", exposes={"M3": "no_loss"}, findings=[lost_finding()], reproduced={"M3": False})
    assert standings(hidden) == [Standing.UNEXPECTED]


def documented(*found: JSON) -> Scenario:
    """M3 shows, whatever becomes of W1."""
    exposes = {"M3": "no_loss", "W1": "degrades.health"}
    return cast(Scenario, scenario("broker_crash", "documented", exposes=exposes, findings=[lost_finding(), *found]))


@pytest.mark.parametrize(("verdict", "called"), [("inconclusive", "inconclusive"), ("holds", "violated")])
def test_what_is_not_as_expected_gives_the_name_and_not_what_shows_as_it_must(verdict: str, called: str) -> None:
    doubted = documented(finding("degrades.health", verdict))
    assert doubted["verdict"] == "violated"
    assert reading.wrong(doubted) == called
    mark = {"inconclusive": "??  ", "violated": "FAIL"}[called]
    assert terminal.scenario_lines(doubted, terminal.Look())[0].startswith(mark)
    html = page.render(verdicts.run([cast(JSON, doubted)], states={"documented": {"expect": "exposed"}}))
    assert (
        f'</code> <span class="badge {called}">{called}</span> <span class="quiet">not as expected</span></h3>' in html
    )
    assert f'<td class="{called}">NO</td>' in html


def test_what_is_in_doubt_and_decides_nothing_is_no_alarm() -> None:
    shown, doubted = (
        documented(finding("effects", "inconclusive")),
        documented(finding("degrades.health", "inconclusive")),
    )
    runs = [cast(Run, verdicts.run([cast(JSON, one)])) for one in (shown, doubted)]
    assert [(sums.clauses["inconclusive"], sums.doubtful) for sums in map(reading.sums, runs)] == [(1, 0), (1, 1)]


def test_a_weakness_whose_clause_was_not_judged_is_said() -> None:
    hidden = one(state="documented", exposes={"M3": "no_loss"}, findings=[finding("effects")], reasons=[])
    assert reading.cell(hidden, "no_loss").letters == "–!"
    assert reading.reasons_besides(hidden) == ["M3 was to show as no_loss violated; it was not judged"]


def test_calm_must_hold_in_every_state() -> None:
    broken = cast(Scenario, scenario("calm", "documented", findings=[lost_finding()], faults=[]))
    assert standings(broken) == [Standing.UNEXPECTED]


def test_one_clause_of_several_findings_shows_the_worst() -> None:
    both = one(findings=[finding("reconnects.notices"), finding("reconnects.notices", "violated")])
    assert reading.cell(both, "reconnects.notices").letters == "V"
    shown = one(state="documented", exposes={"C3": "a.b"}, findings=[finding("a.b"), finding("a.b", "violated")])
    assert standings(shown) == [Standing.HOLDS, Standing.SHOWN]


def test_not_asked_and_not_judged_differ() -> None:
    blind = one(not_judged={"redelivers": "effects = ..."})
    assert reading.cell(blind, "redelivers").letters == reading.cell(blind, "redelivers.again").letters == "–"
    assert reading.cell(blind, "drains.exits").letters == "·"
    columns = reading.columns(cast(Run, verdicts.run([cast(verdicts.JSON, blind)])))
    assert columns["redelivers"] == ["redelivers"]
    assert columns["reconnects"] == ["reconnects.notices", "reconnects.reconnects", "reconnects.works"]


def test_reasons_that_a_finding_says_are_not_said_twice() -> None:
    lost = one(findings=[lost_finding()])
    assert lost["reasons"]
    assert reading.reasons_besides(lost) == []
    lost["reasons"].append("the scenario raised ValueError")
    assert reading.reasons_besides(lost) == ["the scenario raised ValueError"]


def test_the_telling_finding() -> None:
    tell = [
        reading.telling(one(findings=[*good_findings(), lost_finding()])),
        reading.telling(one()),
        reading.telling(one(findings=[finding("no_loss")])),
        reading.telling(one(findings=[])),
    ]
    assert [found and found["clause"] for found in tell] == ["no_loss", "reconnects.works", None, None]


def test_sums_tell_an_empty_run_from_a_good_one() -> None:
    sums = reading.sums(cast(Run, verdicts.inconclusive()))
    assert (sums.planned, sums.judged, sums.missing, sums.skipped) == (4, 2, 1, 0)
    assert sums.operations == {"offered": 1299, "ok": 1272, "fail": 21, "unknown": 6}
    assert sums.clauses == {"holds": 3, "violated": 0, "inconclusive": 8}
    assert sums.measured == 2
    assert sums.faults_say() == "1 of 2 faults with evidence"
    nothing = reading.sums(cast(Run, verdicts.empty()))
    assert (nothing.planned, nothing.judged, nothing.faults_say()) == (0, 0, "no fault was injected")


def test_what_is_to_look_at_begins_with_the_violated() -> None:
    doubtful = scenario("calm", findings=[finding("no_loss", "inconclusive")])
    run = cast(
        Run, verdicts.run([doubtful, scenario("broker_paused"), scenario("broker_crash", findings=[lost_finding()])])
    )
    assert [found["scenario"] for found in reading.to_look_at(run)] == ["broker_crash", "calm"]
