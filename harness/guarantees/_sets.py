"""The sets of docs/guarantees.md: what was lost, done twice, seen though nobody offered it, or put in a wrong order.

Two ways to the same answers: here with plain sets and dictionaries, right for small histories and the reference; and
in `_sets_columns` by ranges of counters, for millions. Property tests hold both to a third judge, which only compares.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby, islice
from typing import NamedTuple

from harness.history.reader import History
from harness.history.rows import Operation, OpId, Outcome, Sighting, Step

PLAIN_MOST = 10_000
"""Up to so many operations the plain way takes a quarter of a second at most, which the other needs to begin."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the sets depend on besides the history; times are t_ns.

    `polled` workloads are asked after until the end; `read` ones are settled by a final read, which ended at the time
    given (None: not complete), and for them an effect is terminal. Others are not judged for loss. Effects are judged
    in the workloads `effects_of` (None: all), from `least` to `most` (None: any number) for each operation. `window` is
    where `in_window` counts. Of each set the first `named` operations are named.
    """

    settles_ns: int
    healed_ns: int = 0
    polled: Collection[str] = ()
    read: Mapping[str, int | None] = field(default_factory=dict)
    effects_of: Collection[str] | None = None
    least: int = 1
    most: int | None = 1
    window: tuple[int, int] | None = None
    named: int = 1000


class Named(NamedTuple):
    """A set of operations: how many, and the first of them by writer and n."""

    total: int = 0
    first: tuple[OpId, ...] = ()


class Swap(NamedTuple):
    """`offenders` were acknowledged before `witness` began, and yet have a higher sequence; `first` has the lowest.

    Of several that could testify against an offender, the witness is the one that began last (then: of the lowest
    sequence, then of the lowest id), so that one message put back by thousands of places is one swap.
    """

    workload: str
    witness: OpId
    first: OpId
    offenders: int


@dataclass(frozen=True, slots=True)
class Sets:
    """The answers. A is accepted (ok), F refused (fail), U unknown, T the first terminal sighting, E the effects.

    `owed`: in A, of workloads whose effects are judged; `traced`: in A, of workloads that are judged for loss;
    `in_window`: of those, accepted or in flight in the window.
    `lost`: in A, no T, asked for the last time (and answered) after everything had time to settle. `undetermined`: in
    A, no T, but not so. `duplicates`: E above the most. `missing`: in A, not failed or dead-lettered, E below the
    least, and with a T or due like the lost. `refused_yet_done`: in F, with an E. `phantoms`: sightings of operations
    that nobody offered, or of none; `unknown_refs` of them name a ref alone, that no answer gave (it may belong to an
    operation in U, whose answer never came). `refs_twice`: refs that two answers gave. `swaps` are by workload and by
    when their witnesses began.
    """

    offered: int
    accepted: int
    refused: int
    owed: int
    traced: int
    in_window: int
    effects: int
    lost: Named
    undetermined: Named
    duplicates: Named
    missing: Named
    refused_yet_done: Named
    phantoms: int
    phantom_ops: Named
    unknown_refs: int
    refs_twice: tuple[str, ...]
    out_of_order: int
    swaps: tuple[Swap, ...]

    @property
    def unknown(self) -> int:
        """How many are in U."""
        return self.offered - self.accepted - self.refused


def sets(history: History, rules: Rules) -> Sets:
    """The sets of a history, by the way that is faster for it."""
    if history.columnar and history.count() > PLAIN_MOST:
        from harness.guarantees._sets_columns import columnar_sets

        return columnar_sets(history, rules)
    return plain_sets(history, rules)


class Index:
    """A history's operations and what was seen of them, by id; all in memory, for histories of a scenario's size."""

    def __init__(self, history: History) -> None:
        self.operations: dict[OpId, Operation] = {operation.id: operation for operation in history.operations()}
        self.owners: dict[str, OpId] = {}  # of refs
        self.refs_twice: set[str] = set()
        self.terminal: dict[OpId, Sighting] = {}  # T(o)
        self.failed: set[OpId] = set()  # an explicit failure or a dead letter was seen
        self.effects: Counter[OpId] = Counter()  # E(o)
        self.answered: dict[OpId, int] = {}  # the last poll that was answered pending or gone
        self.phantoms: list[Sighting] = []
        for operation in self.operations.values():
            if operation.ref is not None and self.owners.setdefault(operation.ref, operation.id) != operation.id:
                self.refs_twice.add(operation.ref)
        for sighting in history.sightings():
            self._add(sighting)

    def _add(self, sighting: Sighting) -> None:
        op = sighting.op if sighting.op is not None else self.owners.get(sighting.ref or "")
        if op is None or op not in self.operations:
            self.phantoms.append(sighting)
            return
        if sighting.step is Step.EFFECT:
            self.effects[op] += 1
        elif sighting.step in (Step.PENDING, Step.GONE):
            self.answered[op] = max(sighting.t_ns, self.answered.get(op, 0))
        elif sighting.terminal:
            self.terminal.setdefault(op, sighting)
            if sighting.step is not Step.RESULT:
                self.failed.add(op)


def plain_sets(history: History, rules: Rules) -> Sets:
    """The sets, by dictionaries."""
    index = Index(history)
    operations = index.operations.values()
    accepted = [operation for operation in operations if operation.outcome is Outcome.OK]
    refused = [operation.id for operation in operations if operation.outcome is Outcome.FAIL]
    judged = [
        operation for operation in operations if rules.effects_of is None or operation.workload in rules.effects_of
    ]
    traced = [one for one in accepted if one.workload in rules.polled or one.workload in rules.read]
    lost: list[OpId] = []
    undetermined: list[OpId] = []
    missing: list[Operation] = []
    for operation in accepted:
        op, workload = operation.id, operation.workload
        settled = op in index.terminal or (workload in rules.read and index.effects[op] > 0)
        end = index.answered.get(op) if workload in rules.polled else rules.read.get(workload)
        due = end is not None and end >= max(operation.end_ns or 0, rules.healed_ns) + rules.settles_ns
        if not settled and (workload in rules.polled or workload in rules.read):
            (lost if due else undetermined).append(op)
        if (settled or due) and index.effects[op] < rules.least and op not in index.failed:
            missing.append(operation)
    effects = index.effects
    return Sets(
        offered=len(operations),
        accepted=len(accepted),
        refused=len(refused),
        owed=sum(rules.effects_of is None or one.workload in rules.effects_of for one in accepted),
        traced=len(traced),
        in_window=sum(in_window(operation, rules.window) for operation in traced),
        effects=sum(effects.values()),
        lost=_named(lost, rules),
        undetermined=_named(undetermined, rules),
        duplicates=_named((o.id for o in judged if rules.most is not None and effects[o.id] > rules.most), rules),
        missing=_named((o.id for o in missing if rules.effects_of is None or o.workload in rules.effects_of), rules),
        refused_yet_done=_named((op for op in refused if effects[op]), rules),
        phantoms=len(index.phantoms),
        phantom_ops=_named({seen.op for seen in index.phantoms if seen.op is not None}, rules),
        unknown_refs=sum(seen.op is None and seen.ref is not None for seen in index.phantoms),
        refs_twice=tuple(sorted(index.refs_twice)[: rules.named]),
        **_order(accepted, rules)._asdict(),
    )


def in_window(operation: Operation, window: tuple[int, int] | None) -> bool:
    """Was the operation accepted in the window, or in flight at some moment of it?"""
    if window is None:
        return False
    return operation.start_ns <= window[1] and (operation.end_ns is None or operation.end_ns >= window[0])


def _named(ops: Iterable[OpId], rules: Rules) -> Named:
    found = sorted(ops)
    return Named(len(found), tuple(found[: rules.named]))


class _Order(NamedTuple):
    out_of_order: int
    swaps: tuple[Swap, ...]


def _order(accepted: Iterable[Operation], rules: Rules) -> _Order:
    """Sweeps each workload's acknowledged publishes by sequence, with the latest beginning of all so far."""
    acknowledged = defaultdict(list)
    for operation in accepted:
        if operation.seq and not operation.duplicate and operation.end_ns is not None:
            acknowledged[operation.workload].append(operation)
    swaps: list[Swap] = []
    for workload in sorted(acknowledged):
        by_witness: dict[OpId, list[OpId]] = defaultdict(list)
        for witness, offender in _offences(acknowledged[workload]):
            by_witness[witness].append(offender)
        swaps += [Swap(workload, witness, all_[0], len(all_)) for witness, all_ in by_witness.items()]
    return _Order(sum(swap.offenders for swap in swaps), tuple(islice(swaps, rules.named)))


def _offences(acknowledged: list[Operation]) -> Iterator[tuple[OpId, OpId]]:
    """Pairs of witness and offender, by when the witness began, and then by the offender's sequence."""
    latest: Operation | None = None
    for _, group in groupby(sorted(acknowledged, key=lambda o: (o.seq, o.id)), key=lambda o: o.seq):
        same = list(group)  # one sequence given twice has no order either
        for operation in same:
            if latest is None or operation.start_ns > latest.start_ns:
                latest = operation
        assert latest is not None
        for operation in same:
            if operation.end_ns is not None and operation.end_ns < latest.start_ns:
                yield latest.id, operation.id
