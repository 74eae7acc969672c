"""Oversize: a message beyond what the broker takes, which it answers by an error and the end of the connection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from harness.errors import HarnessError
from harness.faults._publishing import Publishing
from harness.history.reader import FaultSpan, History
from harness.history.rows import Outcome

REFUSAL = "Maximum Payload"
"""How the broker's answer begins."""


@dataclass
class Oversize(Publishing):
    """One message that is a byte larger than the broker's max_payload, over our own connection.

    The broker judges by the size that is announced; the bytes themselves are not sent, lest its answer be lost.
    """

    kind: ClassVar[str] = "oversize"

    async def inject(self) -> int:
        """The moment at which the broker had answered."""
        try:
            largest = await self.own.largest()
        except OSError as error:
            raise HarnessError(f"the broker does not answer us: {error!r}", where=self.target) from error
        async with self.operations() as recorder:
            return await self.offer(recorder, largest + 1, lambda _: self.own.announce(self.target, largest + 1))

    def evidence(self, history: History, span: FaultSpan) -> Mapping[str, float]:
        """The broker refused it for its size."""
        sent = self.published(history, span)
        refused = [one for one in sent if one.outcome is Outcome.FAIL and one.error.startswith(REFUSAL)]
        largest = max((one.size for one in sent), default=0)
        return {"bytes": largest, "refused": len(refused), "bit": bool(refused)}
