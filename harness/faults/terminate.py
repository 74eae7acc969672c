"""Terminate: a node is asked to stop, as a deployment does, and started again once it has ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from harness.faults._down import OneDown, told
from harness.history.reader import FaultSpan, History


@dataclass
class Terminate(OneDown):
    """The system file's stop signal, and SIGKILL to a node that outlives its grace. It ends when it likes until then.

    The node may still be at work when the body ends: healing waits for its end.
    """

    kind: ClassVar[str] = "terminate"

    async def inject(self) -> int:
        """The moment at which it was asked."""
        return await self.end(self.node, "terminate")

    def evidence(self, history: History, span: FaultSpan) -> Mapping[str, float]:
        """It was asked to stop, and ended: with which exit code, and how long after."""
        asked = told(history, span, self.node.name, "stopping")
        ends = told(history, span, self.node.name, "exited")
        if not asked or not ends:
            return {"asked": len(asked), "exits": len(ends), "bit": False}
        code = ends[0].get("code", -ends[0].get("signal", 0))
        took_s = (ends[0]["t_ns"] - asked[0]["t_ns"]) / 1e9
        return {"asked": len(asked), "exits": len(ends), "exit_code": code, "exit_s": round(took_s, 3), "bit": True}
