"""Slicer: what crosses a link is cut into small pieces, each of which comes a while after the one before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from harness.faults._asked import within
from harness.faults._cut import SwollenFault
from harness.faults._evidence import slowed
from harness.history.reader import FaultSpan, History

SLICES = 4
"""Of how many slices at least the probe's records are."""


@dataclass
class Slicer(SwollenFault):
    """Toxiproxy's toxic of that name: slices of at most `size_bytes`, `delay_ms` apart.

    It is a bandwidth of size / delay, and can starve pings.
    """

    kind: ClassVar[str] = "slicer"
    EXAMPLE: ClassVar[Mapping[str, object]] = {"size_bytes": 100, "delay_ms": 5.0}
    size_bytes: int
    delay_ms: float

    @property
    def how(self) -> str:
        """Figures and way."""
        return f"{self.size_bytes} bytes each {self.delay_ms:g} ms, way {self.way}"

    @property
    def probe_bytes(self) -> int:
        """What makes so many slices of a record."""
        return SLICES * self.size_bytes

    def check(self) -> None:
        """Raises UsageError for slices that the probe's records do not have, or a delay that nobody could see."""
        super().check()
        within(self.kind, "size_bytes", self.size_bytes, 16, self.most_bytes / SLICES)
        within(self.kind, "delay_ms", self.delay_ms, 1, 10_000)

    async def inject(self) -> int:
        """The moment the proxy answered."""
        attributes = {"average_size": self.size_bytes, "size_variation": 0, "delay": round(self.delay_ms * 1000)}
        return await self.link(*self.key).impair("slicer", attributes, self.way)

    def evidence(self, history: History, span: FaultSpan) -> Mapping[str, float]:
        """The probe's median round trip: grown by the delays between the slices of one record."""
        return slowed(history, span, self.key, (SLICES - 1) * self.delay_ms * len(self.ways_seen))
