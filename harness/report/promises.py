"""The table of promises: each clause over all scenarios in which it must hold, with its worst value; and reasons."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.report.reading import Standing, standing
from harness.report.shape import Finding, Run, Scenario
from harness.report.text import TIMES, quantity
from harness.verdict import Verdict, merge


@dataclass(frozen=True, slots=True)
class Row:
    """One clause: of `judged` scenarios in which it must hold it did in `held`.

    `bound` is that of the worst value, since scenarios may bound a clause differently; every bound is one from above.
    `shown` counts the scenarios in which it was violated as expected, `aside` those in which it decides nothing.
    """

    clause: str
    verdict: str
    bound: str
    worst: str
    where: str
    margin: str
    held: int
    judged: int
    inconclusive: int
    shown: int
    aside: int


def rows(run: Run) -> list[Row]:
    """A row for each clause that has a bound in some scenario, or was found wanting; those to look at first."""
    found: dict[str, list[tuple[Scenario, Finding]]] = {}
    for scenario in run["scenarios"]:
        for finding in scenario["findings"]:
            found.setdefault(finding["clause"], []).append((scenario, finding))
    made = [_row(clause, pairs) for clause, pairs in found.items() if any(_decides(one) for _, one in pairs)]
    order = (Verdict.VIOLATED, Verdict.INCONCLUSIVE, Verdict.HOLDS, "")
    return sorted(made, key=lambda row: order.index(row.verdict))


def _decides(finding: Finding) -> bool:
    return finding["bound"] is not None or finding["verdict"] != Verdict.HOLDS


def _row(clause: str, pairs: list[tuple[Scenario, Finding]]) -> Row:
    stands = [(scenario, one, standing(scenario, one)) for scenario, one in pairs if _decides(one)]
    counted = [(scenario, one) for scenario, one, how in stands if _must(scenario, how)]
    verdicts = [Verdict(one["verdict"]) for _, one in counted]
    valued = [pair for pair in counted if pair[1]["verdict"] != Verdict.INCONCLUSIVE]
    worst = max(valued, key=lambda pair: _badness(pair[1]), default=None)
    return Row(
        clause=clause,
        verdict=str(merge(verdicts)) if verdicts else "",
        bound=quantity(worst[1]["bound"], worst[1]["unit"]) if worst else "",
        worst=_value(worst[1]) if worst else "",
        where=worst[0]["id"] if worst else "",
        margin=_margin(worst[1]) if worst else "",
        held=verdicts.count(Verdict.HOLDS),
        judged=len(verdicts) - verdicts.count(Verdict.INCONCLUSIVE),
        inconclusive=verdicts.count(Verdict.INCONCLUSIVE),
        shown=sum(how is Standing.SHOWN for _, _, how in stands),
        aside=sum(how is not Standing.SHOWN and not _must(scenario, how) for scenario, _, how in stands),
    )


def _must(scenario: Scenario, how: Standing) -> bool:
    """Whether a finding counts: where a weakness is to show, others decide nothing, whichever way they came out."""
    if how is Standing.UNEXPECTED:
        return True
    return how is Standing.HOLDS and not (scenario["expect"] == "exposed" and scenario["exposes"])


def _badness(finding: Finding) -> tuple[bool, bool, float, float]:
    """Violated is worse than held, no value at all then the worst; else by how much of its bound a value used."""
    violated, value, limit = finding["verdict"] == Verdict.VIOLATED, finding["measured"], finding["bound"] or 0
    if value is None:
        return violated, violated, 0, 0
    return violated, False, value / limit if limit else value, value


def _value(finding: Finding) -> str:
    missing = "never, as long as was watched" if finding["verdict"] == Verdict.VIOLATED else "no value"
    return quantity(finding["measured"], finding["unit"], missing=missing)


def _margin(finding: Finding) -> str:
    """What is left of the bound: a time's in per cent, any other in its unit; nothing where there is no value."""
    value, limit, unit = finding["measured"], finding["bound"], finding["unit"]
    if value is None or limit is None:
        return ""
    if unit in TIMES and limit:
        return f"{100 * (limit - value) / limit:,.0f} %"
    return quantity(limit - value, unit)


def reasons(run: Run) -> Iterator[tuple[str, str]]:
    """The run's reasons, each with the scenario that it names, or with nothing."""
    ids = {scenario["id"] for scenario in run["scenarios"]}
    for reason in run["reasons"]:
        id_ = reason.partition(": ")[0]
        yield (id_, reason) if id_ in ids else ("", reason)


def skipped(run: Run) -> dict[str, list[str]]:
    """Why scenarios were skipped, each reason with the scenarios that it kept out."""
    found: dict[str, list[str]] = {}
    for skip in run["skipped"]:
        found.setdefault(skip["reason"], []).append(skip["id"])
    return found
