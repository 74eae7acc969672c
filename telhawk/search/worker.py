"""A worker: runs jobs as they come, each as a task, a bounded number at once."""

from __future__ import annotations

import asyncio
from typing import Protocol

from telhawk.events import Say, handler_failed, plainly
from telhawk.messaging import Message, OnePublish
from telhawk.search.engine import Engine, EngineError
from telhawk.wire import JOBS, Job, Result
from telhawk.wiring import HeadersFor

AT_ONCE = 64


class Store(Protocol):
    """Where results go."""

    async def store(self, job: Job, result: Result) -> None:
        """Raises MessagingError."""


class PublishedStore:
    """Results are published, and kept by nobody."""

    def __init__(self, publisher: OnePublish, headers: HeadersFor) -> None:
        self._publisher = publisher
        self._headers = headers

    async def store(self, job: Job, result: Result) -> None:
        """Publish to the subject that the job names."""
        await self._publisher.publish(job.reply_to, result.encode(), headers=self._headers(job.job_id))


class Worker:
    """Runs a job and stores its result."""

    def __init__(self, engine: Engine, store: Store, tasks: asyncio.TaskGroup, *, say: Say = plainly) -> None:
        self._engine = engine
        self._store = store
        self._tasks = tasks
        self.say = say
        self.at_once = AT_ONCE
        self.slots = asyncio.Semaphore(AT_ONCE)
        """One for each job that may run at this moment."""

    async def run(self, job: Job, attempt: int) -> Result:
        """Ask the event store. Raises EngineError, KeyReused."""
        return await self._engine.run(job, attempt)

    async def store(self, job: Job, result: Result) -> None:
        """Keep the result where results go. Raises MessagingError."""
        await self._store.store(job, result)

    async def take(self, message: Message) -> None:
        """Start on a job as soon as there is a slot for it."""
        await self.slots.acquire()
        self._tasks.create_task(self._take(message.data))

    async def _take(self, data: bytes) -> None:
        try:
            await self.answer(data, 1)
        finally:
            self.slots.release()

    async def answer(self, data: bytes, attempt: int) -> None:
        """Run a job once, and answer that it failed if it did."""
        try:
            job = Job.decode(data)
            try:
                result = await self.run(job, attempt)
            except EngineError as error:
                result = Result.failed(job, str(error))
            await self.store(job, result)
        except Exception as error:  # whatever one job does concerns no other
            self.say(handler_failed(JOBS, error or type(error).__name__))
