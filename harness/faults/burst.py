"""Burst: for a while the system is offered several times the work that it usually is."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from harness.errors import UsageError
from harness.faults._base import Fault, LinkKey, now_ns
from harness.faults._evidence import SHARE_SEEN
from harness.faults._publishing import FIRST_WRITER
from harness.history.reader import FaultSpan, History

NS = 1_000_000_000


@dataclass
class Burst(Fault):
    """Every workload at `times` its rate for `seconds`, beside which its own arrivals go on as they are."""

    kind: ClassVar[str] = "burst"
    EXAMPLE: ClassVar[Mapping[str, object]] = {"times": 4.0, "seconds": 1.0}
    times: float
    seconds: float
    _until_ns: int = field(default=0, init=False, repr=False)

    @property
    def target(self) -> str:
        """The load."""
        return "load"

    @property
    def links(self) -> Sequence[LinkKey]:
        """None: every link works on."""
        return ()

    @property
    def how(self) -> str:
        """How much, and for how long."""
        return f"{self.times:g} times the rate for {self.seconds:g} s"

    def check(self) -> None:
        """Raises UsageError for a burst of nothing."""
        super().check()
        if not (self.times > 1 and self.seconds > 0):
            raise UsageError(f"{self.how} is no burst", where=self.kind, fix="burst(times=5, seconds=2), say")

    async def inject(self) -> int:
        """The moment at which the load began it."""
        assert self.stage.burst is not None
        begun = await self.stage.burst(self.times, self.seconds)
        self._until_ns = begun + int(self.seconds * NS)
        return begun

    async def heal(self) -> int:
        """The moment at which its last arrival was due, or now."""
        await asyncio.sleep(max(0, self._until_ns - now_ns()) / NS)
        return now_ns()

    def evidence(self, history: History, span: FaultSpan) -> Mapping[str, float]:
        """Operations that the load began a second, meanwhile and before."""
        begun = [one.start_ns for one in history.operations() if one.id.writer < FIRST_WRITER]
        start = span.effective_ns or span.asked_ns
        end = start + int(self.seconds * NS)
        first = min(begun, default=start)
        before = sum(t_ns < span.asked_ns for t_ns in begun) * NS / max(span.asked_ns - first, 1)
        under = sum(start <= t_ns < end for t_ns in begun) / self.seconds
        bit = under >= SHARE_SEEN * self.times * before > 0
        return {"before_per_s": round(before, 1), "under_per_s": round(under, 1), "bit": bit}
