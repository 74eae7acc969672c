"""redelivers: what a dead worker had in hand is begun again, not for ever, and what nobody can do is put aside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from harness.guarantees import _redelivering
from harness.guarantees._base import Clause, Guarantee, promise
from harness.guarantees._hands import KILLED, doubt, ends, in_hand
from harness.guarantees._redelivering import POISON
from harness.history.reader import History
from harness.history.rows import Outcome
from harness.verdict import Doubt, Finding


@dataclass(frozen=True)
class Redelivers(Guarantee):
    """`redelivers_s` in seconds, `attempts` how often work is tried at most; None takes the system file's promise."""

    name: ClassVar[str] = "redelivers"
    clauses: ClassVar[tuple[Clause, ...]] = _redelivering.CLAUSES
    redelivers_s: float | None = None
    attempts: float | None = None

    def judge(self, history: History) -> Sequence[Finding]:
        """`again` of workers that were killed, `dead_letters` and `no_healthy` of poison, `bounded` of both."""
        dead = [end for end in ends(history) if end.code == KILLED and end.node in history.meta["workers"]]
        killed = [end._replace(asked_ns=None) for end in dead]  # what it had counts from its death
        poisons = [one.id for one in history.operations(POISON) if one.outcome is Outcome.OK]
        if not killed and not poisons:
            sentence = "no worker was killed, and the broker took no poison"
            return [doubt(clause, Doubt.TOO_LITTLE, sentence) for clause in self.clauses]
        held = [(end, _redelivering.left(in_hand(history, end), end)) for end in killed]
        attempts = self.attempts or history.meta["promises"].get("attempts")
        found = [_redelivering.bounded(history, held, attempts)]
        if killed:
            within_s = self.redelivers_s or promise(history, "redelivers_s")
            found.append(_redelivering.again(history, held, within_s))
        if poisons:
            found += [_redelivering.dead_letters(history, poisons), _redelivering.no_healthy(history, poisons)]
        return found
