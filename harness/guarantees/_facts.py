"""The sets that guarantees are about, once a history: operations by outcome, their ends, how often they were done."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from harness.guarantees._base import NS, healed_ns, promise, risk_window
from harness.history.reader import History
from harness.history.rows import OpId, Outcome, Step

_KNOWN: WeakKeyDictionary[History, Facts] = WeakKeyDictionary()


@dataclass(frozen=True)
class Facts:
    """Counts and sets of docs/guarantees.md; operations in the order of their numbers.

    `in_window`: accepted in `risk_window` or in flight there. `too_few` are accepted, due, and have
    fewer effects than promised; `too_many` of any outcome have more.
    """

    offered: int
    accepted: int
    in_window: int
    lost: tuple[OpId, ...]
    undetermined: tuple[OpId, ...]
    effects: int
    too_many: tuple[OpId, ...]
    too_few: tuple[OpId, ...]
    refused_yet_done: tuple[OpId, ...]


def facts(history: History) -> Facts:
    """The facts of a history; worked out once."""
    if history not in _KNOWN:
        _KNOWN[history] = _facts(history)
    return _KNOWN[history]


def _facts(history: History) -> Facts:
    seen, healed = risk_window(history), healed_ns(history)
    settles = int(promise(history, "settles_s") * NS)
    least, most = history.meta["promises"]["effects_least"], history.meta["promises"]["effects_most"]
    reads = {line["source"]: line["t_ns"] for line in history.lines("read") if line["complete"]}
    terminal, failed, open_at = _ends(history)
    counts = Counter(s.op for s in history.sightings(Step.EFFECT) if s.op is not None)
    accepted = {o.id: o for o in history.operations() if o.outcome is Outcome.OK}
    refused = {o.id for o in history.operations() if o.outcome is Outcome.FAIL}
    lost: list[OpId] = []
    undetermined: list[OpId] = []
    too_few: list[OpId] = []
    stream_ns = reads.get("stream")
    for op, operation in accepted.items():
        polled = history.meta["workloads"][operation.workload]["polled"]
        end = open_at.get(op) if polled else stream_ns
        due = end is not None and end >= max(operation.end_ns or 0, healed) + settles
        if op not in terminal:
            (lost if due else undetermined).append(op)
        if counts[op] < least and op not in failed and (op in terminal or due):
            too_few.append(op)
    return Facts(
        offered=history.count(),
        accepted=len(accepted),
        in_window=sum(seen.holds(operation) for operation in accepted.values()),
        lost=tuple(lost),
        undetermined=tuple(undetermined),
        effects=sum(counts.values()),
        too_many=tuple(sorted(op for op, count in counts.items() if most is not None and count > most)),
        too_few=tuple(too_few),
        refused_yet_done=tuple(sorted(op for op in counts if op in refused)),
    )


def _ends(history: History) -> tuple[set[OpId], set[OpId], dict[OpId, int]]:
    """What is terminal, what failed or is dead-lettered, and when each open operation was last asked after."""
    terminal: set[OpId] = set()
    failed: set[OpId] = set()
    open_at: dict[OpId, int] = {}
    for sighting in history.sightings(Step.RESULT, Step.FAILURE, Step.DEAD_LETTER, Step.GONE, Step.PENDING):
        if sighting.op is None:
            continue
        if sighting.step in (Step.GONE, Step.PENDING):
            open_at[sighting.op] = sighting.t_ns
        elif sighting.step is not Step.RESULT:
            terminal.add(sighting.op)
            failed.add(sighting.op)
        elif sighting.proved:
            terminal.add(sighting.op)
    return terminal, failed, open_at
