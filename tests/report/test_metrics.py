"""metrics.txt: a parser of OpenMetrics reads it, and finds the run's own figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from harness.report import metrics

from . import verdicts
from .verdicts import JSON, finding, run, scenario

CRASH = {"system": "telhawk", "scenario": "broker_crash", "state": "hardened"}


def samples(*runs: JSON) -> Iterator[tuple[str, dict[str, str], float]]:
    text = metrics.text(list(runs))
    assert text.endswith("# EOF\n")
    for family in text_string_to_metric_families(text):  # type: ignore[no-untyped-call]
        for sample in family.samples:
            yield sample.name.removeprefix("nats_harness_"), dict(sample.labels), sample.value


def value(verdict: JSON, name: str, **labels: str) -> float | None:
    found = [number for named, given, number in samples(verdict) if (named, given) == (name, labels)]
    assert len(found) <= 1
    return found[0] if found else None


@pytest.mark.parametrize("make", verdicts.ALL.values(), ids=verdicts.ALL)
def test_a_parser_reads_it_and_nothing_is_there_twice(make: Callable[[], JSON]) -> None:
    found = [(name, tuple(sorted(labels.items()))) for name, labels, _ in samples(make())]
    assert found
    assert len(found) == len(set(found))


@pytest.mark.parametrize(("make", "code"), [(verdicts.green, 0), (verdicts.red, 1), (verdicts.inconclusive, 2)])
def test_the_run(make: Callable[[], JSON], code: int) -> None:
    verdict = make()
    labels = {"system": "telhawk", "run": verdicts.RUN}
    assert value(verdict, "run_exit_code", **labels) == code
    assert value(verdict, "run_seconds", **labels) == 187.42
    assert value(verdict, "run_started_timestamp_seconds", **labels) == pytest.approx(1795619520.412)
    [info] = [given for name, given, _ in samples(verdict) if name == "run_info"]
    assert (info["seed"], info["version_nats_server"], info["runtime"]) == ("20261125", "2.12.8", "processes")
    assert value(verdict, "run_scenarios", became="missing", **labels) == len(verdict["missing"])
    assert value(verdict, "run_scenarios", became="skipped", **labels) == len(verdict["skipped"])
    assert value(verdict, "run_scenarios", became="judged", **labels) == {0: 3, 1: 4, 2: 2}[code]


def test_a_scenario() -> None:
    verdict = verdicts.red()
    assert value(verdict, "scenario_as_expected", **CRASH) == 0
    assert value(verdict, "scenario_as_expected", **CRASH | {"scenario": "calm"}) == 1
    assert value(verdict, "scenario_seconds", **CRASH) == 14.237
    counts = {name: value(verdict, "scenario_operations", outcome=name, **CRASH) for name in ("ok", "fail", "unknown")}
    assert counts == {"ok": 424, "fail": 7, "unknown": 2}
    assert value(verdict, "scenario_faults", evidence="yes", **CRASH) == 1
    assert value(verdicts.inconclusive(), "scenario_faults", evidence="no", **CRASH) == 1


def test_a_clause() -> None:
    verdict = verdicts.red()
    lost: dict[str, Any] = CRASH | {"clause": "no_loss"}
    states = {
        state: value(verdict, "clause_verdict", nats_harness_clause_verdict=state, **lost)
        for state in ("holds", "violated", "inconclusive")
    }
    assert states == {"holds": 0, "violated": 1, "inconclusive": 0}
    assert value(verdict, "clause_as_expected", **lost) == 0
    assert value(verdict, "clause_measured", unit="operations", **lost) == 1204
    assert value(verdict, "clause_bound", unit="operations", **lost) == 0
    assert value(verdict, "clause_counted", **lost) == 12431
    share = run([scenario("broker_crash", findings=[finding("no_loss", unit="share", bound=0.5, measured=0.1)])])
    assert value(share, "clause_bound_used_ratio", **lost) is None, "only a time has a margin"
    works = CRASH | {"clause": "reconnects.works"}
    assert value(verdict, "clause_bound_used_ratio", **works) == pytest.approx(1.91 / 5)
    failed = CRASH | {"clause": "available.failed"}
    assert value(verdict, "clause_measured", unit="share", **failed) == 0.0214
    assert value(verdict, "clause_bound", unit="share", **failed) is None


def test_a_weakness_that_shows_is_as_expected() -> None:
    documented = CRASH | {"state": "documented", "clause": "no_loss"}
    for verdict, shows in ((verdicts.exposed(), 1), (verdicts.unexposed(), 0)):
        assert value(verdict, "weakness_reproduced", system="telhawk", weakness="M3") == shows
        assert value(verdict, "clause_as_expected", **documented) == shows


def test_of_several_findings_of_a_clause_the_worst_is_told() -> None:
    both = [finding("no_loss", measured=9), *(finding("no_loss", "violated", measured=n) for n in (3, 7, 5))]
    verdict = run([scenario("broker_crash", findings=both)])
    assert value(verdict, "clause_measured", unit="operations", clause="no_loss", **CRASH) == 7


def test_a_night_in_one_file() -> None:
    other = verdicts.red() | {"run": "another", "system": "orders"}
    exits = {
        given["system"]: number for name, given, number in samples(verdicts.green(), other) if name == "run_exit_code"
    }
    assert exits == {"telhawk": 0, "orders": 1}
