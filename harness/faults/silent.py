"""Silent: a partition in which bytes are lost. Nobody is told; old connections end when it heals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from harness.faults._cut import Cut


@dataclass
class Silent(Cut):
    """Toxiproxy's timeout-0 toxics: what is sent that way is read and thrown away. A close still crosses."""

    kind: ClassVar[str] = "silent"

    async def inject(self) -> int:
        """The moment the proxy answered, of both ways for the second."""
        return await self.link(*self.key).cut("silent", self.way)
