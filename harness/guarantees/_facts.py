"""The sets of a scenario's history by the rules of its system, worked out once for all guarantees."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from harness.guarantees._base import NS, healed_ns, promise, risk_window
from harness.guarantees._sets import Rules, Sets, sets
from harness.history.reader import History

if TYPE_CHECKING:
    from harness.guarantees._course import Course

_KNOWN: WeakKeyDictionary[History, Sets] = WeakKeyDictionary()


def facts(history: History) -> Sets:
    """Lost, doubled, missing and the rest, by the promises and workloads in the history's meta."""
    if history not in _KNOWN:
        _KNOWN[history] = sets(history, rules(history))
    return _KNOWN[history]


def course(history: History) -> Course:
    """What became of the work, and when. Imported only to judge: it needs numpy, and collecting scenarios does not."""
    from harness.guarantees import _course

    return _course.course(history)


def rules(history: History) -> Rules:
    """What the sets depend on: how each workload is asked after, what is promised, when all was healed."""
    workloads, promises = history.meta["workloads"], history.meta["promises"]
    reads = read_ends(history)
    risk = risk_window(history)
    settles_ns = int(promise(history, "settles_s") * NS)
    if "stream" in reads:  # a stream holds what it holds: what a complete read did not find needs no time to settle
        reads["stream"] += settles_ns
    return Rules(
        settles_ns=settles_ns,
        healed_ns=healed_ns(history),
        polled=[name for name, workload in workloads.items() if workload["polled"]],
        read={name: reads.get(workload["read"]) for name, workload in workloads.items() if workload["read"]},
        effects_of=[name for name, workload in workloads.items() if workload["effects"]],
        least=promises["effects_least"],
        most=promises["effects_most"],
        window=(risk.from_ns, risk.to_ns),
    )


def read_ends(history: History) -> dict[str, int]:
    """When the final reads of each source ended, of several the first; none where one of them was not complete."""
    ends: dict[str, int] = {}
    incomplete = set()
    for line in history.lines("read"):
        source = line["source"]
        ends[source] = min(line["t_ns"], ends.get(source, line["t_ns"]))
        if not line["complete"]:
            incomplete.add(source)
    return {source: t_ns for source, t_ns in ends.items() if source not in incomplete}
