"""Bandwidth: each connection of a link carries so many bytes a second at most, in each way asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from harness.faults._asked import within
from harness.faults._cut import SwollenFault
from harness.faults._evidence import SETTLE_NS, SHARE_SEEN, window
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
        """Bytes a second of the probe's records that were offered and that crossed; before, that nearly all crossed."""
        start, end = window(history, span)
        since, seconds = start + SETTLE_NS, (end - start - SETTLE_NS) / 1e9
        seen: dict[str, float] = {}
        bit = seconds > 0
        for way in self.ways_seen if bit else ():
            records = list(probes.records(history, span.id, self.key, way))
            earlier = [one for one in records if not one.error and one.sent_ns <= span.asked_ns - SETTLE_NS]
            whole = [one for one in earlier if one.got_ns and one.got_ns <= span.asked_ns]
            offered = sum(since <= record.sent_ns <= end for record in records) * self.probe_bytes / seconds
            crossed = sum(since <= (record.got_ns or 0) <= end for record in records) * self.probe_bytes / seconds
            bit &= bool(whole) and len(whole) >= SHARE_SEEN * len(earlier)
            bit &= 0 < crossed <= min(MOST_SEEN * self.rate_bytes_s, SHARE_SEEN * offered)
            seen |= {f"{way}_before": len(whole), f"{way}_offered_bytes_s": offered, f"{way}_bytes_s": crossed}
        return {**seen, "bit": bit}
