"""What the cuts of one link share; each kind of cut is a file of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.faults._base import Fault, LinkKey
from harness.faults._evidence import crossed, silenced
from harness.history.reader import FaultSpan, History
from harness.runtime.contract import Node


@dataclass
class LinkFault(Fault):
    """A fault of the link from `source` (a node, or None for the load) to `provider`."""

    source: Node | None
    provider: Node

    @property
    def key(self) -> LinkKey:
        """The link's two ends."""
        return (self.source.name if self.source else "load", self.provider.name)

    @property
    def target(self) -> str:
        """Both ends of the link."""
        return " - ".join(self.key)

    @property
    def links(self) -> Sequence[LinkKey]:
        """The one link."""
        return (self.key,)

    async def heal(self) -> int:
        """The moment at which the proxy's answer, or its state, said that the link was whole again."""
        return await self.link(*self.key).mend()


@dataclass
class Cut(LinkFault):
    """Nothing crosses the link, either way."""

    def evidence(self, history: History, span: FaultSpan) -> Mapping[str, float]:
        """The probe's records: none arrived, either way."""
        counts = crossed(history, span, self.key)
        return {**counts, "bit": silenced(counts)}
