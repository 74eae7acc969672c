"""Latency: what crosses a link arrives later, both ways or one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from harness.faults._cut import LinkFault
from harness.faults._evidence import LEAST_RECORDS, SETTLE_NS, window
from harness.history import probes
from harness.history.reader import FaultSpan, History

SHARE_SEEN = 0.8
"""The probe's round trip must have grown by at least this share of what was asked (docs/faults.md)."""


@dataclass
class Latency(LinkFault):
    """Delays by `latency_ms` (and up to `jitter_ms` more). `way="from"` delays the answers alone.

    With `from` the provider has seen the request, and begun its work, long before the caller hears of it.
    """

    kind: ClassVar[str] = "latency"
    latency_ms: float
    jitter_ms: float = 0.0
    way: Literal["both", "to", "from"] = "both"

    @property
    def how(self) -> str:
        """Figures and way."""
        return f"{self.latency_ms:g} ms, way {self.way}"

    async def inject(self) -> int:
        """The moment the proxy answered."""
        return await self.link(*self.key).slow(latency_ms=self.latency_ms, jitter_ms=self.jitter_ms, way=self.way)

    def evidence(self, history: History, span: FaultSpan) -> Mapping[str, float]:
        """The probe's median round trip under the fault, against its own before."""
        start, end = window(history, span)
        before, n_before = probes.median_rtt_ms(history, span.id, self.key, 0, span.asked_ns)
        under, n_under = probes.median_rtt_ms(history, span.id, self.key, start + SETTLE_NS, end)
        asked = self.latency_ms * (2 if self.way == "both" else 1)
        grown = under - before >= SHARE_SEEN * asked and min(n_before, n_under) >= LEAST_RECORDS
        return {"before_ms": before, "under_ms": under, "asked_ms": asked, "records": n_under, "bit": grown}
