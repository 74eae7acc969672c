"""junit.xml: one case for each scenario, state and guarantee, and a colour that agrees with the exit code.

    failure   a promise was broken, or a weakness that should show did not: the run exits 1
    error     inconclusive, or planned and without a verdict: the run exits 2 if nothing fails
    skipped   decides nothing: not asked for, not to be judged on this system, measured alone, aside
    passed    holds, or a weakness that showed as it must

What each reader of such files expects, and what was chosen for it: docs/decisions, 19.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, cast
from xml.etree import ElementTree as Xml

from harness.report import reading
from harness.report.reading import Standing
from harness.report.shape import Finding, Run, Scenario
from harness.report.text import plain, plain_tree
from harness.verdict import Verdict

WHOLE = "(scenario)"
"""Stands for the guarantee in a case that is about a scenario as a whole."""


class Outcome(StrEnum):
    """What a case is; all but `passed` are the names of its element."""

    PASSED = "passed"
    SKIPPED = "skipped"
    ERROR = "error"
    FAILURE = "failure"


RED = (Outcome.ERROR, Outcome.FAILURE)


@dataclass(frozen=True, slots=True)
class Case:
    """One case. `kind` is the verdict in a word, `says` why in a sentence, `told` the lines of its output."""

    name: str
    outcome: Outcome
    kind: str = ""
    says: str = ""
    told: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Suite:
    """The cases of one scenario in one state; `name` is the class of each."""

    name: str
    cases: Sequence[Case]
    seconds: float
    started: str
    properties: Mapping[str, str]

    def count(self, outcome: Outcome) -> int:
        """How many of its cases came out so."""
        return sum(case.outcome is outcome for case in self.cases)


def document(verdicts: Sequence[Mapping[str, Any]], unproven: Sequence[str] = ()) -> str:
    """The file for one run's verdict.json, or for those of a night and what that left unproven.

    The verdicts must be valid (`schema.validate`). The same verdicts, the same file.
    """
    runs = [cast(Run, plain_tree(dict(verdict))) for verdict in verdicts]
    found = [suite for run in runs for suite in suites(run)]
    if unproven:
        cases = [Case(f"night {plain(one)}", Outcome.ERROR, "unproven", plain(one)) for one in unproven]
        found.append(Suite("night", cases, 0.0, "", {}))
    root = Xml.Element("testsuites", {"name": "nats-harness", **_counts(found)})
    for suite in _distinct(found):
        root.append(_suite(suite))
    Xml.indent(root, " ")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + Xml.tostring(root, "unicode") + "\n"


def suites(run: Run) -> list[Suite]:
    """The cases of a run, by scenario. Something is red exactly where the run does not exit 0."""
    common = {"run": run["run"], "system": run["system"], "runtime": run["runtime"], "seed": str(run["seed"])}
    common |= {f"version {name}": version for name, version in run["versions"].items()}

    def suite(id_: str, cases: Iterable[Case], seconds: float = 0.0, **properties: str) -> Suite:
        return Suite(f"{run['system']}.{id_}", list(cases), seconds, run["started"], {**common, **properties})

    found = [
        suite(one["id"], _cases(one), one["seconds"], state=one["state"], expect=one["expect"], verdict=one["verdict"])
        for one in run["scenarios"]
    ]
    for id_ in run["missing"]:
        says = "planned, and without a verdict"
        found.append(suite(id_, [Case(f"{id_} {WHOLE}", Outcome.ERROR, "missing", says)]))
    for skip in run["skipped"]:
        found.append(suite(skip["id"], [Case(f"{skip['id']} {WHOLE}", Outcome.SKIPPED, "skipped", skip["reason"])]))
    return found + [suite("run", [case]) for case in _of_the_run(run, found)]


def _of_the_run(run: Run, found: Sequence[Suite]) -> Iterator[Case]:
    """A case for the run itself, where its exit says what no scenario's case does."""
    wanted = {0: None, 2: Outcome.ERROR}.get(run["exit"], Outcome.FAILURE)
    if wanted is not None and not any(suite.count(wanted) for suite in found):
        yield Case(f"{run['system']} (run)", wanted, f"exit {run['exit']}", "; ".join(run["reasons"]))


def _cases(scenario: Scenario) -> Iterator[Case]:
    by_guarantee: dict[str, list[Finding]] = {}
    for finding in scenario["findings"]:
        by_guarantee.setdefault(finding["clause"].partition(".")[0], []).append(finding)
    unjudged: dict[str, list[str]] = {}
    for weakness, clause in reading.unjudged_weaknesses(scenario).items():
        says = f"{weakness} was to show as {clause} violated; it was not judged"
        unjudged.setdefault(clause.partition(".")[0], []).append(says)
    judged = any(not _measured_alone(finding) for finding in scenario["findings"])
    red = False
    for guarantee in {**by_guarantee, **unjudged}:
        found, lacking = by_guarantee.get(guarantee, []), unjudged.get(guarantee, [])
        case = (
            _case(scenario, guarantee, found, lacking) if judged or not found else _measured(scenario, guarantee, found)
        )
        red = red or case.outcome in RED
        yield case
    for guarantee, line in scenario["not_judged"].items():
        says = f"not judged; the system file would need: {line}"
        yield Case(f"{scenario['id']} {guarantee}", Outcome.SKIPPED, "not judged", says)
    if not red and not scenario["as_expected"]:
        says = "; ".join(reading.reasons_besides(scenario)) or "nothing was judged"
        yield Case(f"{scenario['id']} {WHOLE}", Outcome.ERROR, "inconclusive", says, _told(scenario, []))


def _measured_alone(finding: Finding) -> bool:
    return finding["bound"] is None and finding["verdict"] == Verdict.HOLDS


def _measured(scenario: Scenario, guarantee: str, found: Sequence[Finding]) -> Case:
    name, says = f"{scenario['id']} {guarantee}", "measured alone: it decides nothing"
    return Case(name, Outcome.SKIPPED, "measured", says, _told(scenario, found))


def _case(scenario: Scenario, guarantee: str, found: Sequence[Finding], unjudged: Sequence[str]) -> Case:
    unexpected = [f for f in found if reading.standing(scenario, f) is Standing.UNEXPECTED]
    shown = [f for f in found if reading.standing(scenario, f) is Standing.SHOWN]
    aside = [f for f in found if reading.standing(scenario, f) is Standing.ASIDE]
    failing = [f for f in unexpected if reading.merged(scenario, f["clause"]) is not Verdict.INCONCLUSIVE]
    if failing:
        outcome, telling = Outcome.FAILURE, failing
    elif unexpected or unjudged:
        outcome, telling = Outcome.ERROR, unexpected
    elif aside and not shown:
        outcome, telling = Outcome.SKIPPED, aside
    elif all(map(_measured_alone, found)):
        return _measured(scenario, guarantee, found)
    else:
        outcome, telling = Outcome.PASSED, shown
    sentences = list(dict.fromkeys([*(_sentence(scenario, finding) for finding in telling), *unjudged]))
    kind = str(reading.merged(scenario, telling[0]["clause"])) if telling else "not judged" if unjudged else "holds"
    return Case(f"{scenario['id']} {guarantee}", outcome, kind, "; ".join(sentences), _told(scenario, found))


def _sentence(scenario: Scenario, finding: Finding) -> str:
    """What a finding says, and how it stands."""
    verdict, reason = finding["verdict"], finding["reason"] or "no reason was recorded"
    said = f"{finding['clause']} {verdict}: {reason}"
    stands = reading.standing(scenario, finding)
    weaknesses = ", ".join(reading.weaknesses_of(scenario, finding["clause"]))
    if stands is Standing.ASIDE:
        return f"decides nothing here: {said}"
    if stands is Standing.SHOWN:
        return f"as expected, reproduces {weaknesses}: {said}"
    if stands is Standing.UNEXPECTED and verdict == Verdict.HOLDS:
        return f"{weaknesses} was to show as {finding['clause']} violated; it holds: {reason}"
    return said


def _told(scenario: Scenario, found: Sequence[Finding]) -> list[str]:
    """Each clause with its numbers, the stories of the first operations, faults, troubles, the replay command."""
    lines = []
    for finding in found:
        numbers = f"measured {reading.measured(finding)}, bound {reading.bound(finding)}"
        margin = reading.margin(finding)
        lines.append(_sentence(scenario, finding))
        lines.append(f"  {numbers}{f' ({margin})' if margin else ''}, counted {finding['counted']:,}")
        if finding["ops"]:
            lines.append(f"  operations: {', '.join(finding['ops'])} ({finding['ops_total']:,} in all)")
        for story in finding["stories"]:
            lines += [f"  what happened to {story['op']}:", *(f"    {line}" for line in story["lines"])]
    for fault in scenario["faults"]:
        bit = "bit" if fault["bit"] else "no evidence"
        lines.append(f"fault {fault['id']}: {fault['kind']} of {fault['target']}, {bit}: {reading.evidence(fault)}")
    lines += [f"trouble: {trouble['name']}: {trouble['detail']}" for trouble in scenario["troubles"]]
    return [*lines, f"run it again: {scenario['repro']}"]


def _distinct(found: Sequence[Suite]) -> Iterator[Suite]:
    """The same, but no two cases are called alike: of such the readers count one."""
    taken: set[tuple[str, str]] = set()
    for suite in found:
        cases = []
        for case in suite.cases:
            name, n = case.name, 1
            while (suite.name, name) in taken:
                n += 1
                name = f"{case.name} ({n})"
            taken.add((suite.name, name))
            cases.append(replace(case, name=name))
        yield replace(suite, cases=cases)


def _counts(found: Sequence[Suite]) -> dict[str, str]:
    return {
        "tests": str(sum(len(suite.cases) for suite in found)),
        "failures": str(sum(suite.count(Outcome.FAILURE) for suite in found)),
        "errors": str(sum(suite.count(Outcome.ERROR) for suite in found)),
        "time": _time(sum(suite.seconds for suite in found)),
    }


def _suite(suite: Suite) -> Xml.Element:
    counts = {**_counts([suite]), "skipped": str(suite.count(Outcome.SKIPPED))}
    element = Xml.Element("testsuite", {"name": suite.name, **counts})
    if moment := _moment(suite.started):
        element.set("timestamp", moment)
    if suite.properties:
        properties = Xml.SubElement(element, "properties")
        for name, value in suite.properties.items():
            Xml.SubElement(properties, "property", {"name": name, "value": value})
    for case in suite.cases:
        given = {"name": case.name, "classname": suite.name, "time": _time(suite.seconds / len(suite.cases))}
        made = Xml.SubElement(element, "testcase", given)
        red = case.outcome in RED
        if case.outcome is not Outcome.PASSED:
            result = Xml.SubElement(made, case.outcome, {"message": case.says, "type": case.kind})
            told = list(case.told) if red else []
            result.text = _text(told if told[:1] == [case.says] else [case.says, *([""] if told else []), *told])
        if case.told and not red:  # readers show a red case's output below its result: it would stand there twice
            Xml.SubElement(made, "system-out").text = _text(case.told)
    return element


def _text(lines: Sequence[str]) -> str:
    """Readers take [[ATTACHMENT|path]] as a file to show."""
    return "\n".join(lines).replace("[[", "[ [")


def _time(seconds: float) -> str:
    return f"{max(seconds, 0.0):.3f}"


def _moment(started: str) -> str:
    """In universal time and without its offset, as the readers take it; empty where it is no time."""
    try:
        return datetime.fromisoformat(started).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    except ValueError:
        return ""
