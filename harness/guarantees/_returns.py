"""Which client links a fault hit, and when each client was back and worked again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.guarantees._connections import Connection, LinkKey
from harness.history.reader import FaultSpan, History
from harness.history.rows import Outcome, Step

LIVED_NS = 200_000_000
"""A connection counts as back once it lived this long (docs/guarantees.md)."""
UNTOLD = frozenset({"silent", "frozen", "pause"})
"""Faults that close nothing by themselves: noticing is the client's own doing."""

Hit = tuple[FaultSpan, LinkKey, list[Connection]]
Moment = tuple[FaultSpan, LinkKey, int, int | None]
"""A fault, a link, when that link was healed, and when it was back (None: never)."""


def hits(history: History, all_connections: dict[LinkKey, Sequence[Connection]]) -> Iterator[Hit]:
    """The client links that an effective fault hit, with the connections that were open then."""
    clients, brokers = set(history.meta["clients"]), set(history.meta["brokers"])
    for span in history.faults():
        # A process that is killed closes its sockets before it is seen to have ended.
        at_ns = span.effective_ns if span.kind in UNTOLD else span.asked_ns
        for link in span.links if span.effective_ns is not None else ():
            open_then = [c for c in all_connections.get(link, ()) if c.open_at(at_ns or 0)]
            if link[0] in clients and link[1] in brokers and open_then:
                yield span, link, open_then


def _healed(span: FaultSpan, link: LinkKey) -> int:
    times = span.link_times.get(link)
    return (times[1] if times and times[1] else None) or span.healed_ns or span.asked_ns


def back(hit: Hit, all_connections: dict[LinkKey, Sequence[Connection]]) -> Moment:
    """When the client of a link that was hit was connected again, not before the healing."""
    span, link, open_then = hit
    healed = _healed(span, link)
    if any(c.closed_ns > healed + LIVED_NS for c in open_then):
        return span, link, healed, healed
    starts = [
        c.reached_ns
        for c in all_connections[link]
        if c.opened_ns >= (span.effective_ns or 0)
        and c.reached_ns
        and c.closed_ns > max(c.reached_ns, healed) + LIVED_NS
    ]
    return span, link, healed, max(min(starts), healed) if starts else None


def works(history: History, hits: Sequence[Hit]) -> Iterator[Moment]:
    """When each client of a link that was hit worked again; those whose work cannot be told apart are left out."""
    entry, workers = history.meta["entry"], set(history.meta["workers"])
    begun = {operation.id: operation for operation in history.operations()}
    done = {s.op for s in history.sightings(Step.RESULT, Step.FAILURE, Step.DEAD_LETTER) if s.op and s.terminal}
    owners = {operation.ref: operation.id for operation in begun.values() if operation.ref}
    effects = [(s, s.op or owners.get(s.ref or "")) for s in history.sightings(Step.EFFECT) if s.by in workers]
    first_effects = [(s.t_ns, s.by, begun[op].start_ns) for s, op in effects if op in begun]
    for span, link, _ in hits:
        healed = _healed(span, link)
        if link[0] == entry:
            ends = [
                o.end_ns
                for o in begun.values()
                if o.outcome is Outcome.OK and o.end_ns and o.start_ns >= healed and o.id in done
            ]
        elif link[0] in workers and history.meta["effects_by"]:
            ends = [t_ns for t_ns, by, start in first_effects if by == link[0] and start >= healed]
        else:
            continue
        yield span, link, healed, min(ends, default=None)
