"""Packet loss: the kernel drops packets of a link, SYNs too. TCP sends again, later and later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from harness.faults._asked import within
from harness.faults._cut import WAYS, OneWayFault
from harness.faults._evidence import crossed, silenced
from harness.history.reader import FaultSpan, History

LEAST_DROPPED = 3
SHARE_DROPPED = (0.5, 1.5)
"""Of the share asked for, so much must have been dropped, and not more."""


@dataclass
class PacketLoss(OneWayFault):
    """An nftables rule in the hook `input`, between the source and the link's proxy. Needs root and nft.

    Loss of one way stalls the other too, but later: it goes on until TCP's window is full of what nobody acknowledged.
    """

    kind: ClassVar[str] = "packet_loss"
    share: float = 1.0

    @property
    def how(self) -> str:
        """Share and way."""
        return f"{self.share:.1%} of the packets, way {self.way}"

    def check(self) -> None:
        """Raises UsageError where it cannot be done."""
        super().check()
        within(self.kind, "share", self.share, 0.01, 1)
        self.link(*self.key).can_lose()

    async def inject(self) -> int:
        """The moment at which the rule was in the kernel."""
        return await self.link(*self.key).lose(self.share, self.way)

    def evidence(self, history: History, span: FaultSpan) -> Mapping[str, float]:
        """The rule's own counters; and the probe, of whose records none arrived that way if all were to be lost."""
        lost = [
            line
            for line in history.lines("link")
            if line["event"] == "lost"
            and (line["source"], line["target"]) == self.key
            and span.asked_ns <= line["t_ns"] <= (span.healed_ns or line["t_ns"])
        ]
        seen, dropped = sum(line["seen"] for line in lost), sum(line["dropped"] for line in lost)
        least, most = (self.share * seen * times for times in SHARE_DROPPED)
        bit = dropped >= LEAST_DROPPED and least <= dropped <= most
        counts = crossed(history, span, self.key)
        if self.share >= 1:
            bit &= silenced(counts, WAYS[self.way] if self.to_broker else ("round",))
        return {**counts, "seen": seen, "dropped": dropped, "bit": bit}
