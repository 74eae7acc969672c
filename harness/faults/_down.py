"""What the faults that end nodes share: an end by signal or on request, the way back, what observers saw of both."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from signal import Signals
from typing import Any, Literal

from harness.errors import HarnessError
from harness.faults._base import Fault, LinkKey, node_links, now_ns
from harness.faults._reopen import Reopen, reopened
from harness.history.reader import NEVER_NS, FaultSpan, History
from harness.runtime.contract import READY_WITHIN_S, Node

How = Literal["kill", "terminate"]
"""SIGKILL; or the stop signal of the system file, and SIGKILL after its grace."""


@dataclass
class Down(Fault):
    """Nodes end, and are started again on the same addresses with what their disks hold.

    `reopen` is the order in which the links to a successor open: `at once`, or `entry first`: the entry's link at once
    and the workers' one reconnect wait later, which is how a producer comes back before its consumers.
    """

    reopen: Reopen = field(default="at once", kw_only=True)
    _ending: asyncio.Task[object] | None = field(default=None, init=False, repr=False)
    """The end of the node that was asked to stop last."""
    _others: asyncio.Task[None] | None = field(default=None, init=False, repr=False)
    """What goes on after inject, and heal has to wait for."""
    _opened: dict[LinkKey, int] = field(default_factory=dict, init=False, repr=False)
    """When each link was open again."""
    _back_ns: int = field(default=0, init=False, repr=False)
    """When the last node was there again, with its links if any lead to it."""

    @property
    @abstractmethod
    def hit(self) -> Sequence[Node]:
        """The nodes that end."""

    @property
    def target(self) -> str:
        """The nodes' names."""
        return ", ".join(self.nodes)

    @property
    def nodes(self) -> Sequence[str]:
        """The nodes that end."""
        return [node.name for node in self.hit]

    @property
    def links(self) -> Sequence[LinkKey]:
        """Every link that leads to one of them."""
        return [key for node in self.hit for key in node_links(self.stage.runtime, node)]

    @property
    def probed(self) -> Sequence[LinkKey]:
        """None: the exits are the evidence."""
        return ()

    @property
    def how(self) -> str:
        """The order of reopening."""
        return f"links reopen {self.reopen}"

    @property
    def comes_back_as(self) -> str | None:
        """The version that a node is started as again; None: its own."""
        return None

    def check(self) -> None:
        """Raises HarnessError where a node is down as it is, or a broker that nobody of the system calls."""
        super().check()
        brokers = {name for name, node in self.stage.runtime.nodes.items() if node.role == "broker"}
        reached = any(provider in brokers for _, provider in self.stage.runtime.links)
        for node in self.hit:
            if node.name in brokers and not reached:
                raise HarnessError(
                    f"no link leads to {node.name}, so nobody would feel that it ended",
                    fix="name the broker in the system file by {broker.url} wherever it is dialled",
                )
            if not node.alive:
                raise HarnessError(
                    f"{node.name} does not run, so {self.kind} has nothing to end",
                    fix="is another fault of the scenario still on it, or did it end by itself? its log tells",
                )

    async def end(
        self, node: Node, how: How = "kill", *, by: Signals | None = None, grace_s: float | None = None
    ) -> int:
        """Ends a node; t_ns at which it was seen dead, or, for `terminate`, at which it was asked.

        `by` and `grace_s` as `Node.terminate` takes them.
        """
        if how == "kill":
            return await node.kill()
        asked: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        ending = asyncio.create_task(node.terminate(signalled=asked.set_result, by=by, grace_s=grace_s))
        self._ending = ending
        either: set[asyncio.Future[Any]] = {asked, ending}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        return asked.result() if asked.done() else ending.result()[0]

    async def ended(self) -> None:
        """Waits until the node that was asked to stop has ended, which its grace bounds."""
        if self._ending is not None:
            await self._ending

    async def back(self, node: Node) -> None:
        """Starts a node that is down, waits for readiness and our own subscriptions, and opens its links in order."""
        if not node.alive:
            await node.start(version=self.comes_back_as)
            await node.ready(within_s=READY_WITHIN_S)
        if node.role == "broker":
            await self.stage.observers_back()
        opened = await reopened(self.stage, node_links(self.stage.runtime, node), self.reopen)
        self._opened |= opened
        self._back_ns = max(self._back_ns, *opened.values()) if opened else now_ns()

    async def heal(self) -> int:
        """Each node is back and ready; the moment at which the last one was, with its links open."""
        if self._others is not None:
            await self._others
        await self.ended()
        for node in self.hit:
            if not node.alive or not self._opened.keys() >= set(node_links(self.stage.runtime, node)):
                await self.back(node)
        self.link_times |= self._opened
        return self._back_ns or now_ns()


@dataclass
class OneDown(Down):
    """The one node that ends."""

    node: Node

    @property
    def hit(self) -> Sequence[Node]:
        """The one node."""
        return (self.node,)


def told(history: History, span: FaultSpan, node: str, event: str) -> list[Mapping[str, Any]]:
    """The lines of one event that tell of a node, from the asking for a fault until it was healed."""
    until = span.healed_ns or NEVER_NS
    return [
        line
        for line in history.lines("node")
        if line["node"] == node and line["event"] == event and span.asked_ns <= line["t_ns"] <= until
    ]


def came_back(history: History, span: FaultSpan, node: str) -> int:
    """How often a node ended and was ready again after that, while the fault lasted."""
    count, down = 0, False
    for line in history.lines("node"):
        if line["node"] == node and span.asked_ns <= line["t_ns"] <= (span.healed_ns or NEVER_NS):
            down = down or line["event"] == "exited"
            if down and line["event"] == "ready":
                count, down = count + 1, False
    return count


def most_down(history: History, span: FaultSpan, nodes: Sequence[str]) -> int:
    """How many of the nodes were down at the same moment, at most."""
    changes = [
        (line["t_ns"], name, change)
        for name in nodes
        for change, event in ((True, "exited"), (False, "ready"))
        for line in told(history, span, name, event)
    ]
    down: set[str] = set()
    most = 0
    for _, name, ended in sorted(changes):
        (down.add if ended else down.discard)(name)
        most = max(most, len(down))
    return most
