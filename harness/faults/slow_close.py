"""Slow close: when one end of a connection closes, the other learns of it late."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import ClassVar

from harness.faults._asked import within
from harness.faults._cut import LinkFault
from harness.faults._evidence import LEAST_FRESH, SHARE_SEEN, window
from harness.history.reader import FaultSpan, History


@dataclass
class SlowClose(LinkFault):
    """Toxiproxy's toxic of that name, both ways: the proxy holds a close back for `delay_ms`."""

    kind: ClassVar[str] = "slow_close"
    EXAMPLE: ClassVar[Mapping[str, object]] = {"delay_ms": 300.0}
    delay_ms: float

    @property
    def how(self) -> str:
        """The delay."""
        return f"{self.delay_ms:g} ms"

    def check(self) -> None:
        """Raises UsageError for a delay that nobody could see."""
        super().check()
        within(self.kind, "delay_ms", self.delay_ms, 50, 60_000)

    async def inject(self) -> int:
        """The moment the proxy answered."""
        return await self.link(*self.key).impair("slow_close", {"delay": round(self.delay_ms)})

    def evidence(self, history: History, span: FaultSpan) -> Mapping[str, float]:
        """The probe's fresh connections, which it closes at once: how long the proxy had them, and had them before."""
        start, end = window(history, span)
        before = [lived for opened, lived in self._lives(history) if opened + lived < span.asked_ns]
        under = [lived for opened, lived in self._lives(history) if start <= opened and opened + lived <= end]
        if not before or len(under) < LEAST_FRESH:
            return {"fresh": len(under), "bit": 0.0}
        figures = {"before_ms": median(before) / 1e6, "under_ms": median(under) / 1e6, "fresh": float(len(under))}
        return {**figures, "bit": figures["under_ms"] - figures["before_ms"] >= SHARE_SEEN * self.delay_ms}

    def _lives(self, history: History) -> Iterator[tuple[int, int]]:
        """When the proxy accepted each of the probe's connections, and how many nanoseconds later it had ended."""
        opened: dict[str, int] = {}
        for line in history.lines("connection"):
            if line.get("probe") and line["via"] == "proxy" and (line["source"], line["target"]) == self.key:
                if line["event"] == "opened":
                    opened[line["client"]] = line["t_ns"]
                elif line["client"] in opened:
                    began = opened.pop(line["client"])
                    yield began, line["t_ns"] - began
