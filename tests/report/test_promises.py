from __future__ import annotations

import pytest

from harness.report import promises
from harness.report.promises import Row

from . import verdicts
from .verdicts import JSON, finding


def row(run: JSON, clause: str) -> Row:
    [found] = [one for one in promises.rows(run) if one.clause == clause]  # type: ignore[arg-type]
    return found


def two(*findings: JSON) -> JSON:
    """A run of a scenario for each finding."""
    return verdicts.run([verdicts.scenario(f"s{n}", findings=[one]) for n, one in enumerate(findings)])


def late(measured: float | None, verdict: str = "holds", bound: float = 5) -> JSON:
    return finding("reconnects.works", verdict, measured=measured, bound=bound, unit="s")


def test_the_worst_value_is_the_one_nearest_to_its_own_bound() -> None:
    found = row(two(late(1), late(4), late(6, bound=60)), "reconnects.works")
    assert (found.worst, found.bound, found.margin, found.where) == ("4 s", "5 s", "20 %", "s1[hardened]")
    assert (found.held, found.judged, found.verdict) == (3, 3, "holds")


def test_a_violated_one_is_worse_than_any_that_holds_and_never_is_the_worst() -> None:
    found = row(two(late(7, "violated"), late(None, "violated"), late(1)), "reconnects.works")
    assert (found.worst, found.where, found.margin) == ("never, as long as was watched", "s1[hardened]", "")
    assert (found.held, found.judged, found.verdict) == (1, 3, "violated")
    assert row(two(late(7, "violated"), late(1)), "reconnects.works").margin == "-40 %"


def test_what_could_not_be_judged_is_no_part_of_n() -> None:
    found = row(two(late(1), late(None, "inconclusive")), "reconnects.works")
    assert (found.held, found.judged, found.inconclusive, found.verdict) == (1, 1, 1, "inconclusive")


def test_counts_have_a_margin_in_their_unit() -> None:
    found = row(two(finding("bounded.returns", bound=50, measured=3, unit="connections")), "bounded.returns")
    assert found.margin == "47 connections"


def test_a_weakness_shown_on_purpose_counts_neither_for_nor_against() -> None:
    found = row(verdicts.exposed(), "no_loss")
    assert (found.shown, found.verdict) == (1, "holds")
    assert found.held == found.judged
    assert found.worst == "0 operations"


def test_what_stands_beside_a_weakness_counts_neither_when_violated_nor_when_it_holds() -> None:
    found = row(verdicts.exposed(), "effects")
    holding = [scenario for scenario in verdicts.exposed()["scenarios"] if not scenario["exposes"]]
    assert found.judged == len(holding)
    assert found.aside == len(verdicts.exposed()["scenarios"]) - len(holding)
    assert "documented" not in row(verdicts.exposed(), "reconnects.notices").where


def test_what_is_measured_alone_has_no_row() -> None:
    assert "available.latency" not in {one.clause for one in promises.rows(verdicts.green())}  # type: ignore[arg-type]


def test_what_to_look_at_comes_first() -> None:
    assert promises.rows(verdicts.red())[0].verdict == "violated"  # type: ignore[arg-type]


@pytest.mark.parametrize("make", [verdicts.red, verdicts.inconclusive])
def test_a_reason_leads_to_the_scenario_that_it_names(make: object) -> None:
    assert callable(make)
    run = make()
    ids = {scenario["id"] for scenario in run["scenarios"]}
    told = list(promises.reasons(run))
    assert [reason for _, reason in told] == run["reasons"]
    assert all(reason.startswith(id_) and (not id_ or id_ in ids) for id_, reason in told)
    assert any(id_ for id_, _ in told)


def test_skips_of_one_reason_stand_together() -> None:
    skips = [{"id": "a", "reason": "no worker"}, {"id": "b", "reason": "other"}, {"id": "c", "reason": "no worker"}]
    assert promises.skipped(verdicts.run([], skipped=skips)) == {"no worker": ["a", "c"], "other": ["b"]}  # type: ignore[arg-type]
