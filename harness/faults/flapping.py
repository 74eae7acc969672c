"""Flapping: a link that is cut and whole in turns."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from harness.errors import HarnessError
from harness.faults._asked import within
from harness.faults._cut import LinkFault
from harness.faults._evidence import SETTLE_NS, cuts, window
from harness.history import probes
from harness.history.reader import FaultSpan, History

LEAST_CUTS = 2
LEAST_SENT = 3  # fewer records sent in a cut do not show it


@dataclass
class Flapping(LinkFault):
    """Cut for `down_s` and whole for `up_s`, in turns, as long as it lasts: frozen, or refused."""

    kind: ClassVar[str] = "flapping"
    EXAMPLE: ClassVar[Mapping[str, object]] = {"down_s": 0.2, "up_s": 0.2}
    down_s: float = 0.3
    up_s: float = 0.7
    cut: Literal["frozen", "refused"] = "frozen"
    _turns: asyncio.Task[None] | None = field(default=None, init=False)

    @property
    def how(self) -> str:
        """Figures and kind of cut."""
        return f"{self.cut} {self.down_s:g} s, whole {self.up_s:g} s"

    def check(self) -> None:
        """Raises UsageError for cuts too short to be seen."""
        super().check()
        within(self.kind, "down_s", self.down_s, 0.1, 3600)
        within(self.kind, "up_s", self.up_s, 0.1, 3600)

    async def inject(self) -> int:
        """The moment of the first cut."""
        effective = await self.link(*self.key).cut(self.cut)
        self._turns = asyncio.create_task(self._take_turns())
        return effective

    async def heal(self) -> int:
        """The moment of the last mending."""
        if self._turns is not None:
            self._turns.cancel()
            (ended,) = await asyncio.gather(self._turns, return_exceptions=True)
            if isinstance(ended, HarnessError):
                self.stage.recorder.line("fault", id=self.id, event="failed", detail=str(ended))
        return await super().heal()

    def evidence(self, history: History, span: FaultSpan) -> Mapping[str, float]:
        """Of the cuts that the link tells of, those in which the probe sent records and none arrived."""
        start, end = window(history, span)
        way: probes.Way = "to" if self.to_broker else "round"
        records = list(probes.records(history, span.id, self.key, way))
        told = cuts(history, self.key, start, end)
        seen = 0
        for cut, mended in told:
            late = mended - SETTLE_NS  # what was held arrives before the proxy is seen to run again
            sent = [record for record in records if cut + SETTLE_NS <= record.sent_ns < late]
            seen += len(sent) >= LEAST_SENT and all(record.got_ns is None or record.got_ns >= late for record in sent)
        between = sum(record.got_ns is not None and start <= record.got_ns <= end for record in records)
        bit = len(told) >= LEAST_CUTS and seen >= len(told) - 1 and between > 0
        return {"cuts": len(told), "seen": seen, "arrived": between, "bit": bit}

    async def _take_turns(self) -> None:
        link = self.link(*self.key)
        while True:
            await asyncio.sleep(self.down_s)
            await link.mend()
            await asyncio.sleep(self.up_s)
            await link.cut(self.cut)
