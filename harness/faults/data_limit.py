"""Data limit: a connection ends once it has carried so many bytes, in the middle of a message if need be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from harness.faults._asked import within
from harness.faults._cut import SwollenFault
from harness.faults._evidence import window
from harness.history import probes
from harness.history.reader import FaultSpan, History

RECORDS = 20
"""After how many of the probe's records the limit is reached."""


@dataclass
class DataLimit(SwollenFault):
    """Toxiproxy's toxic `limit_data`: `limit_bytes` of each connection and way, old ones counted from the effect on.

    A connection that carries less lives on.
    """

    kind: ClassVar[str] = "data_limit"
    EXAMPLE: ClassVar[Mapping[str, object]] = {"limit_bytes": 20_000}
    limit_bytes: int

    @property
    def how(self) -> str:
        """Limit and way."""
        return f"{self.limit_bytes} bytes, way {self.way}"

    @property
    def probe_bytes(self) -> int:
        """What makes the probe reach the limit soon."""
        return -(-self.limit_bytes // RECORDS)

    def check(self) -> None:
        """Raises UsageError for a limit that the probe would not reach."""
        super().check()
        within(self.kind, "limit_bytes", self.limit_bytes, 1, RECORDS * self.most_bytes)

    async def inject(self) -> int:
        """The moment the proxy answered."""
        return await self.link(*self.key).impair("limit_data", {"bytes": self.limit_bytes}, self.way)

    def evidence(self, history: History, span: FaultSpan) -> Mapping[str, float]:
        """The probe's connection ended with no more of its records carried than the limit holds."""
        start, end = window(history, span)
        ends = probes.ends(history, span.id, self.key, start, end)
        way = self.ways_seen[0]
        carried = [
            record
            for record in probes.records(history, span.id, self.key, way)
            if record.old and start <= record.sent_ns and record.got_ns is not None and record.got_ns <= end
        ]
        bit = bool(ends) and 0 < len(carried) * self.probe_bytes <= self.limit_bytes
        return {"ends": len(ends), "carried_bytes": len(carried) * self.probe_bytes, "bit": bit}
