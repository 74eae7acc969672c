"""converges: once all is healed, what was accepted comes to its end, and the system works as it did before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from harness.guarantees._base import (
    LEAST_OPERATIONS,
    NOBODY,
    NS,
    STRETCH_NS,
    Clause,
    Guarantee,
    healed_ns,
    inconclusive,
    measured,
    promise,
    window,
)
from harness.guarantees._facts import course, rules
from harness.history.reader import History
from harness.verdict import Doubt, Finding

if TYPE_CHECKING:
    from harness.guarantees._course import Course

MS = 1_000_000
SLOWER_BY = 0.1
"""By which share the rate of ends may be lower than before the fault."""
LATENCY_TIMES = 1.5
"""The median latency may be so many times that of before the fault."""
DRAINED = Clause("converges.drained", "s", timing=True)
RATE = Clause("converges.rate", "share", timing=True, compares=True)
LATENCY = Clause("converges.latency", "ms", timing=True, compares=True)


@dataclass(frozen=True)
class Converges(Guarantee):
    """`drains_s`: within which time of the last healing all that was accepted by then ends; None: as promised.

    `later_ms`: how much more than LATENCY_TIMES that of before the fault the median latency may be.
    """

    name: ClassVar[str] = "converges"
    clauses: ClassVar[tuple[Clause, ...]] = (DRAINED, RATE, LATENCY)
    drains_s: float | None = None
    later_ms: float = 20.0

    def judge(self, history: History) -> Sequence[Finding]:
        """`drained` where ends are seen; `rate` and `latency` of the load's last 2 s, beside 2 s before the fault."""
        if not window(history).faults:
            return [_doubt(one, Doubt.TOO_LITTLE, "no fault took effect") for one in self.clauses]
        found, known = course(history), rules(history)
        bound = self.drains_s if self.drains_s is not None else promise(history, "drains_s")
        drained = [_drained(history, found, bound)] if known.polled or known.read else []
        short = _too_short(history, found)
        if short:
            return [*drained, *(_doubt(one, Doubt.TOO_LITTLE, short) for one in (RATE, LATENCY))]
        return [*drained, _rate(history, found), _latency(history, found, self.later_ms)]


def _drained(history: History, found: Course, bound: float) -> Finding:
    healed = healed_ns(history)
    until = healed + int(bound * NS)
    late, never = found.after.past(until), found.open.past(until)
    value = (max(found.after.latest(healed), never.latest(healed)) - healed) / NS
    if late or never:
        reason = f"of {found.early} accepted by the healing, {len(never)} never ended, and {len(late)} too late"
        ops, faults = found.named(never.indices, late.indices), window(history).faults
        return measured(history, DRAINED, value, bound, found.early, reason, ops, faults)
    if found.open:
        unseen = len(found.open) - len(found.open.past(-1))
        if unseen:
            return _doubt(DRAINED, Doubt.GAP, f"{unseen} are open, and no last poll or read tells of them", bound)
        lasted = (found.open.latest(healed) - healed) / NS
        return _doubt(DRAINED, Doubt.TOO_LITTLE, f"{len(found.open)} are open, watched for {lasted:.1f} s alone", bound)
    if found.at_risk < LEAST_OPERATIONS:
        return _doubt(DRAINED, Doubt.TOO_LITTLE, f"{found.at_risk} operations were accepted around the fault", bound)
    reason = f"each of {found.early} accepted by the healing came to its end"
    return measured(history, DRAINED, value, bound, found.early, reason, faults=window(history).faults)


def _too_short(history: History, found: Course) -> str:
    """Why the load's last 2 s cannot be compared with what was before the fault; empty where they can."""
    last, before = found.last.answers, found.before.answers
    went_on_ns = last.window.to_ns - healed_ns(history)
    if went_on_ns < STRETCH_NS:
        return f"the load went on for {went_on_ns / NS:.1f} s after the healing, not for {STRETCH_NS / NS:g} s"
    if min(before.offered, last.offered) < LEAST_OPERATIONS:
        return f"{before.offered} operations were offered before the fault, and {last.offered} at the load's end"
    return ""


def _rate(history: History, found: Course) -> Finding:
    before, last = found.before, found.last
    if before.ended < LEAST_OPERATIONS:
        return _doubt(RATE, Doubt.TOO_LITTLE, f"{before.ended} operations ended before the fault", SLOWER_BY)
    lower, counted = max(0.0, 1 - last.rate / before.lasting), before.ended + last.ended
    reason = f"{last.rate:.1f} ended a second at the load's end, {before.lasting:.1f} before the fault"
    ops = found.unended(history, last) if lower > SLOWER_BY else NOBODY
    return measured(history, RATE, lower, SLOWER_BY, counted, reason, ops, window(history).faults)


def _latency(history: History, found: Course, later_ms: float) -> Finding:
    before, last = found.before.answers, found.last.answers
    was, value = before.latency.of(0.5) / MS, last.latency.of(0.5) / MS
    bound = LATENCY_TIMES * was + later_ms
    if before.answered < LEAST_OPERATIONS or (value <= bound and last.answered < LEAST_OPERATIONS):
        sentence = f"{before.answered} operations were answered before the fault, and {last.answered} at the end"
        return _doubt(LATENCY, Doubt.TOO_LITTLE, sentence, bound)
    ops = last.slower(history, int(bound * MS)) if value > bound else NOBODY
    reason = f"the median of the load's last 2 s; before the fault it was {was:.1f} ms"
    return measured(history, LATENCY, value, bound, last.offered, reason, ops, window(history).faults)


def _doubt(clause: Clause, doubt: Doubt, sentence: str, bound: float | None = None) -> Finding:
    return inconclusive(clause.name, doubt, sentence, unit=clause.unit, bound=bound)
