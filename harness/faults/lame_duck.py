"""Lame duck: the broker tells its clients that it will end, closes them one by one, and ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from signal import SIGUSR2
from typing import ClassVar

from harness.errors import UsageError
from harness.faults import _asked
from harness.faults._down import OneDown, told
from harness.faults._evidence import said
from harness.history.reader import NEVER_NS, FaultSpan, History

SAYS = "Entering lame duck mode"
"""What nats-server writes into its log."""
LONGEST_S = 600.0


@dataclass
class LameDuck(OneDown):
    """It is killed where it still runs after `within_s`; until then it takes as long as its configuration says."""

    kind: ClassVar[str] = "lame_duck"
    EXAMPLE: ClassVar[Mapping[str, object]] = {"within_s": 1.0}
    within_s: float = field(default=30.0, kw_only=True)

    def check(self) -> None:
        """Raises UsageError for what is no broker, and for a figure that cannot be; HarnessError where it is down."""
        super().check()
        _asked.within(self.kind, "within_s", self.within_s, 0, LONGEST_S)
        if self.node.role != "broker":
            raise UsageError(f"{self.node.name} is no broker", where=self.kind, fix="run.faults.lame_duck(run.broker)")

    async def inject(self) -> int:
        """The moment at which it was asked."""
        return await self.end(self.node, "terminate", by=SIGUSR2, grace_s=self.within_s)

    def evidence(self, history: History, span: FaultSpan) -> Mapping[str, float]:
        """The broker said that it is one, and ended."""
        lines = said(history, self.node.name, SAYS, span.asked_ns, span.healed_ns or NEVER_NS)
        ends = told(history, span, self.node.name, "exited")
        return {"said": lines, "exits": len(ends), "bit": bool(lines) and bool(ends)}
