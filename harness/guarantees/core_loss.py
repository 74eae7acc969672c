"""core_loss: what was handed to core NATS and never arrived. Nobody promises that it does: measured, not judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from harness.guarantees._base import NS, Clause, Guarantee, inconclusive, measured, window
from harness.guarantees._facts import read_ends
from harness.guarantees._sets import Named
from harness.history.reader import History
from harness.history.rows import Outcome
from harness.verdict import Doubt, Finding


@dataclass(frozen=True)
class CoreLoss(Guarantee):
    """Of workloads of kind core: accepted, and seen neither by the effects nor, where there are none, by the taps."""

    name: ClassVar[str] = "core_loss"
    clauses: ClassVar[tuple[Clause, ...]] = (Clause("core_loss", "operations", judged=False),)
    needs: ClassVar[frozenset[str]] = frozenset({"arrivals"})

    def judge(self, history: History) -> Sequence[Finding]:
        """Always without a bound; inconclusive where nothing was accepted or a source was not read to its end."""
        seen_by = {name: told["arrives"] for name, told in history.meta["workloads"].items() if told.get("arrives")}
        accepted = [o for o in history.operations() if o.workload in seen_by and o.outcome is Outcome.OK]
        unread = sorted(set(seen_by.values()) - read_ends(history).keys())
        if not accepted:
            return [inconclusive(self.name, Doubt.TOO_LITTLE, "nothing was handed to core NATS", unit="operations")]
        if unread:
            return [inconclusive(self.name, Doubt.GAP, f"no final read of {unread[0]}", unit="operations")]
        seen = {(sighting.source, sighting.op) for sighting in history.sightings()}
        lost = sorted(o.id for o in accepted if (seen_by[o.workload], o.id) not in seen)
        reason = f"{len(lost)} of {len(accepted)} were never seen by {' or '.join(sorted(set(seen_by.values())))}"
        away_s = _away_s(history) if "taps" in seen_by.values() else 0
        reason += f", which heard nothing for {away_s:.1f} s of the window" if away_s else ""
        ops = Named(len(lost), tuple(lost))
        return [
            measured(
                history, self.clauses[0], len(lost), None, len(accepted), reason, ops, faults=window(history).faults
            )
        ]


def _away_s(history: History) -> float:
    """How long within the window the taps were not on the broker: what arrived then nobody saw."""
    seen = window(history)
    clipped = [(max(at, seen.from_ns), min(to, seen.to_ns)) for at, to in history.gaps("taps")]
    return sum(max(0, to - at) for at, to in clipped) / NS
