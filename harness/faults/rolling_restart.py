"""Rolling restart: the nodes end and come back one after the other, as in a deployment."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import ClassVar

from harness.errors import UsageError
from harness.faults._down import Down, How, came_back, most_down, told
from harness.history.reader import FaultSpan, History
from harness.runtime.contract import Node


@dataclass
class RollingRestart(Down):
    """Each of `replicas` (`run.workers`, say) in turn; the next one goes once this one is ready and its links are open.

    They go while the body lasts; healing waits for the last.
    """

    kind: ClassVar[str] = "rolling_restart"
    LASTS: ClassVar[bool] = False
    replicas: Sequence[Node]
    by: How = "terminate"

    @property
    def hit(self) -> Sequence[Node]:
        """All of them, in their order."""
        return self.replicas

    @property
    def how(self) -> str:
        """How each ends."""
        return f"one after the other, by {self.by}, {super().how}"

    def check(self) -> None:
        """Raises UsageError without nodes, HarnessError where one is down."""
        super().check()
        if not self.replicas:
            raise UsageError("a rolling restart of no nodes", fix='name them (`run.workers`), and @needs("worker")')

    async def inject(self) -> int:
        """The moment at which the first was dead, or asked to stop; the others follow while the body lasts."""
        first = await self.end(self.replicas[0], self.by)
        self._others = asyncio.create_task(self._in_turn())
        return first

    async def _in_turn(self) -> None:
        for node, later in zip_longest(self.replicas, self.replicas[1:]):
            await self.ended()
            await self.back(node)
            if later is not None:
                await self.end(later, self.by)

    def evidence(self, history: History, span: FaultSpan) -> Mapping[str, float]:
        """Each ended and was ready again, and no two of them were down at once."""
        ends = {name: len(told(history, span, name, "exited")) for name in self.nodes}
        again = {name: came_back(history, span, name) for name in self.nodes}
        at_once = most_down(history, span, self.nodes)
        each = all(ends[name] == again[name] == 1 for name in self.nodes)
        return {
            "ends": sum(ends.values()),
            "came_back": sum(again.values()),
            "down_at_once": at_once,
            "bit": each and at_once == 1,
        }
