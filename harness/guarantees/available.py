"""available: what is offered is answered, and done in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from harness.guarantees._base import (
    GRACE_NS,
    LEAST_OPERATIONS,
    NOBODY,
    NS,
    Clause,
    Guarantee,
    inconclusive,
    measured,
    promise,
)
from harness.guarantees._facts import course
from harness.history.reader import History
from harness.verdict import Doubt, Finding, Verdict

if TYPE_CHECKING:
    from harness.guarantees._answers import Answers
    from harness.guarantees._course import Course

MS = 1_000_000
QUANTILE = 0.95
"""Of the operations that may be answered within `latency_ms`."""
FAILED = Clause("available.failed", "share")
LATENCY = Clause("available.latency", "ms", timing=True)
SILENCE = Clause("available.silence", "s", timing=True)
HANGS = Clause("available.hangs", "operations")


@dataclass(frozen=True)
class Available(Guarantee):
    """What may be at most, of the operations that were meant to begin in the window. None: it is measured alone.

    `failed` is a share (None in calm: the system's promise), `latency_ms` the 95th percentile of the answers,
    `silence_s` the longest time without an accepted one, `hangs` operations that are not completed.
    """

    name: ClassVar[str] = "available"
    clauses: ClassVar[tuple[Clause, ...]] = (FAILED, LATENCY, SILENCE, HANGS)
    failed: float | None = None
    latency_ms: float | None = None
    silence_s: float | None = None
    hangs: float | None = 0

    def judge(self, history: History) -> Sequence[Finding]:
        """One finding a clause, all of the same operations."""
        found = course(history)
        offered = found.under.offered
        if offered < LEAST_OPERATIONS:
            sentence = f"{offered} operations were offered in the window"
            return [_too_little(one, sentence, found.under) for one in self.clauses]
        calm = bool(history.meta.get("calm"))
        failed = promise(history, "failed") if self.failed is None and calm else self.failed
        return [
            _failed(history, found, failed),
            _latency(history, found.under, self.latency_ms),
            _silence(history, found.under, self.silence_s),
            _hangs(history, found.under, self.hangs),
        ]


def _failed(history: History, found: Course, bound: float | None) -> Finding:
    seen, failed = found.under, found.failed
    late = failed.total - seen.refused - seen.unknown
    reason = f"{failed.total} of {seen.offered}: {seen.refused} refused, {seen.unknown} unknown"
    reason += f", {late} with no result in time"
    share = failed.total / seen.offered
    return measured(history, FAILED, share, bound, seen.offered, reason, failed, seen.window.faults)


def _latency(history: History, seen: Answers, bound: float | None) -> Finding:
    value = seen.latency.of(QUANTILE) / MS
    ops = seen.slower(history, int(bound * MS)) if bound is not None and value > bound else NOBODY
    reason = f"p95 of {seen.offered} operations, of which {seen.answered} were answered"
    found = measured(history, LATENCY, value, bound, seen.offered, reason, ops, seen.window.faults)
    return _answered(found, LATENCY, seen)


def _silence(history: History, seen: Answers, bound: float | None) -> Finding:
    lasted = (seen.window.to_ns - seen.window.from_ns) / NS
    if bound is not None and lasted <= bound:
        return _too_little(SILENCE, f"the window lasted {lasted:.1f} s, which is no longer than the bound", seen, bound)
    begin, end = seen.silence.longest()
    value = (end - begin) / NS
    ops = seen.unheard(history, begin, end) if bound is not None and value > bound else NOBODY
    reason = f"nothing was accepted from {(begin - seen.window.from_ns) / NS:.3f} s of the window on"
    found = measured(history, SILENCE, value, bound, seen.offered, reason, ops, seen.window.faults)
    return _answered(found, SILENCE, seen)


def _hangs(history: History, seen: Answers, bound: float | None) -> Finding:
    reason = f"{seen.hung.total} of {seen.offered} were not completed {GRACE_NS / NS:g} s after their deadline"
    found = measured(history, HANGS, seen.hung.total, bound, seen.offered, reason, seen.hung, seen.window.faults)
    if seen.unwatched and found.verdict is Verdict.HOLDS and bound is not None:
        return _too_little(HANGS, f"{seen.unwatched} were open when the watching ended", seen, bound)
    return _answered(found, HANGS, seen)


def _answered(found: Finding, clause: Clause, seen: Answers) -> Finding:
    """The finding; but a bound that was kept by operations of which hardly one was answered says nothing."""
    if found.bound is None or found.verdict is Verdict.VIOLATED or seen.answered >= LEAST_OPERATIONS:
        return found
    return _too_little(clause, f"{seen.answered} of {seen.offered} operations were answered", seen, found.bound)


def _too_little(clause: Clause, sentence: str, seen: Answers, bound: float | None = None) -> Finding:
    return inconclusive(clause.name, Doubt.TOO_LITTLE, sentence, bound=bound, unit=clause.unit, counted=seen.offered)
