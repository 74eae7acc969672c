"""Bandwidth: each connection of a link carries so many bytes a second at most, in each way asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from harness.faults._cut import SwollenFault, within
from harness.faults._evidence import SETTLE_NS, window
from harness.history import probes
from harness.history.reader import FaultSpan, History

OFFERED = 2.0
"""The probe offers so many times the rate: all of it crosses before, and more waits under the fault."""
MOST_SEEN = 1.2
"""So many times the rate may be seen to cross under the fault (docs/faults.md)."""


@dataclass
class Bandwidth(SwollenFault):
    """The link's gates let `rate_bytes_s` through. It is a limit of each connection and way, not of the whole link."""

    kind: ClassVar[str] = "bandwidth"
    EXAMPLE: ClassVar[Mapping[str, object]] = {"rate_bytes_s": 20_000}
    rate_bytes_s: float

    @property
    def how(self) -> str:
        """Rate and way."""
        return f"{self.rate_bytes_s:g} bytes/s, way {self.way}"

    @property
    def probe_bytes(self) -> int:
        """What makes the probe offer twice the rate."""
        return round(OFFERED * self.rate_bytes_s / self.records_s)

    def check(self) -> None:
        """Raises UsageError for a rate that the proxy cannot keep, or the probe not exceed."""
        super().check()
        most = self.most_bytes * self.records_s / OFFERED
        within(self.kind, "rate_bytes_s", self.rate_bytes_s, 1000, most)

    async def inject(self) -> int:
        """The moment the proxy answered."""
        return await self.link(*self.key).slow(rate_bytes_s=self.rate_bytes_s, way=self.way)

    def evidence(self, history: History, span: FaultSpan) -> Mapping[str, float]:
        """Bytes of the probe's records that crossed each second, while it offered more than the rate, and before."""
        start, end = window(history, span)
        seen: dict[str, float] = {}
        bit = True
        for way in self.ways_seen:
            records = list(probes.records(history, span.id, self.key, way))
            offered = sum(start + SETTLE_NS <= record.sent_ns <= end for record in records)
            before = self._bytes_s(records, 0, span.asked_ns)
            under = self._bytes_s(records, start + SETTLE_NS, end)
            waits = offered * self.probe_bytes > under * (end - start) / 1e9
            bit &= before > MOST_SEEN * self.rate_bytes_s >= under > 0 and waits
            seen |= {f"{way}_before_bytes_s": before, f"{way}_bytes_s": under, f"{way}_offered": offered}
        return {**seen, "bit": bit}

    def _bytes_s(self, records: Sequence[probes.Record], from_ns: int, to_ns: int) -> float:
        """Bytes a second of the records that arrived in that time, from the first of them to the last."""
        arrived = [record.got_ns for record in records if record.got_ns and from_ns <= record.got_ns <= to_ns]
        if len(arrived) < 2:
            return 0.0
        return (len(arrived) - 1) * self.probe_bytes * 1e9 / max(max(arrived) - min(arrived), 1)
