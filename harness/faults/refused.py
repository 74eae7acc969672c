"""Refused: connections end, and new ones are refused, as by a host on which nobody listens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from harness.faults._cut import LinkFault
from harness.faults._evidence import connections_closed, fresh
from harness.history.reader import FaultSpan, History

SEEN_AS = ("ECONNREFUSED", "ECONNRESET", "EOF")
"""Through a published port of a container a refusal looks like one of the others."""


@dataclass
class Refused(LinkFault):
    """The link's proxy stops listening and closes all its connections; it listens again to heal."""

    kind: ClassVar[str] = "refused"

    async def inject(self) -> int:
        """The moment the proxy answered, with all connections closed."""
        return await self.link(*self.key).cut("refused")

    def evidence(self, history: History, span: FaultSpan) -> Mapping[str, float]:
        """The probe's fresh connections refused, every open one of others seen closed by the proxy."""
        seen = fresh(history, span, self.key, *SEEN_AS)
        were_open, closed = connections_closed(history, span)
        bit = seen["none_lived"] > 0 and closed == were_open
        return {**seen, "connections": were_open, "closed": closed, "bit": bit}
