"""effects: each operation was done as often as the system promises: exactly once, at least once, at most N times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from harness.guarantees._base import LEAST_OPERATIONS, Clause, Guarantee, inconclusive, names, window
from harness.guarantees._facts import facts
from harness.guarantees._stories import stories
from harness.history.reader import History
from harness.verdict import Doubt, Finding, Verdict

SOURCES = ("effects", "stream")


@dataclass(frozen=True)
class Effects(Guarantee):
    """Bounds are the system's promise; repeats that the system itself recognised do not count."""

    name: ClassVar[str] = "effects"
    clauses: ClassVar[tuple[Clause, ...]] = (Clause("effects", "operations"),)
    needs: ClassVar[frozenset[str]] = frozenset({"effects"})

    def judge(self, history: History) -> Sequence[Finding]:
        """Violated by an operation with too many effects, or by an accepted one that is due and has too few."""
        unit, promised = "operations", history.meta["promises"]["effects"]
        reads = [line for line in history.lines("read") if line["source"] in SOURCES]
        cut_short = [str(line.get("why", "")) for line in reads if not line["complete"]]
        found = facts(history)
        wrong = [*found.duplicates.first, *found.missing.first]
        count = found.duplicates.total + found.missing.total
        if cut_short or not reads:
            sentence = ": ".join(filter(None, ["the effects were not read to their end", *cut_short[:1]]))
            return [inconclusive(self.name, Doubt.GAP, sentence, unit=unit)]
        if found.owed < LEAST_OPERATIONS:
            sentence = f"{found.owed} operations were accepted"
            return [inconclusive(self.name, Doubt.TOO_LITTLE, sentence, unit=unit, counted=found.owed)]
        parts = [f"{found.duplicates.total} done too often"] if found.duplicates.total else []
        parts += [f"{found.missing.total} accepted and not done"] if found.missing.total else []
        if found.refused_yet_done.total:
            parts.append(f"{found.refused_yet_done.total} refused, yet done")
        told = "; ".join(parts) if parts else f"{found.effects} effects of {found.offered} operations"
        return [
            Finding(
                self.name,
                Verdict.VIOLATED if count else Verdict.HOLDS,
                0,
                count,
                unit,
                found.offered,
                f"{promised}: {told}",
                names(history, wrong),
                count,
                window(history).faults,
                stories(history, wrong),
            )
        ]
