"""Kill: SIGKILL to a node, which is started again on the same addresses with what its disk holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from harness.faults._down import OneDown, told
from harness.faults._evidence import connections_closed
from harness.history.reader import FaultSpan, History


@dataclass
class Kill(OneDown):
    """A node dies at once."""

    kind: ClassVar[str] = "kill"

    async def inject(self) -> int:
        """SIGKILL; the moment the pidfd became readable. The runtime makes its links refuse."""
        return await self.end(self.node)

    def evidence(self, history: History, span: FaultSpan) -> Mapping[str, float]:
        """The exit by signal 9, and each connection that led to the node seen closed by its proxy."""
        exits = [line.get("signal") for line in told(history, span, self.node.name, "exited")]
        were_open, closed = connections_closed(history, span)
        bit = 9 in exits and closed == were_open
        return {"exits_by_signal_9": exits.count(9), "connections": were_open, "closed": closed, "bit": bit}
