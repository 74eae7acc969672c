"""Burst: for a while the system is offered several times the work that it usually is."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from harness.faults._asked import within
from harness.faults._base import Fault, LinkKey, now_ns
from harness.faults._evidence import SHARE_SEEN
from harness.faults._publishing import FIRST_WRITER
from harness.history.reader import FaultSpan, History

NS = 1_000_000_000
LEAST_TIMES = 1.5
"""Less than this is hard to tell from a usual load."""
LEAST_MORE = 10
"""So many operations more than usual at least: fewer may be chance."""


@dataclass
class Burst(Fault):
    """Every workload at `times` its rate for `seconds`, beside which its own arrivals go on as they are."""

    kind: ClassVar[str] = "burst"
    EXAMPLE: ClassVar[Mapping[str, object]] = {"times": 4.0, "seconds": 1.0}
    LASTS: ClassVar[bool] = False
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
        """Raises UsageError for a burst that could not be told from the usual load."""
        super().check()
        within(self.kind, "times", self.times, LEAST_TIMES, 1000)
        within(self.kind, "seconds", self.seconds, 0.1, 3600)

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
        """Operations a second, meanwhile and before: they grew by what was asked, or nearly.

        What was due before the burst and came late is no part of it.
        """
        due = [(one.intended_ns, one.start_ns) for one in history.operations() if one.id.writer < FIRST_WRITER]
        loads = [line["t_ns"] for line in history.lines("load") if line["event"] == "started"]
        start = span.effective_ns or span.asked_ns
        end = start + int(self.seconds * NS)
        first = max((t_ns for t_ns in loads if t_ns <= span.asked_ns), default=span.asked_ns)
        before = sum(first <= due_ns < span.asked_ns for due_ns, _ in due) * NS / max(span.asked_ns - first, 1)
        under = sum(start <= due_ns and begun_ns < end for due_ns, begun_ns in due) / self.seconds
        more = under - before
        bit = before > 0 and more >= SHARE_SEEN * (self.times - 1) * before and more * self.seconds >= LEAST_MORE
        return {"before_per_s": round(before, 1), "under_per_s": round(under, 1), "bit": bit}
