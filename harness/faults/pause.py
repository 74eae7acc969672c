"""Pause: SIGSTOP to every task of a node, SIGCONT to heal. Its kernel still accepts connections; nobody answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from harness.errors import HarnessError
from harness.faults._base import LinkKey, NodeFault
from harness.faults._evidence import crossed, silenced
from harness.history.reader import FaultSpan, History


@dataclass
class Pause(NodeFault):
    """A node stops running and keeps its connections."""

    kind: ClassVar[str] = "pause"

    @property
    def links(self) -> Sequence[LinkKey]:
        """As every fault's of a node. Raises HarnessError where no link leads to it."""
        keys = super().links
        if not keys:
            raise HarnessError(
                f"no link leads to {self.node.name}, so nothing could show that a pause of it bit",
                fix="pause a node that others call, or cut the link from this one",
            )
        return keys

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
