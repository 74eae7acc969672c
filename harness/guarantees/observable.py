"""observable: what happens to a service's connection, and to its handlers, is told in its log lines and its metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from harness.guarantees._base import NS, Clause, Guarantee, inconclusive, load_window, measured, window
from harness.guarantees._events import Event, of_connections, of_handlers, watched_until
from harness.guarantees._lives import Lives
from harness.guarantees._logs import WITHIN_NS, Logs
from harness.guarantees._refusals import not_asked
from harness.guarantees._scrapes import COUNTED_NS, Scrapes
from harness.history.reader import History
from harness.verdict import Doubt, Finding

SEEN = frozenset({"connections"})
WITHIN_S = WITHIN_NS / NS
LOGGED = Clause("observable.logged", "events", waits_s=WITHIN_S, sources=SEEN, needs=frozenset({"log lines"}))
COUNTED = Clause("observable.counted", "events", waits_s=WITHIN_S, sources=SEEN, needs=frozenset({"metrics"}))
HANDLER = Clause("observable.handler", "events", waits_s=WITHIN_S, needs=frozenset({"handler failures"}))
SHOWN = 5
"""How many offending events a finding's reason tells."""


@dataclass(frozen=True)
class Observable(Guarantee):
    """It has no bounds: each event is told."""

    name: ClassVar[str] = "observable"
    clauses: ClassVar[tuple[Clause, ...]] = (LOGGED, COUNTED, HANDLER)
    needs: ClassVar[frozenset[str]] = frozenset({"clients"})

    def judge(self, history: History) -> Sequence[Finding]:
        """One finding a clause; its value is how many events were not told."""
        return _Judge(history).findings()


class _Judge:
    """Goes through the events of a history, and keeps what was told of each."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._events, self._failures = of_connections(history), of_handlers(history)
        self._logs, self._scrapes = Logs(history), Scrapes(history)
        self._start_ns, self._watched_ns = load_window(history).from_ns, watched_until(history)

    def findings(self) -> Sequence[Finding]:
        return [self._logged(), self._counted(), self._handler()]

    def _logged(self) -> Finding:
        events = [event for event in self._events if event.nodes[0] in self._logs.output]
        return self._finding(LOGGED, events, *self._untold(events, self._logs.lacks, WITHIN_NS))

    def _counted(self) -> Finding:
        names = self._scrapes.names
        events = [event for event in self._events if names.get(event.nodes[0], {}).get(event.word)]
        read = [event for event in events if not self._scrapes.unread(event)]
        offences, short = self._untold(read, self._uncounted, COUNTED_NS)
        if len(read) < len(events):
            short = f"{Doubt.GAP}: its metrics were not being read at {len(events) - len(read)} events"
        refused = self._scrapes.refused(Lives(self._history), self._start_ns)
        return self._finding(COUNTED, events, [*refused, *offences], short)

    def _uncounted(self, event: Event) -> str:
        name = self._scrapes.names[event.nodes[0]][event.word]
        return "" if self._scrapes.grown(event.word, event.nodes, [event.t_ns]) else f"{name} did not change"

    def _handler(self) -> Finding:
        logging = [
            event._replace(nodes=tuple(node for node in event.nodes if node in self._logs.output))
            for event in self._failures
        ]
        offences, short = self._untold([one for one in logging if one.nodes], self._logs.lacks, WITHIN_NS)
        workers = self._failures[0].nodes if self._failures else ()
        counting = [node for node in workers if self._scrapes.names.get(node, {}).get("failures")]
        if counting:
            moments = [event.t_ns for event in self._failures]
            grown, whole = self._scrapes.grown("failures", counting, moments), len(moments)
            if grown < whole and max(moments) + COUNTED_NS > self._watched_ns:
                short = f"{Doubt.TOO_LITTLE}: the metrics were not watched for long enough"
            elif grown < whole:
                offences.append(f"{' or '.join(counting)} counted {grown:g} of {whole} messages that no handler takes")
        return self._finding(HANDLER, self._failures, offences, short)

    def _untold(self, events: Sequence[Event], lacks: Callable[[Event], str], within_ns: int) -> tuple[list[str], str]:
        """What was not told, in words; and, of what may be told yet when the watching ends, that there is such."""
        offences, short = [], ""
        for event, lack in [(event, lacks(event)) for event in events]:
            told, left_ns = event.told(self._start_ns), self._watched_ns - event.t_ns
            if lack and left_ns < within_ns:
                short = f"{Doubt.TOO_LITTLE}: {told}, and was watched for {left_ns / NS:.1f} s"
            elif lack:
                offences.append(f"{told}: {lack}")
        return offences, short

    def _finding(self, clause: Clause, events: Sequence[Event], offences: Sequence[str], short: str) -> Finding:
        faults = window(self._history).faults
        if not events and not offences:
            if (self._failures if clause is not HANDLER else self._events) and not self._asked(clause):
                return not_asked(clause, "nothing of the kind happened")
            short = short or f"{Doubt.TOO_LITTLE}: nothing happened of which a service could tell"
        if short and not offences:
            doubt, _, sentence = short.partition(": ")
            return inconclusive(clause.name, Doubt(doubt), sentence, bound=0, unit=clause.unit, faults=faults)
        shown = "; ".join(offences[:SHOWN]) + ("; ..." if len(offences) > SHOWN else "")
        reason = shown or f"each of {len(events)} was told"
        return measured(self._history, clause, len(offences), 0, len(events), reason, faults=faults)

    def _asked(self, clause: Clause) -> bool:
        """Whether a fault was to bring such events about."""
        clients = set(self._history.meta["clients"])
        return clause is not HANDLER and any(
            link[0] in clients and link[1] in self._history.meta["brokers"]
            for span in self._history.faults()
            for link in span.links
        )
