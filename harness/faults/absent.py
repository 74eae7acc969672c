"""Absent: the broker is not there when the services start, and comes later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from harness.errors import UsageError
from harness.faults._base import NodeFault, now_ns
from harness.faults._evidence import window
from harness.faults._reopen import reopened
from harness.history import probes
from harness.history.reader import FaultSpan, History
from harness.runtime.contract import READY_WITHIN_S


@dataclass
class Absent(NodeFault):
    """The broker was withheld from the start, by `@started_with(without="broker")`; it comes when the body ends."""

    kind: ClassVar[str] = "absent"
    WHOLE_BEFORE: ClassVar[bool] = False

    def check(self) -> None:
        """Raises UsageError where the node was started already, or is no broker."""
        super().check()
        if self.node.alive or self.node.role != "broker":
            raise UsageError(
                f"{self.node.name} is not absent: what is there already cannot be absent at the start",
                fix='absent(run.broker), in a scenario that is marked @started_with(without="broker")',
            )

    async def inject(self) -> int:
        """It has been so since before the first service; the moment is that of looking."""
        return now_ns()

    async def heal(self) -> int:
        """The broker is started and ready, our own subscriptions are on it, and every link to it is open."""
        if not self.node.alive:
            await self.node.start()
            await self.node.ready(within_s=READY_WITHIN_S)
        await self.stage.observers_back()
        self.link_times |= await reopened(self.stage, self.links, "at once")
        return max(self.link_times.values(), default=now_ns())

    def evidence(self, history: History, span: FaultSpan) -> Mapping[str, float]:
        """The probe's fresh connections through the entry's link: all refused; and all services started before it."""
        start, end = window(history, span)
        sent, got = probes.seen(history, span.id, self.links[0], "fresh", start, end)
        refused = sum(probes.errors(history, span.id, self.links[0], "fresh", start, end).values())
        started = [(line["t_ns"], line["node"]) for line in history.lines("node") if line["event"] == "started"]
        of_broker = [t_ns for t_ns, name in started if name == self.node.name]
        first = {name: t_ns for t_ns, name in reversed(started) if name != self.node.name}
        before = all(of_broker and t_ns < of_broker[0] for t_ns in first.values())
        return {
            "fresh": sent,
            "refused": refused,
            "services_started_before": before,
            "bit": refused > 0 and not got and before,
        }
