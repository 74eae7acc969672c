"""metrics.txt: the figures of a run, or of a night, as OpenMetrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, cast

from prometheus_client.core import CollectorRegistry, GaugeMetricFamily, InfoMetricFamily, Metric, StateSetMetricFamily
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.registry import Collector

from harness.report import reading
from harness.report.reading import Standing
from harness.report.shape import Finding, Run, Scenario
from harness.report.text import TIMES, plain_tree
from harness.verdict import Verdict

PREFIX = "nats_harness_"
_SCENARIO = ("system", "scenario", "state")
_CLAUSE = (*_SCENARIO, "clause")


def text(verdicts: Sequence[Mapping[str, Any]]) -> str:
    """The file for one run's verdict.json, or for those of a night, which must be valid (`schema.validate`)."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures([cast(Run, plain_tree(dict(verdict))) for verdict in verdicts]))
    made: bytes = generate_latest(registry)  # type: ignore[no-untyped-call]
    return made.decode("utf-8")


class _Figures(Collector):
    def __init__(self, runs: Sequence[Run]) -> None:
        self._runs = runs

    def describe(self) -> Iterator[Metric]:
        """Nothing ahead, so that nothing is collected before it is asked for."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Each family once, with its samples of all runs."""
        yield from _of_runs(self._runs)
        yield from _of_scenarios(self._runs)
        yield from _of_clauses(self._runs)
        yield from _of_weaknesses(self._runs)


def _gauge(name: str, says: str, labels: Sequence[str], unit: str = "") -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{PREFIX}{name}", says, labels=labels, unit=unit)


def _of_runs(runs: Sequence[Run]) -> Iterator[Metric]:
    labels = ("system", "run")
    info = InfoMetricFamily(f"{PREFIX}run", "A run: its seed, runtime and versions.", labels=labels)
    exits = _gauge("run_exit_code", "0 as expected, 1 not, 2 inconclusive.", labels)
    took = _gauge("run_seconds", "How long the run took.", labels, "seconds")
    began = _gauge("run_started_timestamp_seconds", "When it began, since 1970.", labels, "seconds")
    scenarios = _gauge("run_scenarios", "Scenarios of the run, by what became of them.", (*labels, "became"))
    for run in runs:
        which = (run["system"], run["run"])
        versions = {_label(name): version for name, version in run["versions"].items()}
        info.add_metric(which, {"seed": str(run["seed"]), "runtime": run["runtime"], **versions})
        exits.add_metric(which, run["exit"])
        took.add_metric(which, run["seconds"])
        if (moment := _moment(run["started"])) is not None:
            began.add_metric(which, moment)
        sums = reading.sums(run)
        for name in ("planned", "judged", "missing", "skipped", "unexpected"):
            scenarios.add_metric((*which, name), getattr(sums, name))
    yield from (info, exits, took, began, scenarios)


def _label(name: str) -> str:
    """A version's name as a label: nats-server becomes version_nats_server."""
    return "version_" + "".join(char if char.isascii() and char.isalnum() else "_" for char in name)


def _moment(started: str) -> float | None:
    try:
        return datetime.fromisoformat(started).timestamp()
    except ValueError:
        return None


def _each(runs: Sequence[Run]) -> Iterator[tuple[tuple[str, str, str], Scenario]]:
    """Each scenario with its labels; of several with the same ones the first."""
    seen = set()
    for run in runs:
        for scenario in run["scenarios"]:
            which = (run["system"], scenario["scenario"], scenario["state"])
            if which not in seen:
                seen.add(which)
                yield which, scenario


def _of_scenarios(runs: Sequence[Run]) -> Iterator[Metric]:
    expected = _gauge("scenario_as_expected", "Whether a scenario came out as expected.", _SCENARIO)
    took = _gauge("scenario_seconds", "How long a scenario took.", _SCENARIO, "seconds")
    operations = _gauge("scenario_operations", "Operations offered, by outcome.", (*_SCENARIO, "outcome"))
    faults = _gauge("scenario_faults", "Faults injected, by whether they had evidence.", (*_SCENARIO, "evidence"))
    for which, scenario in _each(runs):
        expected.add_metric(which, scenario["as_expected"])
        took.add_metric(which, scenario["seconds"])
        for outcome in ("ok", "fail", "unknown"):
            operations.add_metric((*which, outcome), scenario["operations"][outcome])
        bit = sum(fault["bit"] for fault in scenario["faults"])
        faults.add_metric((*which, "yes"), bit)
        faults.add_metric((*which, "no"), len(scenario["faults"]) - bit)
    yield from (expected, took, operations, faults)


class _Clause(NamedTuple):
    """A clause of a scenario: its labels, what it came out as, whether as expected, its worst finding."""

    which: tuple[str, str, str, str]
    verdict: Verdict
    as_expected: bool
    worst: Finding


def _clauses(runs: Sequence[Run]) -> Iterator[_Clause]:
    for which, scenario in _each(runs):
        by_clause: dict[str, list[Finding]] = {}
        for finding in scenario["findings"]:
            by_clause.setdefault(finding["clause"], []).append(finding)
        for clause, found in by_clause.items():
            verdict = reading.merged(scenario, clause)
            alike = [finding for finding in found if finding["verdict"] == verdict]
            worst = max(alike, key=lambda finding: finding["measured"] or 0.0)
            wrong = any(reading.standing(scenario, finding) is Standing.UNEXPECTED for finding in found)
            yield _Clause((*which, clause), verdict, not wrong, worst)


def _of_clauses(runs: Sequence[Run]) -> Iterator[Metric]:
    verdicts = StateSetMetricFamily(f"{PREFIX}clause_verdict", "What a clause came out as.", labels=_CLAUSE)
    expected = _gauge("clause_as_expected", "Whether nothing of a clause is other than expected.", _CLAUSE)
    measured = _gauge("clause_measured", "What was measured, in the unit that the label names.", (*_CLAUSE, "unit"))
    bounds = _gauge("clause_bound", "The bound, in the unit that the label names.", (*_CLAUSE, "unit"))
    used = _gauge("clause_bound_used_ratio", "A time by its bound: over 1 it is broken.", _CLAUSE)
    counted = _gauge("clause_counted", "Operations or events that a clause rests on.", _CLAUSE)
    for which, verdict, as_expected, worst in _clauses(runs):
        verdicts.add_metric(which, {one.value: one is verdict for one in Verdict})
        expected.add_metric(which, as_expected)
        counted.add_metric(which, worst["counted"])
        unit, value, bound = worst["unit"], worst["measured"], worst["bound"]
        if value is not None:
            measured.add_metric((*which, unit), value)
        if bound is not None:
            bounds.add_metric((*which, unit), bound)
        if value is not None and bound and unit in TIMES:
            used.add_metric(which, value / bound)
    yield from (verdicts, expected, measured, bounds, used, counted)


def _of_weaknesses(runs: Sequence[Run]) -> Iterator[Metric]:
    shown = _gauge("weakness_reproduced", "Whether a known weakness showed where it must.", ("system", "weakness"))
    seen = set()
    for run in runs:
        for name, weakness in run["weaknesses"].items():
            if (run["system"], name) not in seen:
                seen.add((run["system"], name))
                shown.add_metric((run["system"], name), weakness["reproduced"])
    yield shown
