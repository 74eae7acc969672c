"""available: work that is offered is promised and done in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from harness.guarantees._base import (
    LEAST_OPERATIONS,
    NS,
    Clause,
    Guarantee,
    inconclusive,
    load_window,
    names,
    promise,
    window,
)
from harness.history.reader import History
from harness.history.rows import Operation, OpId, Outcome, Step
from harness.verdict import Doubt, Finding, Verdict


@dataclass(frozen=True)
class Available(Guarantee):
    """`failed`: the share that may fail; None takes the system's promise in calm, and measures alone under a fault."""

    name: ClassVar[str] = "available"
    clauses: ClassVar[tuple[Clause, ...]] = (Clause("available.failed", "share"),)
    failed: float | None = None

    def judge(self, history: History) -> Sequence[Finding]:
        """`available.failed`: of the operations intended in the window, those without proved success in time."""
        calm = bool(history.meta.get("calm"))
        seen = load_window(history) if calm else window(history)
        bound = self.failed if self.failed is not None else promise(history, "failed") if calm else None
        intended = [o for o in history.operations() if seen.from_ns <= o.intended_ns <= seen.to_ns]
        if len(intended) < LEAST_OPERATIONS:
            sentence = f"{len(intended)} operations were offered in the window"
            return [inconclusive("available.failed", Doubt.TOO_LITTLE, sentence, unit="share", counted=len(intended))]
        done = _done(history)
        failed = [o for o in intended if not _in_time(history, o, done.get(o.id))]
        share = len(failed) / len(intended)
        unknown = sum(o.outcome is Outcome.UNKNOWN for o in failed)
        refused = sum(o.outcome is Outcome.FAIL for o in failed)
        late = len(failed) - unknown - refused
        return [
            Finding(
                "available.failed",
                Verdict.VIOLATED if bound is not None and share > bound else Verdict.HOLDS,
                bound,
                share,
                "share",
                len(intended),
                f"{len(failed)} of {len(intended)}: {refused} refused, {unknown} unknown, {late} with no result in time"
                + ("" if bound is not None else "; measured, not judged"),
                names(history, [o.id for o in failed]),
                len(failed),
                seen.faults,
            )
        ]


def _done(history: History) -> dict[OpId, int]:
    """When each operation was first seen to have succeeded."""
    done: dict[OpId, int] = {}
    for sighting in history.sightings(Step.RESULT):
        if sighting.op is not None and sighting.proved:
            done.setdefault(sighting.op, sighting.t_ns)
    return done


def _in_time(history: History, operation: Operation, done_ns: int | None) -> bool:
    """Accepted, and with its result within results_s where the workload is polled."""
    if operation.outcome is not Outcome.OK:
        return False
    workload = history.meta["workloads"][operation.workload]
    if not workload["polled"]:
        return True
    return done_ns is not None and done_ns - operation.start_ns <= workload["results_s"] * NS
