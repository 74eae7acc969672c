"""Asynchronous queries: from a submit to the status of its result."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from telhawk.messaging import Message, MessagingError, OnePublish
from telhawk.wire import JOBS, Job, Query, Result
from telhawk.wiring import HeadersFor

KEPT_S = 300.0

Deliver = Callable[[str, bytes], Awaitable[None]]
"""Hands a job to the broker, by its id. Raises MessagingError."""


class Overloaded(Exception):
    """Nothing more is accepted for now; the message says why."""


class Results(Protocol):
    """What is known of jobs."""

    async def expect(self, job_id: str) -> None:
        """From now on the job is known. May be said twice. Raises MessagingError."""

    async def forget(self, job_id: str) -> None:
        """The job was not accepted after all."""

    async def find(self, job_id: str) -> Result | None:
        """The result, or None while there is none. Raises KeyError for an unknown job, MessagingError."""


class Queue(Protocol):
    """Where accepted jobs go."""

    async def submit(self, job_id: str, job: bytes) -> None:
        """Accept a job. Raises Overloaded or MessagingError."""

    def holds(self, job_id: str) -> bool:
        """Whether the job has been accepted and is still here."""


class MemoryResults:
    """Results in memory, for five minutes."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, Result | None]] = {}

    async def take(self, message: Message) -> None:
        """A result has come from the broker."""
        result = Result.decode(message.data)
        self._keep(result.job_id, result)

    async def expect(self, job_id: str) -> None:
        """Remember that the job was submitted."""
        if job_id not in self._known:
            self._keep(job_id, None)

    async def forget(self, job_id: str) -> None:
        """Its submit failed."""
        self._known.pop(job_id, None)

    async def find(self, job_id: str) -> Result | None:
        """What is remembered."""
        self._expire()
        return self._known[job_id][1]

    def _keep(self, job_id: str, result: Result | None) -> None:
        self._expire()
        self._known.pop(job_id, None)
        self._known[job_id] = (time.monotonic() + KEPT_S, result)

    def _expire(self) -> None:
        now = time.monotonic()
        # The oldest come first.
        for job_id in [job_id for job_id, _ in zip(self._known, range(16), strict=False)]:
            if self._known[job_id][0] > now:
                break
            del self._known[job_id]


class Sender:
    """Hands jobs to the broker."""

    def __init__(self, publisher: OnePublish, results: Results, headers: HeadersFor, *, within_s: float) -> None:
        self._publisher = publisher
        self._results = results
        self._headers = headers
        self._within_s = within_s

    async def deliver(self, job_id: str, job: bytes) -> None:
        """Make the job known, and publish it. Raises MessagingError."""
        await self._results.expect(job_id)
        await self._publisher.publish(JOBS, job, headers=self._headers(job_id), within_s=self._within_s)


class DirectQueue:
    """A job is accepted when it has been published."""

    def __init__(self, deliver: Deliver, results: Results) -> None:
        self._deliver = deliver
        self._results = results

    async def submit(self, job_id: str, job: bytes) -> None:
        """Publish. Raises MessagingError."""
        try:
            await self._deliver(job_id, job)
        except MessagingError:
            await self._results.forget(job_id)
            raise

    def holds(self, job_id: str) -> bool:
        """Nothing stays here."""
        return False


class Queries:
    """What the routes of asynchronous queries stand on."""

    def __init__(self, queue: Queue, results: Results) -> None:
        self._queue = queue
        self._results = results

    async def submit(self, job_id: str, query: Query) -> None:
        """Accept a query under a new id. Raises Overloaded or MessagingError."""
        await self._queue.submit(job_id, Job.of(job_id, query).encode())

    async def status(self, job_id: str) -> Result | None:
        """The result, or None while it is pending. Raises KeyError for an unknown job, MessagingError."""
        if self._queue.holds(job_id):
            return None
        return await self._results.find(job_id)
