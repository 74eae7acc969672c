"""outbox: accepted work is on disk before the 202, and is relayed when the broker is there, even after a crash."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from telhawk.messaging import PUBLISH_WITHIN_S, Client, MessagingError
from telhawk.messaging.health import round_trip
from telhawk.web.queries import Deliver, Overloaded

IN_FLIGHT = 16
RETRY_S = 0.25
SWEEP_S = 0.25
FINISH_S = 2.0

Again = Callable[[Callable[[], Awaitable[None]]], Awaitable[None]]


async def steadily(deliver: Callable[[], Awaitable[None]]) -> None:
    """Try until it works, each time after the same pause."""
    while True:
        try:
            return await deliver()
        except MessagingError:
            await asyncio.sleep(RETRY_S)


class Outbox:
    """Accepted jobs that the broker has not acknowledged yet, oldest first. Built by `open`."""

    def __init__(self, path: str, limit: int, client: Client, deliver: Deliver, again: Again) -> None:
        self._path = path
        self._limit = limit
        self._client = client
        self._deliver = deliver
        self._again = again
        self._jobs: dict[str, bytes] = {}
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self._admitted = 0
        # SQLite waits for the disk, so it lives in a thread of its own, and one commit serves all who wait.
        self._thread = ThreadPoolExecutor(1, "outbox")
        self._turn = asyncio.Lock()
        self._new: list[tuple[str, bytes, asyncio.Future[None]]] = []
        self._sent: list[str] = []

    @classmethod
    async def open(cls, path: str, limit: int, client: Client, deliver: Deliver, again: Again = steadily) -> Outbox:
        """Open the file and take up what a former process left in it. Raises sqlite3.Error.

        `limit` jobs are held at most; `deliver` hands one to the broker or raises MessagingError, and `again` is how
        that is repeated until it works.
        """
        outbox = cls(path, limit, client, deliver, again)
        left = await asyncio.get_running_loop().run_in_executor(outbox._thread, outbox._open)
        outbox._jobs.update(left)
        outbox._admitted = len(left)
        for job_id in outbox._jobs:
            outbox._queue.put_nowait(job_id)
        return outbox

    def _open(self) -> list[tuple[str, bytes]]:
        self._database = sqlite3.connect(self._path)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")
        with self._database:
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS jobs"
                " (seq INTEGER PRIMARY KEY, job_id TEXT UNIQUE NOT NULL, job BLOB NOT NULL)"
            )
        return self._database.execute("SELECT job_id, job FROM jobs ORDER BY seq").fetchall()

    async def submit(self, job_id: str, job: bytes) -> None:
        """Return once the job is on disk. Raises Overloaded when the outbox is full, or the disk refuses."""
        if self._admitted >= self._limit:
            raise Overloaded(f"{self._limit} queries wait for the broker")
        self._admitted += 1
        written = asyncio.get_running_loop().create_future()
        self._new.append((job_id, job, written))
        async with self._turn:
            if not written.done():
                await self._commit()
        try:
            written.result()
        except sqlite3.Error as error:
            self._admitted -= 1
            raise Overloaded(f"the outbox cannot be written: {error}") from error
        self._jobs[job_id] = job
        self._queue.put_nowait(job_id)

    def close(self) -> None:
        """Close the file, after what is being written to it."""
        self._thread.submit(self._database.close)
        self._thread.shutdown()

    def depth(self) -> int:
        """How many jobs are accepted and not acknowledged by the broker yet."""
        return self._admitted

    def holds(self, job_id: str) -> bool:
        """Whether the job is accepted and not acknowledged by the broker yet."""
        return job_id in self._jobs

    async def run(self) -> None:
        """Relay for ever, oldest first, a bounded number at a time."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._sweep())
            while True:
                job_id = await self._queue.get()
                await self._slots.acquire()
                relay = tasks.create_task(self._relay(job_id))
                relay.add_done_callback(lambda _: self._slots.release())

    async def finish(self) -> None:
        """Wait for what is just being relayed, if the broker is there; all that is left stays on disk."""
        if self._client.is_connected():
            with suppress(TimeoutError):
                async with asyncio.timeout(FINISH_S):
                    for _ in range(IN_FLIGHT):  # and keep them: nothing more is relayed
                        await self._slots.acquire()
        async with self._turn:
            await self._commit()

    async def _relay(self, job_id: str) -> None:
        await self._again(lambda: self._relay_once(job_id))
        del self._jobs[job_id]
        self._admitted -= 1
        self._sent.append(job_id)

    async def _relay_once(self, job_id: str) -> None:
        await self._client.connected()
        await self._deliver(job_id, self._jobs[job_id])

    async def _sweep(self) -> None:
        # What was sent is deleted along with the next job that is written, or here.
        while True:
            await asyncio.sleep(SWEEP_S)
            async with self._turn:
                if self._sent:
                    await self._commit()

    async def _commit(self) -> None:
        new, self._new = self._new, []
        sent, self._sent = self._sent, []
        rows = [(job_id, job) for job_id, job, _ in new]
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._write, rows, sent)
        except sqlite3.Error as error:
            self._sent += sent
            for *_, written in new:
                written.set_exception(error)
        else:
            for *_, written in new:
                written.set_result(None)

    def _write(self, new: list[tuple[str, bytes]], sent: list[str]) -> None:
        with self._database:
            self._database.executemany("INSERT INTO jobs (job_id, job) VALUES (?, ?)", new)
            self._database.executemany("DELETE FROM jobs WHERE job_id = ?", [(job_id,) for job_id in sent])


class FlushedPublisher:
    """Publishes without a stream: what the broker has answered for has at least reached it."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def publish(
        self, subject: str, data: bytes, *, headers: Mapping[str, str] | None = None, within_s: float = PUBLISH_WITHIN_S
    ) -> None:
        """Return once a round trip behind the message has come back. Raises MessagingError."""
        await self._client.publish(subject, data, headers=headers, within_s=within_s)
        await round_trip(self._client, within_s=within_s)
