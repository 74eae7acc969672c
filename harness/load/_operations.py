"""What every kind of workload shares: operations begun and finished in the history, counted, and bounded in flight."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from harness.errors import HistoryError
from harness.history.clock import now_ns
from harness.history.recorder import Recorder
from harness.history.rows import OpId, Step
from harness.load._reporter import Reporter
from harness.load.outcomes import Answer
from harness.verdict import Doubt

PADDING = "x"
"""The letter of which {pad} is made."""


class Flight:
    """How many operations of the load are in flight; a guard of our own memory, not a pace.

    If it ever bites, arrivals wait and a trouble says so.
    """

    def __init__(self, most: int, recorder: Recorder) -> None:
        self._most, self._recorder = most, recorder
        self._count = 0
        self._room = asyncio.Event()
        self._told = False

    async def room(self) -> None:
        """Waits until another operation may begin."""
        while self._count >= self._most:
            if not self._told:
                self._told = True
                detail = f"{self._most} operations in flight: arrivals wait"
                with suppress(HistoryError):
                    self._recorder.line("trouble", name=Doubt.LOAD_BEHIND, detail=detail)
            self._room.clear()
            await self._room.wait()

    def add(self) -> None:
        """An operation has begun."""
        self._count += 1

    def remove(self) -> None:
        """An operation has finished."""
        self._count -= 1
        self._room.set()


class Sightings:
    """What is seen of the operations of one workload, by those who look after them in the load's own process."""

    def __init__(self, workload: str, recorder: Recorder) -> None:
        self.workload, self.recorder = workload, recorder
        self._marker = f"{recorder.nonce}-{recorder.writer}-"
        self.padding = ""

    def sight(
        self,
        step: Step,
        *,
        source: str,
        op: OpId,
        ref: str = "",
        seq: int = 0,
        attempt: int = 0,
        proved: bool = False,
    ) -> None:
        """Records that an operation is seen, now."""
        with suppress(HistoryError):  # a full disk, of which the files' headers tell; the load goes on to its end
            self.recorder.sight(
                step, t_ns=now_ns(), source=source, op=op, ref=ref, seq=seq, attempt=attempt, proved=proved
            )

    def line(self, kind: str, /, **fields: Any) -> None:
        """Records a line of one of the history's kinds."""
        with suppress(HistoryError):
            self.recorder.line(kind, **fields)

    def pad(self, letters: int) -> None:
        """From now on so many letters stand for {pad}."""
        self.padding = PADDING * letters

    def marker(self, n: int) -> str:
        """The text that travels with operation n: {op}."""
        return f"{self._marker}{n}"

    def id(self, n: int) -> OpId:
        """The operation's id in the history."""
        return OpId(self.recorder.writer or 0, n)


class Operations(Sightings):
    """The operations of one workload."""

    def __init__(self, kind: str, workload: str, *, recorder: Recorder, reporter: Reporter, flight: Flight) -> None:
        super().__init__(workload, recorder)
        self.kind = kind
        self._reporter, self._flight = reporter, flight
        self._started: dict[int, int] = {}  # n of what is in flight: start_ns

    def begin(self, intended_ns: int, *, size: int = 0) -> int:
        """Begins one; it is in the history, as unknown, before the first byte is sent. Raises HistoryError."""
        n = self.recorder.begin(self.workload, intended_ns, size=size)
        self._started[n] = now_ns()
        self._flight.add()
        return n

    def finish(self, n: int, answer: Answer) -> None:
        """Finishes operation n, once."""
        self.recorder.finish(
            n,
            answer.outcome,
            ref=answer.ref,
            seq=answer.seq,
            status=answer.status,
            error=answer.error,
            duplicate=answer.duplicate,
        )
        response_ms = (now_ns() - self._started.pop(n)) / 1e6
        self._flight.remove()
        self._reporter.add(self.kind, self.workload, response_ms, answer)

    @property
    def in_flight(self) -> int:
        """How many are begun and not finished."""
        return len(self._started)
