"""What a circuit breaker in the entry looks like from outside, while something that the entry calls is away.

It has *opened* once so many operations in a row failed slowly. From then on it refuses fast; what it still lets through
to see whether the provider is back (a *probe*) takes about as long as the failures that opened it.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from harness.guarantees._base import LEAST_OPERATIONS, NS, Clause, end_ns, inconclusive, load_window
from harness.guarantees._refusals import Away, away, by_count, not_asked, offered
from harness.history.reader import History
from harness.history.rows import Operation, Outcome
from harness.verdict import Doubt, Finding

BREAKER = Clause("degrades.breaker", "operations", timing=True, counts_late=True, needs=frozenset({"answers"}))
PROBE_SHARE = 0.5
"""What takes at least this share of the shortest failure that opened a breaker was let through to the provider."""
SLOW_SHARE = 0.05
"""So many of the refusals may be slow: a busy machine delays one now and then."""


class Seen(NamedTuple):
    """What one breaker was seen to do: how many operations it was asked for while open, and which it wronged."""

    counted: int
    crowd: Sequence[Operation] = ()
    slow: Sequence[Operation] = ()
    unserved: Sequence[Operation] = ()
    short: str = ""


def breaker(history: History, opens_after: int, refuses_ms: float, works_s: float) -> Finding:
    """Violated by refusals that were slow, by probes beside another, and by what was refused too long after healing."""
    spans = away(history, broker=False)
    if not spans:
        return not_asked(BREAKER, "nothing that the entry calls was away")
    ids = [one.span.id for one in spans]
    by_workload: dict[str, list[Operation]] = defaultdict(list)
    for operation in sorted(offered(history), key=lambda one: one.start_ns):
        by_workload[operation.workload].append(operation)
    under = sum(any(one.begun(operation) for one in spans) for ops in by_workload.values() for operation in ops)
    if under < LEAST_OPERATIONS:
        sentence = f"{under} operations were offered while a provider was away"
        return _too_little(sentence, under, ids)
    watch = _Watch(history, opens_after, int(refuses_ms * 1e6), int(works_s * NS))
    seen = [found for one in spans for ops in by_workload.values() for found in watch.at(one, ops)]
    if not seen:
        return not_asked(BREAKER, f"no {opens_after} operations in a row failed slowly, so that none had to open")
    counted = sum(one.counted for one in seen)
    parts = [
        ([op.id for one in seen for op in one.slow], f"refused slower than in {refuses_ms:g} ms"),
        ([op.id for one in seen for op in one.crowd], "let through beside another"),
        ([op.id for one in seen for op in one.unserved], f"refused until later than {works_s:g} s after the healing"),
    ]
    wronged = sorted({op for ops, _ in parts for op in ops})
    short = "; ".join(one.short for one in seen if one.short)
    if short and not wronged:
        return _too_little(short, counted, ids)
    reason = "; ".join(f"{len(ops)} {what}" for ops, what in parts if ops)
    reason = reason or f"each of {counted} was refused at once or was the one probe, and the work went on in time"
    finding = by_count(history, BREAKER, wronged, counted, reason, ids)
    # No matter of time: being late a while cannot have made all of so many slow.
    if counted >= LEAST_OPERATIONS and all(len(one.slow) == one.counted for one in seen):
        reason = f"none of {counted} was refused at once: there is no breaker"
        finding = dataclasses.replace(finding, measured=None, reason=reason)
    return finding


class _Watch:
    """Looks at the operations of one workload around one fault."""

    def __init__(self, history: History, opens_after: int, fast_ns: int, works_ns: int) -> None:
        self._opens_after, self._fast_ns, self._works_ns = opens_after, fast_ns, works_ns
        self._end_ns, self._load_ends_ns = end_ns(history), load_window(history).to_ns

    def at(self, one: Away, ops: Sequence[Operation]) -> Iterator[Seen]:
        """What its breaker did; nothing where it did not have to open."""
        opened_by = self._opened_by([operation for operation in ops if one.begun(operation)])
        if not opened_by:
            return
        opened_ns, hang_ns = self._end(opened_by[-1]), min(map(self._took, opened_by))
        asked = [operation for operation in ops if opened_ns < operation.start_ns < one.to_ns]
        unserved, short = self._closing(one, [operation for operation in ops if operation.start_ns >= one.to_ns])
        if len(asked) < LEAST_OPERATIONS:
            short = f"{len(asked)} operations were offered after {self._opens_after} had failed slowly"
        least_ns = max(int(hang_ns * PROBE_SHARE), self._fast_ns)
        probes = [operation for operation in asked if self._took(operation) >= least_ns]
        slow = [operation for operation in asked if self._fast_ns <= self._took(operation) < least_ns]
        if len(asked) == len(probes) + len(slow):  # nothing was refused at once: there is no breaker
            yield Seen(len(asked), slow=[*probes, *slow], unserved=unserved, short=short)
            return
        few = len(slow) <= SLOW_SHARE * (len(asked) - len(probes))
        yield Seen(len(asked), self._crowd(probes), [] if few else slow, unserved, short)

    def _opened_by(self, ops: Sequence[Operation]) -> Sequence[Operation]:
        """The slow failures, none accepted in between, after the last of which a breaker is open; none: not enough."""
        found: list[Operation] = []
        for operation in sorted(ops, key=self._end):
            if operation.outcome is Outcome.OK:
                found.clear()
            elif self._took(operation) >= self._fast_ns:
                found.append(operation)
            if len(found) >= self._opens_after:
                return found
        return ()

    def _crowd(self, probes: Sequence[Operation]) -> list[Operation]:
        """Those that began while one before them was under way."""
        found, until_ns = [], 0
        for operation in probes:
            if operation.start_ns < until_ns:
                found.append(operation)
            until_ns = max(until_ns, self._end(operation))
        return found

    def _closing(self, one: Away, after: Sequence[Operation]) -> tuple[list[Operation], str]:
        """What was refused after the healing, where that went on for too long; or why nothing can be said."""
        served = [operation for operation in after if operation.outcome is Outcome.OK]
        first = min(served, key=self._end, default=None)
        until_ns = self._end(first) if first is not None else self._load_ends_ns
        if first is None and until_ns <= one.to_ns + self._works_ns:
            return [], f"nothing was accepted again in {max(until_ns - one.to_ns, 0) / NS:.1f} s"
        if until_ns <= one.to_ns + self._works_ns:
            return [], ""
        return [operation for operation in after if operation.start_ns <= until_ns], ""

    def _end(self, operation: Operation) -> int:
        return self._end_ns if operation.end_ns is None else operation.end_ns

    def _took(self, operation: Operation) -> int:
        return self._end(operation) - operation.start_ns


def _too_little(sentence: str, counted: int, faults: Sequence[int]) -> Finding:
    return inconclusive(
        BREAKER.name, Doubt.TOO_LITTLE, sentence, bound=0, unit=BREAKER.unit, counted=counted, faults=faults
    )
