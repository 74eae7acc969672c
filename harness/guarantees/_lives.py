"""The lives of a service's replicas: when one ran undisturbed, so that it can be asked what it told."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict

from harness.history.reader import NEVER_NS, History

ENDS_NS = 200_000_000
"""What a replica loses so shortly before its own end is its end's doing."""
COMES_NS = 2_000_000_000
"""How long after its start, or after it was stopped and went on, a replica need not answer yet."""
_OUT = frozenset({"started", "stopping", "exited", "paused"})


class Lives:
    """Read off the lines of nodes, and the faults that were the replicas' own."""

    def __init__(self, history: History) -> None:
        self._events: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for line in history.lines("node"):
            self._events[line["node"]].append((line["t_ns"], line["event"]))
        self._own: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for span in history.faults():
            for node in span.nodes:
                self._own[node].append((span.asked_ns, span.healed_ns or NEVER_NS))

    def ran(self, node: str, t_ns: int) -> bool:
        """Whether it ran then, was not being stopped or about to end, and was under no fault of its own."""
        events = self._events[node]
        before = [event for at, event in events if at <= t_ns and event != "not ready"]
        ends = any(event == "exited" and t_ns < at <= t_ns + ENDS_NS for at, event in events)
        down = bool(before) and before[-1] in _OUT - {"started"}
        return not (down or ends or any(start <= t_ns <= end for start, end in self._own[node]))

    def one_life(self, node: str, from_ns: int, to_ns: int) -> bool:
        """Whether it is the same process at both moments."""
        return not any(event == "started" and from_ns < at <= to_ns for at, event in self._events[node])

    def answers(self, node: str, from_ns: int, to_ns: int) -> bool:
        """Whether it should have answered what it was asked at the one moment by the other."""
        events = self._events[node]
        first = bisect_right(events, (from_ns - COMES_NS, "~"))
        disturbed = any(event in _OUT | {"resumed"} for at, event in events[first:] if at <= to_ns + ENDS_NS)
        return not disturbed and self.ran(node, from_ns) and self.ran(node, to_ns)
