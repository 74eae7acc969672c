"""What a service's metrics said: whether they changed around an event, and which scrapes failed that should not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from harness.guarantees._base import NS
from harness.guarantees._events import Event
from harness.guarantees._lives import Lives
from harness.guarantees._logs import BEFORE_NS, WITHIN_NS
from harness.history.reader import History

COUNTED_NS = WITHIN_NS + NS
"""How long after an event a scrape may first show that it was counted: 2 s, and two scrapes."""


class Scrape(NamedTuple):
    """One that was kept: when it was asked and answered, and what it said, or why it failed."""

    from_ns: int
    t_ns: int
    values: Mapping[str, float | None]
    error: str


class Scrapes:
    """Those of the replicas of whose metrics the system file names some."""

    def __init__(self, history: History) -> None:
        observed: Mapping[str, Mapping[str, Any]] = history.meta["observed"]
        self.names = {node: told["metrics"] for node, told in observed.items() if told["metrics"]}
        self._history = history
        self._kept: dict[str, list[Scrape]] = defaultdict(list)
        for line in history.lines("metrics"):
            found = Scrape(line["from_ns"], line["t_ns"], line.get("values") or {}, line.get("error") or "")
            self._kept[line["node"]].append(found)

    def grown(self, word: str, nodes: Sequence[str], moments: Sequence[int]) -> float:
        """By how much the metric of that word changed at these replicas around these moments, up or down, all told."""
        from_ns, to_ns = min(moments) - BEFORE_NS, max(moments) + COUNTED_NS
        total = 0.0
        for node in nodes:
            answered = [scrape for scrape in self._kept[node] if not scrape.error]
            for before, after in pairwise(answered):
                if after.t_ns >= from_ns and after.from_ns <= to_ns:
                    total += abs((after.values.get(word) or 0.0) - (before.values.get(word) or 0.0))
        return total

    def unread(self, event: Event) -> bool:
        """Whether nobody scraped then: before the first scrape, or while there was no process to scrape."""
        for node in event.nodes:
            if not any(scrape.t_ns <= event.t_ns for scrape in self._kept[node]):
                return True
            for start, end in self._history.gaps(f"metrics {node}"):
                if start <= event.t_ns + COUNTED_NS and end >= event.t_ns:
                    return True
        return False

    def refused(self, lives: Lives, start_ns: int) -> Iterator[str]:
        """The replicas whose scrapes failed while they should have answered, in words."""
        for node in self.names:
            failed = [one for one in self._kept[node] if one.error and lives.answers(node, one.from_ns, one.t_ns)]
            if failed:
                at = (failed[0].from_ns - start_ns) / NS
                yield f"{node} failed {len(failed)} scrapes, first at {at:+.3f} s: {failed[0].error}"
