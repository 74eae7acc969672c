"""What each operation went through, who had it in hand when a replica ended, and how that replica ended."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from weakref import WeakKeyDictionary

from harness.guarantees._base import NS, SHOWN_OPS, Clause, healed_ns, inconclusive, measured, promise
from harness.guarantees._facts import read_ends, rules
from harness.guarantees._sets import Named
from harness.guarantees._stories import stories
from harness.guarantees.no_loss import LEAST_IN_HAND
from harness.history.reader import NEVER_NS, FaultSpan, History
from harness.history.rows import Operation, OpId, Outcome, Sighting, Step
from harness.verdict import Doubt, Finding

KILLED = -9
LOAD = "load"
ASKED_OF_THE_ENTRY = ("http", "http-async", "locust")
"""Kinds of work that the entry takes; others go to the broker itself."""


class End(NamedTuple):
    """How a replica ended under a fault: asked to (None: it was not) and gone (NEVER_NS: it never was) at those t_ns.

    `code` is its exit code, negative for a signal. What it begins from `until_ns` on is its successor's. It heard of
    the asking from `asking_ns` on.
    """

    node: str
    fault: int
    since_ns: int
    asked_ns: int | None
    gone_ns: int = NEVER_NS
    code: int | None = None
    until_ns: int = NEVER_NS
    asking_ns: int = NEVER_NS

    @property
    def moment_ns(self) -> int:
        """When its hands were to be empty: when it was asked to stop, or died."""
        return self.gone_ns if self.asked_ns is None else self.asked_ns

    @property
    def had_ns(self) -> int:
        """What it had by then, it had in hand; what came between this and `moment_ns`, nobody can tell."""
        return min(self.moment_ns, self.asking_ns)


Held = Sequence[tuple[End, Sequence["Work"]]]
"""Replicas that ended, and what each had in hand."""


def ends(history: History) -> list[End]:
    """Each end of the entry or of a worker under a fault of its own, by time."""
    takers = {*history.meta["workers"], history.meta["entry"]}
    spans = [span for span in history.faults() if span.effective_ns is not None]
    found = [end for span in spans for node in span.nodes if node in takers for end in _ends(history, span, node)]
    return sorted(found, key=lambda end: end.moment_ns)


def _ends(history: History, span: FaultSpan, node: str) -> Iterator[End]:
    since_ns, asked_ns, asking_ns, last = 0, None, NEVER_NS, None
    for line in history.lines("node"):
        t_ns, event = line["t_ns"], line["event"]
        if line["node"] != node or t_ns > (span.healed_ns or NEVER_NS):
            continue
        if event == "started":
            if last is not None:
                yield last._replace(until_ns=t_ns)
            since_ns, asked_ns, asking_ns, last = t_ns, None, NEVER_NS, None
        elif t_ns < span.asked_ns:
            continue
        elif event == "stopping":
            asked_ns, asking_ns = t_ns, line.get("from_ns", t_ns)
        elif event == "exited":
            code = line.get("code", -line.get("signal", 0))
            last = End(node, span.id, since_ns, asked_ns, t_ns, code, asking_ns=asking_ns)
    if last is not None:
        yield last
    elif asked_ns is not None:
        yield End(node, span.id, since_ns, asked_ns, asking_ns=asking_ns)


@dataclass(slots=True)
class Work:
    """An operation and what was seen of it; NEVER_NS where it was not.

    `begun` are its executions, those that the system knew for repeats included: when, and by which replica. `attempt`
    is the highest that was told, 0 where none was. `heard_ns`: when its end was first heard of, also by a tap;
    `ended_ns`: its first terminal sighting. `looked_ns`: the last look at it that was answered, -1 where none was.
    `polled`: somebody asks after it; `told`: its end can be seen at all.
    """

    operation: Operation
    polled: bool
    told: bool
    begun: list[tuple[int, str]] = field(default_factory=list)
    attempt: int = 0
    heard_ns: int = NEVER_NS
    finished_ns: int = NEVER_NS
    ended_ns: int = NEVER_NS
    looked_ns: int = -1
    resulted: bool = False

    @property
    def attempts(self) -> int:
        """How often it was tried: as it was told, or else as often as it was begun."""
        return self.attempt or len(self.begun)

    def see(self, seen: Sighting) -> None:
        """Takes note of a sighting; they come by time."""
        self.attempt = max(self.attempt, seen.attempt)
        if seen.step in (Step.EFFECT, Step.REPEAT):
            self.begun.append((seen.t_ns, seen.by))
        elif seen.step is Step.FINISHED:
            self.finished_ns = min(self.finished_ns, seen.t_ns)
        elif seen.step in (Step.PENDING, Step.GONE):
            self.looked_ns = max(self.looked_ns, seen.t_ns)
        elif seen.terminal or seen.step is Step.RESULT:
            self.heard_ns = min(self.heard_ns, seen.t_ns)
            self.resulted |= seen.step is Step.RESULT
            if seen.terminal:
                self.ended_ns = min(self.ended_ns, seen.t_ns)

    def first_begun(self, after_ns: int) -> int:
        """When it was first begun after that; NEVER_NS: it was not."""
        return min((t_ns for t_ns, _ in self.begun if t_ns > after_ns), default=NEVER_NS)

    def last_begun(self, before_ns: int) -> tuple[int, str]:
        """When it was last begun before that, and by whom; (-1, ""): it was not."""
        return max(((t_ns, by) for t_ns, by in self.begun if t_ns < before_ns), default=(-1, ""))


_KNOWN: WeakKeyDictionary[History, Mapping[OpId, Work]] = WeakKeyDictionary()


def works(history: History) -> Mapping[OpId, Work]:
    """Every operation and what was seen of it, by id; worked out once."""
    if history not in _KNOWN:
        _KNOWN[history] = _works(history)
    return _KNOWN[history]


def _works(history: History) -> Mapping[OpId, Work]:
    known, reads = rules(history), read_ends(history)
    polled, told = set(known.polled), {*known.polled, *known.read}
    found = {one.id: Work(one, one.workload in polled, one.workload in told) for one in history.operations()}
    owners = {work.operation.ref: work for work in found.values() if work.operation.ref}
    tells_finish = False
    for seen in history.sightings():
        tells_finish = tells_finish or seen.step is Step.FINISHED
        work = found.get(seen.op) if seen.op is not None else owners.get(seen.ref or "")
        if work is not None:
            work.see(seen)
    for work in found.values():
        if not work.polled:  # nobody asks after it, so that it ends as its execution does
            done_ns = work.finished_ns if tells_finish else min((t_ns for t_ns, _ in work.begun), default=NEVER_NS)
            work.heard_ns, work.ended_ns = min(work.heard_ns, done_ns), min(work.ended_ns, done_ns)
            work.looked_ns = reads.get("effects", reads.get("stream", -1))
    return found


def in_hand(history: History, end: End) -> list[Work]:
    """What a replica had in hand when it ended or was being asked to, by id.

    A worker: what it had begun last of all, in that life, and whose end nobody had heard of. The entry: what it was
    being asked, and what it had accepted and told nobody the end of.
    """
    if end.node == history.meta["entry"]:
        return [work for work in works(history).values() if _at_entry(history, work, end.had_ns)]
    return [
        work
        for work in works(history).values()
        if work.heard_ns > end.had_ns
        and (last := work.last_begun(end.had_ns))[1] == end.node
        and last[0] >= end.since_ns
    ]


def _at_entry(history: History, work: Work, moment_ns: int) -> bool:
    operation = work.operation
    if operation.start_ns >= moment_ns or not of_entry(history, operation):
        return False
    if operation.end_ns is None or operation.end_ns > moment_ns:
        return True
    return operation.outcome is Outcome.OK and work.polled and work.ended_ns > moment_ns


def of_entry(history: History, operation: Operation) -> bool:
    """Was it offered to the entry, and not to the broker?"""
    told = history.meta["workloads"].get(operation.workload)
    return history.meta["entry"] != LOAD and told is not None and told["kind"] in ASKED_OF_THE_ENTRY


def is_due(history: History, work: Work, *, looked_ns: int | None = None) -> bool:
    """Was it looked at, and the look answered, once the system would not have moved it any more?

    `looked_ns`: when, where another source than its own tells.
    """
    settled_ns = max(work.operation.end_ns or 0, healed_ns(history)) + int(promise(history, "settles_s") * NS)
    return (work.looked_ns if looked_ns is None else looked_ns) >= settled_ns


def few(held: Held) -> str:
    """Why what replicas had in hand is too little; empty where it is enough."""
    return next((f"{end.node} had {len(has)} operations in hand" for end, has in held if len(has) < LEAST_IN_HAND), "")


def found(
    history: History,
    clause: Clause,
    value: float,
    bound: float | None,
    counted: int,
    reason: str,
    wrong: Sequence[Work],
) -> Finding:
    """A finding that names the operations that are wrong, with the stories of the first of them."""
    ops = sorted(work.operation.id for work in wrong)
    finding = measured(history, clause, value, bound, counted, reason, Named(len(ops), tuple(ops[:SHOWN_OPS])))
    return dataclasses.replace(finding, stories=stories(history, ops))


def doubt(clause: Clause, why: Doubt, sentence: str, bound: float | None = None, counted: int = 0) -> Finding:
    """A finding that says why nothing can be said."""
    return inconclusive(clause.name, why, sentence, unit=clause.unit, bound=bound, counted=counted)
