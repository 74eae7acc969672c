"""Which client links a fault hit, and when each client was back and worked again."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from harness.guarantees._connections import Connection, LinkKey
from harness.guarantees._facts import course
from harness.history.reader import NEVER_NS, FaultSpan, History
from harness.history.rows import Step

LIVED_NS = 200_000_000
"""A connection counts as back once it lived this long (docs/guarantees.md)."""
UNTOLD = frozenset({"silent", "frozen", "pause"})
"""Faults that close nothing by themselves, and keep everything from crossing: noticing is the client's own doing."""
WORKING = frozenset({"latency", "bandwidth", "slicer", "data_limit", "slow_close", "flapping", "packet_loss", "reload"})
"""Faults under which a connection may live on, or whose clients' closes nobody could see: nobody need notice."""
WARNS = "lame_duck"
"""The fault that its broker tells of before it closes anything: a client that heard it has moved by then."""
WITHHELD = "absent"
"""The fault by which a provider was not there from the start, so that nobody had a connection."""

Hit = tuple[FaultSpan, LinkKey, list[Connection]]
Moment = tuple[FaultSpan, LinkKey, int, int | None]
"""A fault, a link, when that link was healed, and when it was back (None: never)."""


def hits(history: History, all_connections: Mapping[LinkKey, Sequence[Connection]]) -> Iterator[Hit]:
    """The client links that an effective fault hit, with the connections that were open then.

    A client that was itself under a fault meanwhile is left out: what it did then is no answer to the link's.
    """
    clients, brokers, spans = set(history.meta["clients"]), set(history.meta["brokers"]), history.faults()
    for span in spans:
        # A process that is killed closes its sockets before it is seen to have ended.
        at_ns = span.effective_ns if span.kind in UNTOLD else span.asked_ns
        for link in span.links if span.effective_ns is not None else ():
            open_then = [c for c in all_connections.get(link, ()) if c.open_at(at_ns or 0)]
            is_client = link[0] in clients and link[1] in brokers
            itself = any(link[0] in other.nodes and _overlap(span, other) for other in spans)
            if is_client and not itself and (open_then or span.kind == WITHHELD):
                yield span, link, open_then


def _overlap(one: FaultSpan, other: FaultSpan) -> bool:
    return one.asked_ns <= (other.healed_ns or NEVER_NS) and other.asked_ns <= (one.healed_ns or NEVER_NS)


def effective_at(span: FaultSpan, link: LinkKey) -> int:
    """When a fault took effect on a link."""
    times = span.link_times.get(link)
    return (times[0] if times and times[0] else None) or span.effective_ns or span.asked_ns


def healed_at(span: FaultSpan, link: LinkKey) -> int:
    """When a link was healed of a fault."""
    times = span.link_times.get(link)
    return (times[1] if times and times[1] else None) or span.healed_ns or span.asked_ns


def back(hit: Hit, all_connections: Mapping[LinkKey, Sequence[Connection]]) -> Moment:
    """When the client of a link that was hit was connected again, not before the healing."""
    span, link, open_then = hit
    healed = healed_at(span, link)
    if any(c.closed_ns > healed + LIVED_NS for c in open_then):
        return span, link, healed, healed
    starts = [
        c.reached_ns
        for c in all_connections.get(link, ())
        if c.opened_ns >= (span.effective_ns or 0)
        and c.reached_ns
        and c.closed_ns > max(c.reached_ns, healed) + LIVED_NS
    ]
    return span, link, healed, max(min(starts), healed) if starts else None


def works(history: History, hits: Sequence[Hit]) -> Iterator[Moment]:
    """When each client of a link that was hit worked again; those whose work cannot be told apart are left out."""
    entry, workers = history.meta["entry"], set(history.meta["workers"])
    if any(link[0] in workers for _, link, _ in hits) and history.meta["effects_by"]:
        deeds = list(_deeds(history, workers))
    else:
        deeds, workers = [], set()
    for span, link, _ in hits:
        healed = healed_at(span, link)
        if link[0] == entry:
            yield span, link, healed, course(history).first_done(history, healed)
        elif link[0] in workers:
            ends = [t_ns for t_ns, by, start in deeds if by == link[0] and start >= healed]
            yield span, link, healed, min(ends, default=None)


def _deeds(history: History, workers: Collection[str]) -> Iterator[tuple[int, str, int]]:
    """The effects that name a worker: when, by which, and when its operation began."""
    operations = list(history.operations())
    begun = {operation.id: operation.start_ns for operation in operations}
    owners = {operation.ref: operation.id for operation in operations if operation.ref}
    for seen in history.sightings(Step.EFFECT):
        op = seen.op or owners.get(seen.ref or "")
        if seen.by in workers and op in begun:
            yield seen.t_ns, seen.by, begun[op]
