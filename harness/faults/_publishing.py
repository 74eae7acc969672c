"""What the faults that publish share: messages of our own, recorded as operations of a writer of their own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic_ns
from typing import ClassVar

from harness.errors import HarnessError, UsageError
from harness.faults._base import Fault, LinkKey, OwnWay, now_ns
from harness.history.reader import FaultSpan, History
from harness.history.recorder import Recorder
from harness.history.rows import Operation, OpId, Outcome, marker

FIRST_WRITER = 1000
"""The writer of fault n is n more than this: above those of the load's processes."""


@dataclass
class Publishing(Fault):
    """Messages to one subject, from the harness' own connection. They hit no link, and leave nothing to heal."""

    LASTS: ClassVar[bool] = False
    subject: str | None = None
    """None: where the system's work is published, as its file tells (docs/faults.md)."""

    @property
    def target(self) -> str:
        """The subject."""
        return self.subject or self.stage.subject

    @property
    def links(self) -> Sequence[LinkKey]:
        """None: every link works on."""
        return ()

    @property
    def own(self) -> OwnWay:
        """The harness' own way to the broker."""
        assert self.stage.own is not None
        return self.stage.own

    def check(self) -> None:
        """Raises UsageError where neither the scenario nor the system file names a subject."""
        super().check()
        if not self.target or "*" in self.target or ">" in self.target:
            raise UsageError(
                f"{self.kind} has no subject to publish to",
                fix=f'name one, run.faults.{self.kind}(subject="orders.new"), or add a tap with step = "published"',
            )

    @abstractmethod
    async def inject(self) -> int:
        """Publishes; the moment at which the broker had answered for all of it."""

    async def heal(self) -> int:
        """There is nothing to undo."""
        return now_ns()

    @asynccontextmanager
    async def operations(self) -> AsyncIterator[Recorder]:
        """A recorder that is this fault's writer; its files are closed at the end."""
        history = self.stage.recorder
        name = f"{self.kind}-{self.id}"
        recorder = Recorder(history.folder, name=name, nonce=history.nonce, writer=FIRST_WRITER + self.id)
        try:
            yield recorder
        finally:
            recorder.close()

    async def offer(self, recorder: Recorder, size: int, send: Callable[[str], Awaitable[str]]) -> int:
        """One operation: `send` gets its marker. Ok where the broker took it, fail where it said no; when it answered.

        Raises HarnessError where the broker is not there.
        """
        n = recorder.begin(self.kind, monotonic_ns(), size=size)
        try:
            objection = await send(marker(recorder.nonce, OpId(FIRST_WRITER + self.id, n)))
        except OSError as error:
            recorder.finish(n, Outcome.UNKNOWN, error=str(error) or type(error).__name__)
            raise HarnessError(f"the broker does not answer us: {error!r}", where=self.target) from error
        recorder.finish(n, Outcome.FAIL if objection else Outcome.OK, error=objection)
        return now_ns()

    def published(self, history: History, span: FaultSpan) -> list[Operation]:
        """The operations of this fault's writer."""
        writer = FIRST_WRITER + span.id
        return [operation for operation in history.operations(self.kind) if operation.id.writer == writer]
