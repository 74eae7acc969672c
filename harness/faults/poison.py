"""Poison: messages that no consumer can handle, put among the system's work by our own connection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from harness.errors import UsageError
from harness.faults._publishing import Publishing
from harness.history.reader import FaultSpan, History
from harness.history.rows import Outcome


@dataclass
class Poison(Publishing):
    """`times` messages with `payload`, in which `{op}` stands for our id; as it is, it is no JSON.

    Each is an operation of the workload "poison", so that what the system does with it is no phantom.
    """

    kind: ClassVar[str] = "poison"
    payload: str = "marker:{op}"
    times: int = 3

    @property
    def how(self) -> str:
        """How many, and of what."""
        return f"{self.times} times {self.payload!r:.60}"

    def check(self) -> None:
        """Raises UsageError for a payload without `{op}`, or fewer than one message."""
        super().check()
        if "{op}" not in self.payload or self.times < 1:
            raise UsageError(
                f"{self.times} messages {self.payload!r:.60} cannot be told from others",
                fix='at least one, with {op} in its payload: poison(payload="marker:{op}", times=3)',
            )

    async def inject(self) -> int:
        """The moment at which the broker had taken the last."""
        taken = 0
        async with self.operations() as recorder:
            for _ in range(self.times):
                taken = await self.offer(recorder, len(self.payload), self._send)
        return taken

    async def _send(self, marker: str) -> str:
        return await self.own.publish(self.target, self.payload.replace("{op}", marker).encode(), marker)

    def evidence(self, history: History, span: FaultSpan) -> Mapping[str, float]:
        """The broker took each, and each was delivered: sighted by an observer, or named in a service's output."""
        taken = {o.id for o in self.published(history, span) if o.outcome is Outcome.OK}
        seen = {sighting.op for sighting in history.sightings()} & taken
        unseen = {op: history.marker(op) for op in taken - seen}
        for line in history.lines("output") if unseen else ():
            seen |= {op for op, text in unseen.items() if text in line["text"]}
        return {"taken": len(taken), "delivered": len(seen), "bit": len(seen) == len(taken) == self.times}
