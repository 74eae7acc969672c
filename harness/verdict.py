"""What was found: findings, the reasons for doubt, and how they add up to a verdict and an exit code.

Knows nobody. The words and the precedence are those of docs/guarantees.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Verdict(StrEnum):
    """What a clause, a scenario or a run came out as."""

    HOLDS = "holds"
    VIOLATED = "violated"
    INCONCLUSIVE = "inconclusive"


class Doubt(StrEnum):
    """Why a finding is inconclusive; also the names of troubles. A closed list."""

    NO_EVIDENCE = "no evidence"  # a fault did not bite
    TOO_LITTLE = "too little"  # fewer operations or events than the clause needs
    LOAD_BEHIND = "load behind"  # under 95 % of the intended arrivals were offered
    GAP = "gap"  # a source that the clause needs was not being read
    HISTORY_INCOMPLETE = "history incomplete"  # a writer died or a disk was full
    CLOCK_STEPPED = "clock stepped"  # wall-clock anchors differ by more than 5 ms
    BYPASS = "bypass"  # a client reached the broker past its proxy
    PROXY_REPLACED = "proxy replaced"  # a hung proxy was started anew
    IDS_UNCLEAR = "ids unclear"  # one ref given twice, or markers of another run
    NOISE = "noise"  # our own loops or the load's arrivals were late
    HARNESS_ERROR = "harness error"  # the harness or the scenario raised


TROUBLES = frozenset(Doubt)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one clause of one guarantee came out as, e.g. `reconnects.notices`.

    `measured` and `bound` are in `unit`; a bound of None means measured, not judged. `counted` is the number of
    operations or events it rests on. `ops` holds the offending operations as text, `faults` the ids of the faults
    that overlap them. `reason` says in a sentence what was seen; for an inconclusive finding it begins with a Doubt.
    """

    clause: str
    verdict: Verdict
    bound: float | None = None
    measured: float | None = None
    unit: str = ""
    counted: int = 0
    reason: str = ""
    ops: Sequence[str] = ()
    ops_total: int = 0
    faults: Sequence[int] = ()
    stories: Sequence[Mapping[str, object]] = ()

    @property
    def guarantee(self) -> str:
        """The guarantee that the clause belongs to: its name up to the dot."""
        return self.clause.partition(".")[0]

    @property
    def only_measured(self) -> bool:
        """It has no bound, so that it holds whatever was seen, and decides nothing."""
        return self.bound is None and self.verdict is Verdict.HOLDS


def merge(verdicts: Iterable[Verdict]) -> Verdict:
    """Violated beats inconclusive beats holds; of nothing: inconclusive."""
    seen = set(verdicts)
    for verdict in (Verdict.VIOLATED, Verdict.INCONCLUSIVE, Verdict.HOLDS):
        if verdict in seen:
            return verdict
    return Verdict.INCONCLUSIVE


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a scenario in a state should come out as.

    `exposed` maps each weakness to the clause that must be violated; empty: everything must hold.
    """

    exposed: Mapping[str, str] = field(default_factory=dict)

    def reproduced(self, findings: Sequence[Finding]) -> dict[str, bool]:
        """For each weakness: was its clause violated?"""
        violated = {finding.clause for finding in findings if finding.verdict is Verdict.VIOLATED}
        return {weakness: clause in violated for weakness, clause in self.exposed.items()}

    def unexpected(self, findings: Sequence[Finding]) -> list[tuple[Verdict, str]]:
        """Everything that is not as expected: how bad (violated or inconclusive) and a sentence."""
        if all(finding.only_measured for finding in findings):
            return [(Verdict.INCONCLUSIVE, "nothing was judged")]
        if not self.exposed:
            alike: dict[tuple[Verdict, str], list[str]] = {}
            for found in findings:
                if found.verdict is not Verdict.HOLDS:
                    alike.setdefault((found.verdict, found.reason), []).append(found.clause)
            return [
                (verdict, f"{', '.join(clauses)} {verdict}: {reason}") for (verdict, reason), clauses in alike.items()
            ]
        by_clause = {finding.clause: finding for finding in findings}
        faults: list[tuple[Verdict, str]] = []
        for weakness, clause in self.exposed.items():
            wanted, shown = f"{weakness} was to show as {clause} violated", by_clause.get(clause)
            if shown is None:
                faults.append((Verdict.INCONCLUSIVE, f"{wanted}; it was not judged"))
            elif shown.verdict is Verdict.INCONCLUSIVE:
                faults.append((Verdict.INCONCLUSIVE, f"{wanted}; inconclusive: {shown.reason}"))
            elif shown.verdict is Verdict.HOLDS:
                faults.append((Verdict.VIOLATED, f"{wanted}; it holds: {shown.reason}"))
        return faults


def exit_code(unexpected: Iterable[Verdict], *, judged: int, missing: int) -> int:
    """0 as expected, 1 violated or a weakness not shown, 2 inconclusive, missing, or nothing judged; 1 over 2."""
    seen = set(unexpected)
    if Verdict.VIOLATED in seen:
        return 1
    return 2 if Verdict.INCONCLUSIVE in seen or missing or not judged else 0


def worst_exit(codes: Iterable[int]) -> int:
    """The worst of several runs' exits: 64 over 1 over 2 over 0; of none: 2, for nothing was judged.

    Any other (130, where a run was interrupted) counts as 1.
    """
    order = (64, 1, 2, 0)
    seen = {code if code in order else 1 for code in codes}
    return next((code for code in order if code in seen), 2)


def night_exit(codes: Iterable[int], *, unproven: bool) -> int:
    """The exit of a night: the worst of its runs', and at least 2 where the whole night left something unproven."""
    worst = worst_exit(codes)
    return max(worst, 2) if unproven else worst
