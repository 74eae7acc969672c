"""Frozen: a partition that TCP survives. Bytes are held and arrive late; connections live on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from harness.faults._cut import Cut


@dataclass
class Frozen(Cut):
    """SIGSTOP of the link's own proxy, SIGCONT to heal. Of one way: a rate of 0 in its gate."""

    kind: ClassVar[str] = "frozen"

    async def inject(self) -> int:
        """The moment at which all tasks of the proxy were in state T; of one way, at which it answered."""
        return await self.link(*self.key).cut("frozen", self.way)
