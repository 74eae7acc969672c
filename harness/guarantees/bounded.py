"""bounded: what clients do to a broker that is back stays within what it can take."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar

from harness.guarantees._base import Clause, Guarantee, inconclusive, measured, window
from harness.guarantees._connections import connections
from harness.guarantees._returns import LIVED_NS
from harness.history.reader import History
from harness.verdict import Doubt, Finding

WITHIN_MS = 100
"""The stretch of time in which returning clients are counted together (docs/guarantees.md)."""
RETURNS = Clause("bounded.returns", "connections", sources=frozenset({"connections"}))


@dataclass(frozen=True)
class Bounded(Guarantee):
    """`returns`: how many clients may reach the broker within any WITHIN_MS after a fault began; None: measured."""

    name: ClassVar[str] = "bounded"
    clauses: ClassVar[tuple[Clause, ...]] = (RETURNS,)
    needs: ClassVar[frozenset[str]] = frozenset({"clients"})
    returns: float | None = None

    def judge(self, history: History) -> Sequence[Finding]:
        """The most connections of client links that reached the broker together, by its own record of each."""
        seen = window(history)
        if not seen.faults:
            return [self._doubt(Doubt.TOO_LITTLE, "no fault took effect")]
        clients, brokers = set(history.meta["clients"]), set(history.meta["brokers"])
        links = [made for link, made in connections(history).items() if link[0] in clients and link[1] in brokers]
        after = [one for one in chain.from_iterable(links) if one.opened_ns >= seen.from_ns]
        reached = sorted(one.reached_ns for one in after if one.reached_ns is not None)
        if not reached:
            return [self._doubt(Doubt.TOO_LITTLE, "no client came back")]
        unknown = sum(one.reached_ns is None and one.closed_ns > one.opened_ns + LIVED_NS for one in after)
        within_ns = WITHIN_MS * 1_000_000
        together = [bisect_left(reached, first + within_ns) - number for number, first in enumerate(reached)]
        most = max(together)
        if unknown and self.returns is not None and most <= self.returns < most + unknown:
            return [
                self._doubt(Doubt.GAP, f"when {unknown} of {len(after)} connections reached the broker is not known")
            ]
        at_s = (reached[together.index(most)] - seen.to_ns) / 1e9
        reason = (
            f"{most} of {len(reached)} connections reached the broker within {WITHIN_MS} ms, {at_s:+.2f} s from healing"
        )
        return [measured(history, RETURNS, most, self.returns, len(reached), reason, faults=seen.faults)]

    def _doubt(self, doubt: Doubt, sentence: str) -> Finding:
        return inconclusive(RETURNS.name, doubt, sentence, unit=RETURNS.unit, bound=self.returns)
