"""Pause: SIGSTOP to every task of a node, SIGCONT to heal. Its kernel still accepts connections; nobody answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from harness.errors import HarnessError
from harness.faults._base import Fault, LinkKey, node_links
from harness.faults._evidence import crossed, silenced
from harness.history.reader import FaultSpan, History
from harness.runtime.contract import Node


@dataclass
class Pause(Fault):
    """A node stops running and keeps its connections."""

    kind: ClassVar[str] = "pause"
    node: Node

    @property
    def target(self) -> str:
        """The node's name."""
        return self.node.name

    @property
    def nodes(self) -> Sequence[str]:
        """The paused node."""
        return (self.node.name,)

    @property
    def links(self) -> Sequence[LinkKey]:
        """Every link that leads to the node, the entry's first."""
        keys = node_links(self.stage.runtime, self.node)
        if not keys:
            raise HarnessError(
                f"no link leads to {self.node.name}, so nothing could show that a pause of it bit",
                fix="pause a node that others call, or cut the link from this one",
            )
        return sorted(keys, key=lambda key: key[0] != self.stage.entry)

    def check(self) -> None:
        """Raises HarnessError where the node is down, or no link leads to it."""
        super().check()
        if not self.node.alive:
            raise HarnessError(f"{self.node.name} does not run, so it cannot be paused", fix="see its log")

    async def inject(self) -> int:
        """The moment at which all tasks were in state T."""
        return await self.node.pause()

    async def heal(self) -> int:
        """The moment at which all tasks ran again."""
        return await self.node.resume()

    def evidence(self, history: History, span: FaultSpan) -> Mapping[str, float]:
        """The probe's records through the entry's link to the node: none answered the whole time."""
        counts = crossed(history, span, self.links[0])
        return {**counts, "bit": silenced(counts)}
