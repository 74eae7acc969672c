"""Frozen: a partition that TCP survives. Bytes are held and arrive late; connections live on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from harness.faults._cut import Cut


@dataclass
class Frozen(Cut):
    """SIGSTOP of the link's own proxy, SIGCONT to heal."""

    kind: ClassVar[str] = "frozen"

    async def inject(self) -> int:
        """The moment at which all tasks of the proxy were in state T."""
        return await self.link(*self.key).cut("frozen", "both")
