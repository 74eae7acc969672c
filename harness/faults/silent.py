"""Silent: a partition in which bytes are lost. Nobody is told; old connections end when it heals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from harness.faults._cut import Cut


@dataclass
class Silent(Cut):
    """Toxiproxy's timeout-0 toxics, both ways: what is sent is read and thrown away. A close still crosses."""

    kind: ClassVar[str] = "silent"

    async def inject(self) -> int:
        """The moment the proxy answered for the second way."""
        return await self.link(*self.key).cut("silent", "both")
