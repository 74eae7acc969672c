"""The clauses of drains, one function each, of the replicas that were asked to stop and what each had in hand."""

from __future__ import annotations

from collections.abc import Iterator

from harness.guarantees._base import NS, Clause, end_ns
from harness.guarantees._hands import End, Held, Work, doubt, found, is_due, of_entry, works
from harness.guarantees.no_loss import LEAST_IN_HAND
from harness.history.reader import NEVER_NS, History
from harness.history.rows import OpId, Outcome
from harness.verdict import Doubt, Finding, Verdict

TAKES_UNTIL_S = 0.25
"""How long after it was asked to stop a replica may still take work."""
FROM_THEN_S = 5
"""What is accepted for so long from then on must come to its end."""
EXITS = Clause("drains.exits", "s", timing=True)
FINISHES = Clause("drains.finishes", "operations")
STOPS_TAKING = Clause("drains.stops_taking", "s", timing=True)
TAKES_OVER = Clause("drains.takes_over", "s", timing=True)
CLAUSES = (EXITS, FINISHES, STOPS_TAKING, TAKES_OVER)


def exits(history: History, held: Held, bound: float) -> Finding:
    """Each ended with code 0, and in time."""
    worst, wrong, timed = 0.0, [], True
    for end, _ in held:
        took = (min(end.gone_ns, end_ns(history)) - end.moment_ns) / NS
        worst = max(worst, took)
        if end.code is None:
            wrong.append(f"{end.node} never ended, in {took:.1f} s")
        elif end.code:
            how = f"code {end.code}" if end.code > 0 else f"signal {-end.code}"
            wrong.append(f"{end.node} ended with {how} after {took:.3f} s")
            timed = False  # a code is no matter of time, so that noise cannot have made it
        elif took > bound:
            wrong.append(f"{end.node} ended after {took:.3f} s")
    reason = "; ".join(wrong) or f"{len(held)} of {len(held)} ended with code 0 in time"
    verdict, value = (Verdict.VIOLATED if wrong else Verdict.HOLDS), worst if timed else None
    return Finding(EXITS.name, verdict, bound, value, EXITS.unit, len(held), reason)


def finishes(history: History, held: Held) -> Finding:
    """What was in hand came to its end, at the first attempt."""
    fates = [(work, _fate(history, end, work)) for end, has in held for work in has]
    never, again, open_ = ([work for work, fate in fates if fate == one] for one in ("never", "again", "open"))
    if open_ and not never and not again:
        sentence = f"of {len(fates)} in hand, nobody can tell what became of {len(open_)}"
        return doubt(FINISHES, Doubt.GAP, sentence, 0, len(fates))
    reason = f"each of {len(fates)} in hand came to its end at the first attempt"
    if never or again:
        reason = f"of {len(fates)} in hand, {len(never)} never ended, and {len(again)} were begun anew"
    return found(history, FINISHES, len(never) + len(again), 0, len(fates), reason, [*never, *again])


def _fate(history: History, end: End, work: Work) -> str:
    """What became of an operation in hand: `never` ended, begun `again`, `open` and nobody can tell, or `finished`."""
    outcome = work.operation.outcome
    answered = outcome is Outcome.OK and not work.told and end.node == history.meta["entry"]
    if outcome is Outcome.FAIL or answered:
        return "finished"
    if work.ended_ns == NEVER_NS:
        return "never" if outcome is Outcome.OK and is_due(history, work) else "open"
    return "again" if work.attempts > 1 else "finished"


def stops_taking(history: History, held: Held) -> Finding:
    """Nothing was taken any more, soon after the asking."""
    offered, worst, late = 0, 0, dict[OpId, Work]()
    for end, has in held:
        mine = {work.operation.id for work in has}
        for op, work in works(history).items():
            offered += 0 < work.operation.start_ns - end.moment_ns <= FROM_THEN_S * NS
            last = max((at_ns - end.moment_ns for at_ns in _taken(history, end, work)), default=0)
            if last > worst and op not in mine:
                worst = last
            if last > TAKES_UNTIL_S * NS and op not in mine:
                late[op] = work
    if not late and offered < LEAST_IN_HAND:
        return doubt(STOPS_TAKING, Doubt.TOO_LITTLE, f"{offered} operations were offered from then on", TAKES_UNTIL_S)
    if not worst:  # which is no matter of time, so that noise cannot have made it
        reason = f"of {offered} offered from then on, it took none"
        return Finding(STOPS_TAKING.name, Verdict.HOLDS, TAKES_UNTIL_S, None, STOPS_TAKING.unit, offered, reason)
    reason = f"of {offered} offered from then on, {len(late)} were taken too late, the last after {worst / NS:.3f} s"
    return found(history, STOPS_TAKING, worst / NS, TAKES_UNTIL_S, offered, reason, list(late.values()))


def _taken(history: History, end: End, work: Work) -> Iterator[int]:
    """When a replica that had been asked to stop took it: the entry accepted it, a worker began it."""
    operation = work.operation
    if end.node != history.meta["entry"]:
        yield from (at_ns for at_ns, by in work.begun if by == end.node and end.moment_ns < at_ns < end.until_ns)
    elif (
        operation.outcome is Outcome.OK
        and of_entry(history, operation)
        and operation.start_ns > end.moment_ns
        and (operation.end_ns or 0) < end.until_ns
    ):
        yield operation.start_ns


def takes_over(history: History, held: Held, bound: float) -> Finding:
    """What was accepted from then on came to its end in time, whoever did it."""
    moments = [end.moment_ns for end, _ in held]
    due = [work for work in works(history).values() if work.told and _accepted_from(work, moments)]
    value, late, open_ = 0.0, list[Work](), 0
    for work in due:
        seen_ns = work.looked_ns if work.ended_ns == NEVER_NS else work.ended_ns
        took = (seen_ns - (work.operation.end_ns or 0)) / NS
        if took > bound:
            late.append(work)
        elif work.ended_ns == NEVER_NS:
            open_ += 1
            continue
        value = max(value, took)
    if not late and (open_ or len(due) < LEAST_IN_HAND):
        sentence = f"{open_} are open, and were watched for less than {bound:g} s from their acceptance"
        sentence = sentence if open_ else f"{len(due)} operations were accepted from then on"
        return doubt(TAKES_OVER, Doubt.TOO_LITTLE, sentence, bound, len(due))
    never = sum(work.ended_ns == NEVER_NS for work in late)
    reason = (
        f"of {len(due)} accepted in {FROM_THEN_S} s from then on, {never} never ended, {len(late) - never} too late"
    )
    return found(history, TAKES_OVER, value, bound, len(due), reason, late)


def _accepted_from(work: Work, moments: list[int]) -> bool:
    """Was it accepted in the seconds from one of these moments on?"""
    operation = work.operation
    if operation.outcome is not Outcome.OK or operation.end_ns is None:
        return False
    return any(0 <= operation.end_ns - moment <= FROM_THEN_S * NS for moment in moments)
