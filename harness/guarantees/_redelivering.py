"""The clauses of redelivers, one function each: of workers that were killed, and of messages that nobody can handle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from harness.guarantees._base import LEAST_OPERATIONS, NS, Clause
from harness.guarantees._facts import read_ends
from harness.guarantees._hands import End, Held, Work, doubt, few, found, is_due, works
from harness.history.reader import NEVER_NS, History
from harness.history.rows import OpId, Outcome, Step
from harness.verdict import Doubt, Finding

POISON = "poison"
"""The workload of the messages that no consumer can handle (docs/faults.md)."""
LEAST_POISONS = 3
SOURCE = "dead letters"
HEARD = frozenset({SOURCE})
AGAIN = Clause("redelivers.again", "s", timing=True, needs=frozenset({"hands"}))
BOUNDED = Clause("redelivers.bounded", "attempts", needs=frozenset({"attempts"}))
DEAD_LETTERS = Clause("redelivers.dead_letters", "messages", sources=HEARD, needs=frozenset({"dead", "letters"}))
NO_HEALTHY = Clause("redelivers.no_healthy", "operations", sources=HEARD, needs=frozenset({"dead"}))
CLAUSES = (AGAIN, BOUNDED, DEAD_LETTERS, NO_HEALTHY)


def left(has: Sequence[Work], end: End) -> list[Work]:
    """What a worker that died left undone: what was begun by nobody since, and yet has a result, it had finished."""
    return [work for work in has if not work.resulted or work.first_begun(end.moment_ns) < NEVER_NS]


def again(history: History, held: Held, bound: float) -> Finding:
    """What was in a dead worker's hands was begun again in time."""
    read_ns = read_ends(history).get("effects")
    if read_ns is None:
        return doubt(AGAIN, Doubt.GAP, "the effects were not read to their end", bound)
    begun = [(work, work.first_begun(end.moment_ns), end.moment_ns) for end, has in held for work in has]
    took = [(work, (min(begun_ns, read_ns) - died_ns) / NS) for work, begun_ns, died_ns in begun]
    late = [work for work, seconds in took if seconds > bound]
    never = sum(begun_ns == NEVER_NS for _, begun_ns, _ in begun)
    if not late and (never or few(held)):
        sentence = few(held) or f"{never} were not begun again, and were watched for {bound:g} s or less"
        return doubt(AGAIN, Doubt.TOO_LITTLE, sentence, bound, len(begun))
    value = max((seconds for _, seconds in took), default=0.0)
    reason = f"of {len(begun)} in the hands of {', '.join(end.node for end, _ in held)}, {never} were never begun again"
    return found(history, AGAIN, value, bound, len(begun), f"{reason}, {len(late) - never} too late", late)


def bounded(history: History, held: Held, bound: float | None) -> Finding:
    """Nothing was tried more often than promised."""
    tried = [work for work in works(history).values() if work.attempt]
    over = [work for work in tried if bound is not None and work.attempt > bound]
    if not over and (few(held) or len(tried) < LEAST_OPERATIONS):
        sentence = few(held) or f"{len(tried)} operations were seen to be tried"
        return doubt(BOUNDED, Doubt.TOO_LITTLE, sentence, bound, len(tried))
    value = max(work.attempt for work in tried)
    reason = f"of {len(tried)} that were tried, {sum(work.attempt > 1 for work in tried)} were so more than once"
    return found(history, BOUNDED, value, bound, len(tried), reason, over)


def dead_letters(history: History, poisons: Sequence[OpId]) -> Finding:
    """Each poison became one dead letter, with the reason and with what could not be handled."""
    known, letters = works(history), _letters(history)
    read_ns = read_ends(history).get(SOURCE, -1)
    bare = {line["op"] for line in history.lines("dead_letter") if not line["reason"] or not line["payload"]}
    missing = [known[op] for op in poisons if not letters[op]]
    gone = [work for work in missing if is_due(history, work, looked_ns=read_ns)]
    twice = [known[op] for op in poisons if letters[op] > 1]
    empty = [known[op] for op in poisons if letters[op] == 1 and history.marker(op) in bare]
    wrong = [*gone, *twice, *empty]
    if not wrong and missing:
        why = Doubt.GAP if read_ns < 0 else Doubt.TOO_LITTLE
        return doubt(DEAD_LETTERS, why, f"{len(missing)} may still become dead letters", 0, len(poisons))
    if not wrong and len(poisons) < LEAST_POISONS:
        return doubt(DEAD_LETTERS, Doubt.TOO_LITTLE, f"the broker took {len(poisons)} poisons", 0, len(poisons))
    reason = (
        f"of {len(poisons)} poisons {len(gone)} became no dead letter, {len(twice)} more than one,"
        f" {len(empty)} one without reason or payload"
    )
    return found(history, DEAD_LETTERS, len(wrong), 0, len(poisons), reason, wrong)


def no_healthy(history: History, poisons: Sequence[OpId]) -> Finding:
    """Nothing else became a dead letter."""
    letters, others = _letters(history), [work for op, work in works(history).items() if op not in poisons]
    healthy = [work for work in others if letters[work.operation.id]]
    counted = sum(work.operation.outcome is Outcome.OK for work in others)
    if SOURCE not in read_ends(history):
        return doubt(NO_HEALTHY, Doubt.GAP, "the dead letters were not read to their end", 0, counted)
    if not healthy and (len(poisons) < LEAST_POISONS or counted < LEAST_OPERATIONS):
        sentence = f"the broker took {len(poisons)} poisons among {counted} others"
        return doubt(NO_HEALTHY, Doubt.TOO_LITTLE, sentence, 0, counted)
    reason = f"{len(healthy)} of {counted} others became dead letters"
    return found(history, NO_HEALTHY, len(healthy), 0, counted, reason, healthy)


def _letters(history: History) -> Counter[OpId]:
    """How many dead letters there are of each operation."""
    owners = {work.operation.ref: op for op, work in works(history).items() if work.operation.ref}
    named = (seen.op or owners.get(seen.ref or "") for seen in history.sightings(Step.DEAD_LETTER))
    return Counter(op for op in named if op is not None)
