"""Kill: SIGKILL to a node, which is started again on the same addresses with what its disk holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from harness.faults._base import Fault, LinkKey, node_links, now_ns
from harness.faults._evidence import connections_closed, window
from harness.faults._reopen import Reopen, reopened
from harness.history.reader import FaultSpan, History
from harness.runtime.contract import Node

READY_WITHIN_S = 30.0


@dataclass
class Kill(Fault):
    """A node dies at once. `reopen` is the order in which the links to its successor open.

    `at once`, or `entry first`: the entry's link at once and the workers' one reconnect wait later, which is how a
    producer comes back before its consumers.
    """

    kind: ClassVar[str] = "kill"
    node: Node
    reopen: Reopen = "at once"

    @property
    def target(self) -> str:
        """The node's name."""
        return self.node.name

    @property
    def how(self) -> str:
        """The order of reopening."""
        return f"links reopen {self.reopen}"

    @property
    def nodes(self) -> Sequence[str]:
        """The killed node."""
        return (self.node.name,)

    @property
    def links(self) -> Sequence[LinkKey]:
        """Every link that leads to the node."""
        return node_links(self.stage.runtime, self.node)

    @property
    def probed(self) -> Sequence[LinkKey]:
        """None: the exit and the closed connections are the evidence."""
        return ()

    async def inject(self) -> int:
        """SIGKILL; the moment the pidfd became readable. The runtime makes its links refuse."""
        return await self.node.kill()

    async def heal(self) -> int:
        """Starts it again, waits for readiness and for our own subscriptions, and opens the links in order."""
        if not self.node.alive:
            await self.node.start()
            await self.node.ready(within_s=READY_WITHIN_S)
        if self.node.role == "broker":
            await self.stage.observers_back()
        self.link_times = await reopened(self.stage, self.links, self.reopen)
        return max(self.link_times.values(), default=now_ns())

    def evidence(self, history: History, span: FaultSpan) -> Mapping[str, float]:
        """The exit by signal 9, and each connection that led to the node seen closed by its proxy."""
        _, end = window(history, span)
        exits = [
            line["signal"]
            for line in history.lines("node")
            if line["node"] == self.node.name and line["event"] == "exited" and span.asked_ns <= line["t_ns"] <= end
        ]
        were_open, closed = connections_closed(history, span)
        bit = 9 in exits and closed == were_open
        return {"exits_by_signal_9": exits.count(9), "connections": were_open, "closed": closed, "bit": bit}
