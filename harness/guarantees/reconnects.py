"""reconnects: a client whose way to the broker was broken notices, comes back, and works again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from harness.guarantees._base import NS, Clause, Guarantee, end_ns, inconclusive, promise
from harness.guarantees._connections import Connection, LinkKey, connections
from harness.history.reader import FaultSpan, History
from harness.history.rows import Outcome, Step
from harness.verdict import Doubt, Finding, Verdict

LIVED_NS = 200_000_000
"""A connection counts as back once it lived this long (docs/guarantees.md)."""
UNTOLD = frozenset({"silent", "frozen", "pause"})
"""Faults that close nothing by themselves: noticing is the client's own doing."""
SOURCES = frozenset({"connections"})

Hit = tuple[FaultSpan, LinkKey, list[Connection]]


@dataclass(frozen=True)
class Reconnects(Guarantee):
    """Bounds in seconds; None takes the system file's promise (`notices_s`, `reconnects_s`, `works_s`)."""

    name: ClassVar[str] = "reconnects"
    clauses: ClassVar[tuple[Clause, ...]] = (
        Clause("reconnects.notices", "s", timing=True, sources=SOURCES),
        Clause("reconnects.reconnects", "s", timing=True, sources=SOURCES),
        Clause("reconnects.works", "s", timing=True, sources=SOURCES),
    )
    needs: ClassVar[frozenset[str]] = frozenset({"clients"})
    notices_s: float | None = None
    reconnects_s: float | None = None
    works_s: float | None = None

    def judge(self, history: History) -> Sequence[Finding]:
        """One finding a clause; its value is that of the slowest link hit."""
        all_connections = connections(history)
        hits = list(_hits(history, all_connections))
        if not hits:
            sentence = "no client link with a connection was hit"
            return [inconclusive(clause.name, Doubt.TOO_LITTLE, sentence, unit="s") for clause in self.clauses]
        bounds = [getattr(self, name) or promise(history, name) for name in ("notices_s", "reconnects_s", "works_s")]
        return [
            self._notices(hits, bounds[0]),
            _slowest("reconnects.reconnects", bounds[1], [_back(hit, all_connections) for hit in hits], history),
            _slowest("reconnects.works", bounds[2], list(_works(history, hits)), history),
        ]

    def _notices(self, hits: Sequence[Hit], bound: float) -> Finding:
        clause, ids = "reconnects.notices", sorted({span.id for span, *_ in hits})
        untold = [hit for hit in hits if hit[0].kind in UNTOLD]
        if not untold:
            reason = f"told: {hits[0][0].kind} closes the connections itself"
            return Finding(clause, Verdict.HOLDS, None, None, "s", len(hits), reason, faults=ids)
        worst, late, short = 0.0, [], ""
        for span, link, open_then in untold:
            assert span.effective_ns is not None
            until = span.healed_ns or span.effective_ns
            held = (until - span.effective_ns) / NS
            if held < bound + 1:
                short = f"the fault lasted {held:.1f} s, which is less than {bound + 1:g} s"
                continue
            closes = [c.client_ns for c in open_then if span.effective_ns <= c.client_ns < until]
            value = (min(closes) - span.effective_ns) / NS if closes else held
            worst = max(worst, value)
            if not closes:
                late.append(f"{link[0]} never closed its connection in {held:.1f} s")
            elif value > bound:
                late.append(f"{link[0]} after {value:.3f} s")
        if short and not late:
            return inconclusive(clause, Doubt.TOO_LITTLE, short, bound=bound, unit="s", faults=ids)
        reason = "; ".join(late) if late else f"every client of {len(untold)} closed its dead connection in time"
        verdict = Verdict.VIOLATED if late else Verdict.HOLDS
        return Finding(clause, verdict, bound, worst, "s", len(untold), reason, faults=ids)


Moment = tuple[FaultSpan, LinkKey, int, int | None]
"""A fault, a link, when that link was healed, and when it was back (None: never)."""


def _hits(history: History, all_connections: dict[LinkKey, Sequence[Connection]]) -> Iterator[Hit]:
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


def _back(hit: Hit, all_connections: dict[LinkKey, Sequence[Connection]]) -> Moment:
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


def _works(history: History, hits: Sequence[Hit]) -> Iterator[Moment]:
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


def _slowest(clause: str, bound: float, moments: Sequence[Moment], history: History) -> Finding:
    ids = sorted({span.id for span, *_ in moments})
    if not moments:
        return inconclusive(
            clause, Doubt.TOO_LITTLE, "nobody was hit whose work can be told apart", unit="s", bound=bound
        )
    worst, late, short = 0.0, [], ""
    for _, link, healed, at in moments:
        observed = (end_ns(history) - healed) / NS
        value = (at - healed) / NS if at is not None else observed
        if at is None and observed <= bound:
            short = f"{link[0]} was not back, and was observed for {observed:.1f} s alone"
            continue
        worst = max(worst, value)
        if at is None:
            late.append(f"{link[0]} never, in {observed:.1f} s")
        elif value > bound:
            late.append(f"{link[0]} after {value:.3f} s")
    if short and not late:
        return inconclusive(clause, Doubt.TOO_LITTLE, short, bound=bound, unit="s", faults=ids)
    reason = "; ".join(late) if late else f"{len(moments)} of {len(moments)} links in time"
    return Finding(
        clause, Verdict.VIOLATED if late else Verdict.HOLDS, bound, worst, "s", len(moments), reason, faults=ids
    )
