"""Crash loop: a node dies again each time that it is ready, some times in a row."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from harness.errors import UsageError
from harness.faults._down import OneDown, came_back, told
from harness.faults._evidence import connections_closed
from harness.history.reader import FaultSpan, History


@dataclass
class CrashLoop(OneDown):
    """SIGKILL `times` times: at once, and then whenever it is ready and its links are open. Healing waits for the last.

    Each life is as short as the node's start takes, so that clients find it and lose it again.
    """

    kind: ClassVar[str] = "crash_loop"
    times: int = 3

    @property
    def how(self) -> str:
        """How often."""
        return f"{self.times} times, {super().how}"

    def check(self) -> None:
        """Raises UsageError for less than two deaths, HarnessError for a node that is down."""
        super().check()
        if self.times < 2:
            raise UsageError(f"a crash loop of {self.times} is none", fix="times=2 or more, or the fault `kill`")

    async def inject(self) -> int:
        """The moment of the first death; the others follow while the body lasts."""
        first = await self.end(self.node)
        self._others = asyncio.create_task(self._again())
        return first

    async def _again(self) -> None:
        for _ in range(self.times - 1):
            await self.back(self.node)
            await self.end(self.node)

    def evidence(self, history: History, span: FaultSpan) -> Mapping[str, float]:
        """As many exits by signal 9 as asked for, it was ready after each, and its first connections all closed."""
        exits = [line.get("signal") for line in told(history, span, self.node.name, "exited")].count(9)
        again = came_back(history, span, self.node.name)
        were_open, closed = connections_closed(history, span)
        bit = exits == again == self.times and closed == were_open
        return {
            "exits_by_signal_9": exits,
            "came_back": again,
            "connections": were_open,
            "closed": closed,
            "bit": bit,
        }
