"""drains: a replica that is asked to stop takes nothing new, finishes what it has, ends well, and others go on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from harness.guarantees import _draining
from harness.guarantees._base import Clause, Guarantee, promise
from harness.guarantees._hands import doubt, ends, few, in_hand
from harness.history.reader import History
from harness.verdict import Doubt, Finding, Verdict


@dataclass(frozen=True)
class Drains(Guarantee):
    """Bounds in seconds; None takes the system file's promise (`stops_s`, `drains_s`)."""

    name: ClassVar[str] = "drains"
    clauses: ClassVar[tuple[Clause, ...]] = _draining.CLAUSES
    needs: ClassVar[frozenset[str]] = frozenset({"terminal"})
    stops_s: float | None = None
    drains_s: float | None = None

    def judge(self, history: History) -> Sequence[Finding]:
        """One finding a clause, of all replicas that were asked to stop."""
        asked = [end for end in ends(history) if end.asked_ns is not None]
        if not asked:
            sentence = "neither the entry nor a worker was asked to stop"
            return [doubt(clause, Doubt.TOO_LITTLE, sentence) for clause in self.clauses]
        held = [(end, in_hand(history, end)) for end in asked]
        found = [
            _draining.exits(history, held, self.stops_s or promise(history, "stops_s")),
            _draining.finishes(history, held),
            _draining.stops_taking(history, held),
            _draining.takes_over(history, held, self.drains_s or promise(history, "drains_s")),
        ]
        faults = sorted({end.fault for end in asked})
        return [dataclasses.replace(_enough(finding, few(held)), faults=faults) for finding in found]


def _enough(finding: Finding, too_little: str) -> Finding:
    """The finding; one that holds is inconclusive where a replica had too little in hand."""
    if finding.verdict is not Verdict.HOLDS or not too_little:
        return finding
    reason = f"{Doubt.TOO_LITTLE}: {too_little}"
    return dataclasses.replace(finding, verdict=Verdict.INCONCLUSIVE, measured=None, reason=reason)
