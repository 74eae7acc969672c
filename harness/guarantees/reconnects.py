"""reconnects: a client whose way to the broker was broken notices, comes back, and works again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from harness.guarantees._base import NS, Clause, Guarantee, end_ns, inconclusive, promise
from harness.guarantees._connections import connections
from harness.guarantees._returns import UNTOLD, WARNS, WITHHELD, WORKING, Hit, Moment, back, hits, works
from harness.history.reader import History
from harness.verdict import Doubt, Finding, Verdict

SOURCES = frozenset({"connections"})


@dataclass(frozen=True)
class Reconnects(Guarantee):
    """Bounds in seconds; None takes the system file's promise (`notices_s`, `reconnects_s`, `works_s`).

    Given here, `notices_s` also bounds when a client has left a broker that told it of its end.
    """

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
        found = list(hits(history, all_connections))
        if not found:
            sentence = "no client link with a connection was hit"
            return [inconclusive(clause.name, Doubt.TOO_LITTLE, sentence, unit="s") for clause in self.clauses]
        bounds = [getattr(self, name) or promise(history, name) for name in ("notices_s", "reconnects_s", "works_s")]
        return [
            self._notices(found, bounds[0]),
            _slowest("reconnects.reconnects", bounds[1], [back(hit, all_connections) for hit in found], history),
            _slowest("reconnects.works", bounds[2], list(works(history, found)), history),
        ]

    def _notices(self, found: Sequence[Hit], bound: float) -> Finding:
        clause, ids = "reconnects.notices", sorted({span.id for span, *_ in found})
        asked = {*UNTOLD, WARNS} if self.notices_s else UNTOLD  # that clients move is promised by nobody's default
        untold = [hit for hit in found if hit[0].kind in asked]
        if not untold:
            kind = found[0][0].kind
            reason = f"told: {kind} closes the connections itself"
            if kind in WORKING:
                reason = f"not asked: under {kind} a connection may live on"
            elif kind == WITHHELD:
                reason = "not asked: there was no connection"
            return Finding(clause, Verdict.HOLDS, None, None, "s", len(found), reason, faults=ids)
        worst, late, short = 0.0, [], ""
        for span, link, open_then in untold:
            assert span.effective_ns is not None
            warned = span.kind == WARNS
            until = span.healed_ns or span.effective_ns
            if warned:  # who closes first: its proxy knows, for to the broker any end of the connection is the client's
                until = min(until, *(c.seen_closed_ns + 1 for c in open_then))
            held = (until - span.effective_ns) / NS
            closes = [c.client_ns for c in open_then if span.effective_ns <= c.client_ns < until]
            least = bound + 1 if not warned else 0 if closes else bound
            if held < least:
                short = f"the fault lasted {held:.1f} s, which is less than {least:g} s"
                continue
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
