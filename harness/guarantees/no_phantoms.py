"""no_phantoms: nothing is seen that nobody offered, and no result belongs to another operation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from harness.guarantees._base import LEAST_OPERATIONS, POLL, Clause, Guarantee, crossings, inconclusive, names, window
from harness.guarantees._facts import facts
from harness.history.reader import History
from harness.history.rows import Step, find_markers
from harness.verdict import Doubt, Finding, Verdict

ENUMERATES = ("effects", "stream", "taps")
"""Sources that enumerate; one that was read completely is enough."""


@dataclass(frozen=True)
class NoPhantoms(Guarantee):
    """Needs a source that enumerates: polling by id cannot see what it does not ask for."""

    name: ClassVar[str] = "no_phantoms"
    clauses: ClassVar[tuple[Clause, ...]] = (Clause("no_phantoms", "records", crossings=True),)
    needs: ClassVar[frozenset[str]] = frozenset({"enumerates"})

    def judge(self, history: History) -> Sequence[Finding]:
        """Violated by any record with a marker of no operation, without marker, or by a crossed result."""
        complete = {line["source"] for line in history.lines("read") if line["complete"]}
        sets = facts(history)
        total = sets.offered
        if total < LEAST_OPERATIONS:
            return [inconclusive(self.name, Doubt.TOO_LITTLE, f"{total} operations were offered", unit="records")]
        if not complete & set(ENUMERATES):
            return [inconclusive(self.name, Doubt.GAP, "no source that enumerates was read to its end", unit="records")]
        crossed = crossings(history)
        unmarked = [line["text"] for line in history.lines("phantom") if line["source"] != POLL]
        wronged = {op for text in crossed for op in find_markers(history.nonce, text).ours[:1]}
        strange = sorted({*sets.phantom_ops.first, *wronged})
        unclear = sets.unknown_refs if sets.unknown else 0  # an answer that never came may have given the ref
        found = sets.phantoms - unclear + len(unmarked) + len(crossed)
        seen = sum(1 for _ in history.sightings(*Step))
        if not found and unclear:
            sentence = f"{unclear} records name refs that no answer gave, and {sets.unknown} operations are unknown"
            return [inconclusive(self.name, Doubt.IDS_UNCLEAR, sentence, unit="records", counted=seen)]
        if not found and seen < LEAST_OPERATIONS:
            sentence = f"{total} operations were seen {seen} times"
            return [inconclusive(self.name, Doubt.TOO_LITTLE, sentence, unit="records", counted=seen)]
        parts = [
            (sets.phantoms - unclear, "of no operation that was offered"),
            (len(unmarked), "without a marker of this run"),
            (len(crossed), "a result of another operation"),
        ]
        reason = "; ".join(f"{count} {what}" for count, what in parts if count)
        reason += f" (the first: {(crossed + unmarked)[0]!r:.120})" if unmarked or crossed else ""
        return [
            Finding(
                self.name,
                Verdict.VIOLATED if found else Verdict.HOLDS,
                0,
                found,
                "records",
                seen,
                reason or f"each of {seen} sightings belongs to an operation that was offered",
                names(history, strange),
                sets.phantom_ops.total + len(wronged),
                window(history).faults,
            )
        ]
