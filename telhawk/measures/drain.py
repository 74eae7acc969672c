"""drain: who is told to stop takes nothing more, finishes what is in hand, flushes, closes, and exits 0."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING

from telhawk.messaging import Client, Message, MessageHandler, MessagingError, Subscription
from telhawk.wire import JOBS, WORKERS

if TYPE_CHECKING:
    from telhawk.search.worker import Worker

# Together less than the ten seconds of grace.
REQUESTS_WITHIN_S = 3.0
JOBS_WITHIN_S = 6.0
FLUSHES_WITHIN_S = 2.0
BEGINS_WITHIN_S = 0.2


async def flush_and_close(client: Client) -> None:
    """Hand over what the client still keeps, if the broker is there or comes within two seconds, and close."""
    with suppress(MessagingError, TimeoutError):
        async with asyncio.timeout(FLUSHES_WITHIN_S):
            await client.connected()
            await client.drain()


class InGoodOrder:
    """How a worker ends: `stop` makes it take nothing more."""

    requests_s = REQUESTS_WITHIN_S

    def __init__(
        self, client: Client, worker: Worker, stop: Callable[[], Coroutine[None, None, None]], tasks: asyncio.TaskGroup
    ) -> None:
        self._client = client
        self._worker = worker
        self._stop = stop
        self._tasks = tasks
        self._stopping: asyncio.Task[None] | None = None
        self._until = 0.0

    async def stop_taking(self) -> None:
        """Begin to stop; returns at once."""
        self._until = asyncio.get_running_loop().time() + JOBS_WITHIN_S
        self._stopping = self._tasks.create_task(self._stop())

    async def finish(self) -> None:
        """Wait for the jobs in hand, then flush and close."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._until):
                if self._stopping is not None:
                    await asyncio.wait({self._stopping})
                for _ in range(self._worker.at_once):  # each slot comes back once what ran in it is done
                    await self._worker.slots.acquire()
        await flush_and_close(self._client)


class CoreJobs:
    """Jobs of a plain subscription. What has come and can begin no more is published again, for a peer."""

    def __init__(self, client: Client, worker: Worker, begin: MessageHandler) -> None:
        self._client = client
        self._worker = worker
        self._begin = begin
        self._subscription: Subscription | None = None
        self._over = asyncio.Event()

    async def subscribe(self) -> None:
        """Raises MessagingError."""
        self._subscription = await self._client.queue_subscribe(JOBS, WORKERS, self.take)

    async def take(self, message: Message) -> None:
        """Start on a job as soon as there is a slot for it, or give it back."""
        slots = self._worker.slots
        if slots.locked() and not self._over.is_set():
            freed = asyncio.create_task(slots.acquire())
            over = asyncio.create_task(self._over.wait())
            await asyncio.wait({freed, over}, return_when=asyncio.FIRST_COMPLETED)
            over.cancel()
            if freed.done():
                slots.release()
            else:
                freed.cancel()
        if self._over.is_set():
            await self._client.publish_msg(message)
        else:
            await self._begin(message)

    async def stop(self) -> None:
        """Take the interest back, and see off what has come."""
        asyncio.get_running_loop().call_later(BEGINS_WITHIN_S, self._over.set)
        if self._subscription is not None:
            await self._subscription.drain()
