"""no_loss: what the system accepted gets its end: a result, an explicit failure, or a dead letter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from harness.guarantees._base import LEAST_OPERATIONS, Clause, Guarantee, inconclusive, names, window
from harness.guarantees._facts import facts
from harness.guarantees._stories import stories
from harness.history.reader import History
from harness.verdict import Doubt, Finding, Verdict

LEAST_IN_HAND = 5
"""Where a scenario is about work in hand, fewer operations than this are too little."""


@dataclass(frozen=True)
class NoLoss(Guarantee):
    """lost = accepted, no terminal sighting by the end, the last poll answered, and the time to settle is over."""

    name: ClassVar[str] = "no_loss"
    clauses: ClassVar[tuple[Clause, ...]] = (Clause("no_loss", "operations"),)
    needs: ClassVar[frozenset[str]] = frozenset({"terminal"})

    def judge(self, history: History) -> Sequence[Finding]:
        """Violated iff anything is lost; what cannot be told is inconclusive."""
        found = facts(history)
        unit, faults = "operations", window(history).faults
        if found.lost.total:
            reason = f"{found.lost.total} of {found.traced} accepted have no result, failure or dead letter"
            return [
                Finding(
                    self.name,
                    Verdict.VIOLATED,
                    0,
                    found.lost.total,
                    unit,
                    found.traced,
                    reason,
                    names(history, found.lost.first),
                    found.lost.total,
                    faults,
                    stories(history, found.lost.first),
                )
            ]
        too_little = [line for line in history.lines("in_hand") if line["count"] < min(line["asked"], LEAST_IN_HAND)]
        if too_little:
            sentence = f"{too_little[0]['node']} had {too_little[0]['count']} operations in hand"
            return [inconclusive(self.name, Doubt.TOO_LITTLE, sentence, unit=unit, counted=found.traced)]
        if found.undetermined.total:
            sentence = f"{found.undetermined.total} accepted are open, and no last poll or read tells of them"
            shown = names(history, found.undetermined.first)
            return [inconclusive(self.name, Doubt.GAP, sentence, unit=unit, counted=found.traced, ops=shown)]
        if found.in_window < LEAST_OPERATIONS:
            sentence = f"{found.in_window} operations were accepted in the window, or in flight"
            return [inconclusive(self.name, Doubt.TOO_LITTLE, sentence, unit=unit, counted=found.in_window)]
        reason = f"each of {found.traced} accepted operations came to an end"
        return [Finding(self.name, Verdict.HOLDS, 0, 0, unit, found.traced, reason, faults=faults)]
