"""Restart: a node ends and comes back with its storage, the broker as another version if asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from harness.errors import HarnessError
from harness.faults._down import How, OneDown, came_back, told
from harness.history.reader import FaultSpan, History


@dataclass
class Restart(OneDown):
    """Down while the body lasts. `version` is what the broker comes back as; None: the same."""

    kind: ClassVar[str] = "restart"
    by: How = "kill"
    version: str | None = None

    @property
    def how(self) -> str:
        """How it ends, and as what it comes back."""
        version = f", comes back as {self.version}" if self.version else ""
        return f"by {self.by}{version}, {super().how}"

    @property
    def comes_back_as(self) -> str | None:
        """The version asked for."""
        return self.version

    def check(self) -> None:
        """Raises HarnessError for a node that is down, and for a version of what is no broker."""
        super().check()
        if self.version is not None and self.node.role != "broker":
            raise HarnessError(f"{self.node.name} has no versions", fix="leave out version; the broker alone has them")

    async def inject(self) -> int:
        """The moment at which it was dead, or asked to stop."""
        return await self.end(self.node, self.by)

    def evidence(self, history: History, span: FaultSpan) -> Mapping[str, float]:
        """It ended and was ready again; a broker's monitoring tells of another life, and of the version asked for."""
        name = self.node.name
        ends = told(history, span, name, "exited" if self.by == "kill" else "stopping")
        again = came_back(history, span, name)
        found: dict[str, float] = {"ends": len(ends), "came_back": again}
        bit = bool(ends) and again > 0
        if self.node.role == "broker":
            lives = [line for line in history.lines("broker") if line["node"] == name]
            before = [line for line in lives if line["t_ns"] <= span.asked_ns][-1:]
            after = [line for line in lives if line["t_ns"] > (span.healed_ns or span.asked_ns)][:1]
            anew = bool(before and after) and before[0]["server"] != after[0]["server"]
            as_asked = bool(after) and self.version in (None, after[0]["version"])
            found |= {"another_life": anew, "version_as_asked": as_asked}
            bit = bit and anew and as_asked
        return {**found, "bit": bit}
