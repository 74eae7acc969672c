"""What page and terminal say about a verdict: how each finding stands to what was expected, sums, the matrix."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from harness.report.shape import Fault, Finding, Run, Scenario, Where
from harness.report.text import count, number, of_bound, quantity
from harness.verdict import Verdict, merge


class Standing(StrEnum):
    """How a finding stands to what was expected of it."""

    HOLDS = "holds"  # as it should, or where nothing hangs on it
    SHOWN = "shown"  # violated, and meant to be: a weakness reproduced
    ASIDE = "aside"  # not holding, in a scenario that is there to show another clause violated; decides nothing
    UNEXPECTED = "unexpected"


SAYS = {
    Standing.HOLDS: "as expected",
    Standing.SHOWN: "as expected: a weakness reproduced",
    Standing.ASIDE: "decides nothing here",
    Standing.UNEXPECTED: "not as expected",
}

EXITS = {
    0: ("As expected", "Everything planned was judged, and all of it came out as expected."),
    1: ("Not as expected", "A promise that should hold was broken, or a weakness that should show did not."),
    2: ("Inconclusive", "Something planned could not be judged or was not run, so this run does not say yes."),
    64: ("Wrong usage", "The run could not be started as asked."),
    130: ("Interrupted", "It was stopped, so what was not judged by then has no verdict."),
}
"""What each exit code means: a headline and a sentence."""


def merged(scenario: Scenario, clause: str) -> Verdict:
    """What a clause came out as in a scenario, all its findings taken together."""
    return merge(Verdict(f["verdict"]) for f in scenario["findings"] if f["clause"] == clause)


def weaknesses_of(scenario: Scenario, clause: str) -> list[str]:
    """The weaknesses that this scenario was to show by violating `clause`."""
    if scenario["expect"] != "exposed":
        return []
    return [weakness for weakness, exposed in scenario["exposes"].items() if exposed == clause]


def repro_of(run: Run, where: Where) -> str:
    """The command that runs a scenario of a weakness again; empty where it was not judged."""
    found = (s["repro"] for s in run["scenarios"] if (s["scenario"], s["state"]) == (where["scenario"], where["state"]))
    return next(found, "")


def standing(scenario: Scenario, finding: Finding) -> Standing:
    """How `finding` stands: where weaknesses are to show, their clauses decide alone; elsewhere all must hold."""
    clause, verdict = finding["clause"], finding["verdict"]
    weaknesses = weaknesses_of(scenario, clause)
    if weaknesses:
        if merged(scenario, clause) is not Verdict.VIOLATED or not all(map(scenario["reproduced"].get, weaknesses)):
            return Standing.UNEXPECTED
        if verdict == Verdict.VIOLATED:
            return Standing.SHOWN
    if verdict == Verdict.HOLDS:
        return Standing.HOLDS
    return Standing.ASIDE if scenario["expect"] == "exposed" and scenario["exposes"] else Standing.UNEXPECTED


def findings(scenario: Scenario, *standings: Standing) -> list[Finding]:
    """The scenario's findings that stand so, the violated ones first."""
    found = [finding for finding in scenario["findings"] if standing(scenario, finding) in standings]
    return sorted(found, key=lambda finding: finding["verdict"] != Verdict.VIOLATED)


def unjudged_weaknesses(scenario: Scenario) -> dict[str, str]:
    """Weakness to clause, for those that the scenario was to show and whose clause has no finding at all."""
    judged = {finding["clause"] for finding in scenario["findings"]}
    exposes = scenario["exposes"] if scenario["expect"] == "exposed" else {}
    return {weakness: clause for weakness, clause in exposes.items() if clause not in judged}


def reasons_besides(scenario: Scenario) -> list[str]:
    """The scenario's reasons without those that only say again what a finding says."""
    said = {f["clause"]: f"{f['verdict']}: {f['reason'][:200]}" for f in scenario["findings"]}
    reasons = [reason for reason in scenario["reasons"] if not _repeats(reason, said)]
    for weakness, clause in unjudged_weaknesses(scenario).items():
        if not any(weakness in reason and clause in reason for reason in reasons):
            reasons.append(f"{weakness} was to show as {clause} violated; it was not judged")
    return reasons


def _repeats(reason: str, said: Mapping[str, str]) -> bool:
    """Whether it is a finding's: it begins with its clause, or with all that share it, as `no_loss, effects ...`."""
    clause = reason.partition(" ")[0].rstrip(",")
    return clause in said and said[clause] in reason


def to_look_at(run: Run) -> list[Scenario]:
    """The scenarios that are not as expected, the violated ones first."""
    found = [s for s in run["scenarios"] if not s["as_expected"] or findings(s, Standing.UNEXPECTED)]
    return sorted(found, key=lambda scenario: wrong(scenario) != Verdict.VIOLATED)


def wrong(scenario: Scenario) -> Verdict:
    """What a scenario that is not as expected is to be called: inconclusive where nothing worse was not as expected."""
    found = [finding["verdict"] for finding in findings(scenario, Standing.UNEXPECTED)]
    known = found or [scenario["verdict"]]
    return Verdict.INCONCLUSIVE if set(known) == {str(Verdict.INCONCLUSIVE)} else Verdict.VIOLATED


def telling(scenario: Scenario) -> Finding | None:
    """The finding that says most in one line: an unexpected one, a weakness shown, or the nearest to its bound."""
    for chosen in (Standing.UNEXPECTED, Standing.SHOWN):
        found = findings(scenario, chosen)
        if found:
            return found[0]
    timed = [f for f in scenario["findings"] if of_bound(f["measured"], f["bound"], f["unit"])]
    return max(timed, key=lambda f: (f["measured"] or 0) / (f["bound"] or 1), default=None)


def measured(finding: Finding) -> str:
    """What was measured, in its unit."""
    return quantity(finding["measured"], finding["unit"], missing="no value")


def bound(finding: Finding) -> str:
    """The bound, in the finding's unit."""
    return quantity(finding["bound"], finding["unit"], missing="none (only measured)")


def bare(finding: Finding) -> bool:
    """An inconclusive finding that names no operation: a line of a table says it all."""
    return finding["verdict"] == Verdict.INCONCLUSIVE and not finding["ops"] and not finding["stories"]


def margin(finding: Finding) -> str:
    """How much of its bound a time used."""
    return of_bound(finding["measured"], finding["bound"], finding["unit"])


def overlapping(scenario: Scenario, finding: Finding) -> list[Fault]:
    """The faults that a finding names, as far as the scenario lists them."""
    return [fault for fault in scenario["faults"] if fault["id"] in finding["faults"]]


def evidence(fault: Fault) -> str:
    """What observers saw of a fault: `name value` pairs."""
    return ", ".join(f"{name} {number(value)}" for name, value in fault["evidence"].items()) or "nothing was seen"


@dataclass(frozen=True, slots=True)
class Sums:
    """The numbers by which an empty run cannot look like a good one. Scenarios, unless the name says otherwise."""

    planned: int
    judged: int
    missing: int
    skipped: int
    unexpected: int
    clauses: dict[str, int]
    """Findings by verdict, without those that are measured alone."""
    doubtful: int
    """Inconclusive findings that decide something."""
    measured: int
    not_judged: int
    """Guarantees that a scenario could not judge, summed over the scenarios."""
    operations: dict[str, int]
    faults: int
    bit: int
    """Faults with evidence."""
    ran_s: float
    """The scenarios' seconds added up; more than the run's where they ran side by side."""

    def faults_say(self) -> str:
        """The faults with evidence, in words."""
        if not self.faults:
            return "no fault was injected"
        return f"{self.bit:,} of {count(self.faults, 'fault')} with evidence"


def sums(run: Run) -> Sums:
    """The run's numbers, counted here from its scenarios."""
    scenarios = run["scenarios"]
    faults = [fault for scenario in scenarios for fault in scenario["faults"]]
    found = [finding for scenario in scenarios for finding in scenario["findings"]]
    verdicts = [one["verdict"] for one in found if one["bound"] is not None or one["verdict"] != Verdict.HOLDS]
    operations = {"offered": 0, "ok": 0, "fail": 0, "unknown": 0}
    for scenario in scenarios:
        for name, n in zip(operations, _operations(scenario), strict=True):
            operations[name] += n
    return Sums(
        planned=len(scenarios) + len(run["missing"]),
        judged=sum(bool(scenario["findings"]) for scenario in scenarios),
        missing=len(run["missing"]),
        skipped=len(run["skipped"]),
        unexpected=len(to_look_at(run)),
        clauses={verdict.value: verdicts.count(verdict.value) for verdict in Verdict},
        doubtful=sum(
            finding["verdict"] == Verdict.INCONCLUSIVE
            for one in scenarios
            for finding in findings(one, Standing.UNEXPECTED)
        ),
        measured=len(found) - len(verdicts),
        not_judged=sum(len(scenario["not_judged"]) for scenario in scenarios),
        operations=operations,
        faults=len(faults),
        bit=sum(fault["bit"] for fault in faults),
        ran_s=sum(scenario["seconds"] for scenario in scenarios),
    )


class NotJudged(NamedTuple):
    """A promise that scenarios asked for and the system file gives no way to see: what to add, and which they were."""

    guarantee: str
    line: str
    ids: list[str]


def not_judged(run: Run) -> list[NotJudged]:
    """What could not be judged, the scenarios put together where the line to add is the same."""
    found: dict[tuple[str, str], list[str]] = {}
    for scenario in run["scenarios"]:
        for guarantee, line in scenario["not_judged"].items():
            found.setdefault((guarantee, line), []).append(scenario["id"])
    return [NotJudged(guarantee, line, ids) for (guarantee, line), ids in found.items()]


def _operations(scenario: Scenario) -> tuple[int, int, int, int]:
    counts = scenario["operations"]
    return counts["offered"], counts["ok"], counts["fail"], counts["unknown"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One square of the matrix: its letters, its kind (for its colour), and what it says in words."""

    letters: str
    kind: str
    says: str


NOT_ASKED = Cell("·", "none", "not part of this scenario")
MEASURED = Cell("m", "aside", "measured, and not bound to anything here: it decides nothing")
NOT_JUDGED = Cell("–", "none", "not judged: the system file lacks what it needs")


def columns(run: Run) -> dict[str, list[str]]:
    """The matrix' columns: guarantee to its clauses, in the order in which they first appear."""
    found: dict[str, list[str]] = {}
    for scenario in run["scenarios"]:
        for clause in _clauses(scenario):
            clauses = found.setdefault(clause.partition(".")[0], [])
            if clause not in clauses:
                clauses.append(clause)
    for scenario in run["scenarios"]:
        for guarantee in scenario["not_judged"]:
            found.setdefault(guarantee.partition(".")[0], [guarantee])
    return found


def _clauses(scenario: Scenario) -> Iterator[str]:
    for finding in scenario["findings"]:
        yield finding["clause"]
    yield from unjudged_weaknesses(scenario).values()


def cell(scenario: Scenario, clause: str) -> Cell:
    """The matrix' square for a clause in a scenario."""
    found = [finding for finding in scenario["findings"] if finding["clause"] == clause]
    if clause in unjudged_weaknesses(scenario).values():
        return Cell("–!", "inconclusive", "was to be violated, and was not judged: not as expected")
    if not found:
        guarantee = clause.partition(".")[0]
        return NOT_JUDGED if {clause, guarantee} & scenario["not_judged"].keys() else NOT_ASKED
    verdict = merged(scenario, clause)
    stands = {standing(scenario, finding) for finding in found if finding["verdict"] == verdict}
    letter = verdict.value[0].upper()
    if Standing.SHOWN in stands:
        return Cell("V*", "shown", f"violated, {SAYS[Standing.SHOWN]} ({', '.join(weaknesses_of(scenario, clause))})")
    if Standing.ASIDE in stands:
        return Cell(f"{letter}°", "aside", f"{verdict}, {SAYS[Standing.ASIDE]}")
    if Standing.UNEXPECTED in stands:
        if verdict is Verdict.HOLDS:
            return Cell("H!", "violated", "holds, but was to be violated: a weakness did not show")
        return Cell(letter, verdict.value, f"{verdict}, {SAYS[Standing.UNEXPECTED]}")
    if all(finding["bound"] is None for finding in found):
        return MEASURED
    return Cell(letter, "holds", "holds")


def named(finding: Finding, most: int) -> tuple[list[str], int]:
    """The first operations that a finding names, `most` of them, and how many more there are."""
    shown = finding["ops"][:most]
    return shown, max(finding["ops_total"], len(finding["ops"])) - len(shown)
