"""Latency: what crosses a link arrives later, both ways or one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from harness.errors import UsageError
from harness.faults._asked import within
from harness.faults._cut import OneWayFault
from harness.faults._evidence import SETTLE_NS, slowed, window
from harness.history import probes
from harness.history.reader import FaultSpan, History

MOST_MS = 60_000
JITTER_SEEN = 0.1
"""The probe's times must have spread by this share of the jitter. Order is kept, which evens out most of it."""


@dataclass
class Latency(OneWayFault):
    """Delays each way asked for by `latency_ms`, give or take `jitter_ms`. `way="from"` delays the answers alone.

    With `from` the provider has seen the request, and begun its work, long before the caller hears of it.
    """

    kind: ClassVar[str] = "latency"
    EXAMPLE: ClassVar[Mapping[str, object]] = {"latency_ms": 200.0, "jitter_ms": 50.0}
    latency_ms: float
    jitter_ms: float = 0.0

    @property
    def how(self) -> str:
        """Figures and way."""
        jitter = f", jitter {self.jitter_ms:g} ms" if self.jitter_ms else ""
        return f"{self.latency_ms:g} ms{jitter}, way {self.way}"

    def check(self) -> None:
        """Raises UsageError for a latency of nothing, or a jitter that is larger."""
        super().check()
        within(self.kind, "latency_ms", self.latency_ms, 1, MOST_MS)
        if not 0 <= self.jitter_ms <= self.latency_ms:
            raise UsageError(f"jitter_ms is {self.jitter_ms:g}", where=self.kind, fix="at most latency_ms")

    async def inject(self) -> int:
        """The moment the proxy answered."""
        return await self.link(*self.key).slow(latency_ms=self.latency_ms, jitter_ms=self.jitter_ms, way=self.way)

    def evidence(self, history: History, span: FaultSpan) -> Mapping[str, float]:
        """The probe's median round trip under the fault, against its own before; with jitter, how far it spread."""
        seen = slowed(history, span, self.key, self.latency_ms * (2 if self.way == "both" else 1))
        if self.jitter_ms:
            start, end = window(history, span)
            way: probes.Way = ("from" if self.way == "from" else "to") if self.to_broker else "round"
            spread = probes.spread_ms(history, span.id, self.key, way, start + SETTLE_NS, end)
            earlier = probes.spread_ms(history, span.id, self.key, way, 0, span.asked_ns)
            grown = spread - earlier >= JITTER_SEEN * self.jitter_ms
            seen |= {"spread_ms": spread, "spread_before_ms": earlier, "bit": float(seen["bit"] and grown)}
        return seen
