"""Reset: every connection of the link is cut off at both ends, idle ones too, as by a middlebox that forgot them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from harness.faults._base import now_ns
from harness.faults._cut import LinkFault
from harness.faults._evidence import RESET, connections_closed, fresh, window
from harness.history import probes
from harness.history.reader import FaultSpan, History

FAILED = ("Read Error", "Write Error")
"""Why a broker says that a reset connection ended; "Client Closed" is said of a clean end."""


@dataclass
class Reset(LinkFault):
    """The proxy's sockets are made to linger for 0 s (SO_LINGER), and closed; then it accepts again.

    `new="accepted"`: over at once, and healed when it accepted again. `new="reset"`: new connections are reset at their
    first byte as long as it lasts. A connection made in the few milliseconds meanwhile ends cleanly.
    """

    kind: ClassVar[str] = "reset"
    new: Literal["accepted", "reset"] = "accepted"
    _accepted_ns: int | None = field(default=None, init=False)

    @property
    def how(self) -> str:
        """What becomes of new connections."""
        return f"new connections {self.new}"

    async def inject(self) -> int:
        """The moment at which the proxy had closed every connection."""
        effective = await self.link(*self.key).cut("reset", new=self.new == "reset")
        self._accepted_ns = now_ns() if self.new == "accepted" else None
        return effective

    async def heal(self) -> int:
        """The moment at which connections were accepted again and lived."""
        mended = await super().heal()
        return self._accepted_ns or mended

    def evidence(self, history: History, span: FaultSpan) -> Mapping[str, float]:
        """The probe's old connection was reset, new ones if asked; all others closed, at a broker by an error."""
        _, end = window(history, span)
        ends = probes.ends(history, span.id, self.key, span.asked_ns, end)
        were_open, closed = connections_closed(history, span)
        seen: dict[str, float] = {"reset": ends.count(RESET), "connections": were_open, "closed": closed}
        bit = ends[:1] == [RESET] and closed == were_open
        if self.to_broker:
            seen["failed_at_broker"] = sum(
                line.get("reason") in FAILED and span.asked_ns <= line["t_ns"] <= end
                for line in history.lines("connection")
                if line["via"] == "connz" and (line["source"], line["target"]) == self.key
            )
            bit &= seen["failed_at_broker"] > were_open  # the probe's own is one more
        if self.new == "reset":
            seen |= fresh(history, span, self.key, RESET)
            bit &= seen["none_lived"] > 0
        return {**seen, "bit": bit}
