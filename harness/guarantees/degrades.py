"""degrades: while what it needs is away the system says so, to whom it serves and to whom watches it, and stays up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from harness.guarantees._base import Clause, Guarantee, inconclusive, promise, window
from harness.guarantees._breaker import BREAKER, breaker
from harness.guarantees._health import HEALTH, STARTS, health, starts
from harness.guarantees._refusals import ANSWERS, TOLD_APART, answers, told_apart
from harness.history.reader import History
from harness.verdict import Doubt, Finding

RED_LATER_S = 1.0
"""How much later than a client notices a load balancer may know."""


@dataclass(frozen=True)
class Degrades(Guarantee):
    """Bounds; None takes the system file's promise (`notices_s`, `reconnects_s`, `works_s`).

    `starts_s`: live so long after its start; `red_s`: not ready so long after the effect of a fault that tells;
    `opens_after`: slow failures in a row after which a breaker is open, and then refuses within `refuses_ms`;
    `refusals`: how many operations must have been refused while the broker was away, so that `answers` tells of that.
    """

    name: ClassVar[str] = "degrades"
    clauses: ClassVar[tuple[Clause, ...]] = (STARTS, ANSWERS, TOLD_APART, HEALTH, BREAKER)
    starts_s: float = 3.0
    red_s: float = 1.0
    notices_s: float | None = None
    reconnects_s: float | None = None
    works_s: float | None = None
    opens_after: float = 5
    refuses_ms: float = 50.0
    refusals: float = 0

    def judge(self, history: History) -> Sequence[Finding]:
        """One finding a clause; one that the faults of the scenario do not touch holds without a bound: not asked."""
        if not window(history).faults:
            sentence = "no fault took effect"
            return [inconclusive(one.name, Doubt.TOO_LITTLE, sentence, unit=one.unit) for one in self.clauses]
        notices, reconnects, works = (
            getattr(self, name) or promise(history, name) for name in ("notices_s", "reconnects_s", "works_s")
        )
        return [
            starts(history, self.starts_s),
            answers(history, int(self.refusals)),
            told_apart(history),
            health(history, self.red_s, notices + RED_LATER_S, reconnects + RED_LATER_S),
            breaker(history, max(int(self.opens_after), 1), self.refuses_ms, works),
        ]
