"""jetstream: a message is published and its acknowledgement awaited.

The marker travels in the payload and in a header. Nothing is sent twice, and no message id asks the broker to tell
repeats apart. What became of the messages is read off the stream at the end (`_stream`), and seen by a consumer of our
own where the system file says `consume = true`.

Acknowledgements come to an inbox of ours, whose last word is the operation's number. nats-py's publish_async (2.16) is
half as fast, never answers an error reply of JetStream, and keeps its place in the limit when it raises; its publish
costs a task and a timer an operation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import nats.errors
from nats.aio.msg import Msg

from harness.load import outcomes
from harness.load._config import LoadConfig
from harness.load._operations import Operations
from harness.load.kinds._connection import Connection
from harness.load.kinds._consumer import Consumer
from harness.load.kinds._stream import read_stream
from harness.load.outcomes import Answer

HEADER = "Harness-Op"
_CONNECTS_WITHIN_S = 2.0


def make(
    workload: Mapping[str, Any], operations: Operations, config: LoadConfig, tasks: asyncio.TaskGroup
) -> JetStream:
    """The kind of one workload."""
    return JetStream(workload, operations, config, tasks)


class JetStream:
    """One workload of publishes; see `Kind`."""

    def __init__(
        self, workload: Mapping[str, Any], operations: Operations, config: LoadConfig, tasks: asyncio.TaskGroup
    ) -> None:
        self._operations, self._config, self._tasks = operations, config, tasks
        self._subject, self._stream = workload["publish"]["subject"], workload["stream"]
        self._answers_s = float(workload["answers_s"])
        url = workload["publish"]["url"]
        self._connection = Connection(url, config.connect, name="load", replied=self._replied, tasks=tasks)
        self._consumer = Consumer(self._connection, self._stream, operations) if workload.get("consume") else None
        self._running: list[asyncio.Task[None]] = []
        self._consuming: asyncio.Task[None] | None = None
        # n: when its time ends, and the connection's `lost` when it was sent; by deadline, since all have the same time
        self._waiting: dict[int, tuple[float, int]] = {}
        self._answered = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    async def start(self) -> None:
        """Connects; a broker that is not there yet is tried again and again meanwhile."""
        await self._connection.start(_CONNECTS_WITHIN_S)
        if not self._running:
            self._running = [self._tasks.create_task(self._expire())]
            if self._consumer:
                self._consuming = self._tasks.create_task(self._consumer.run())

    async def offer(self, intended_ns: int) -> None:
        """Publishes one message."""
        n = self._operations.begin(intended_ns)
        connection = self._connection
        if not connection.connected:
            self._operations.finish(n, outcomes.failed(outcomes.NOT_CONNECTED))
            return
        marker = self._operations.marker(n)
        payload, reply = b'{"op":"%s"}' % marker.encode(), f"{connection.inbox}.{n}"
        try:
            await connection.client.publish(self._subject, payload, reply, {HEADER: marker})
        except nats.errors.MaxPayloadError:
            self._operations.finish(n, outcomes.failed(outcomes.TOO_LARGE))
        except nats.errors.Error:  # raised before anything is written: closed, draining, disconnected
            self._operations.finish(n, outcomes.failed(outcomes.NOT_SENT))
        else:
            self._waiting[n] = (self._loop.time() + self._answers_s, connection.lost)

    async def settle(self) -> None:
        """Waits for the acknowledgements; each has its deadline."""
        while self._waiting:
            self._answered.clear()
            await self._answered.wait()

    async def final(self) -> None:
        """Reads the stream, past every proxy; one workload of several on a stream does it for all."""
        if self._consuming:
            self._consuming.cancel()
            await asyncio.wait([self._consuming])
        same = [name for name, other in self._config.workloads.items() if other.get("stream") == self._stream]
        if same[0] == self._operations.workload:
            await read_stream(self._config.direct, self._config.connect, self._stream, self._operations)

    async def close(self) -> None:
        """Closes the connection."""
        for task in self._running:
            task.cancel()
        await self._connection.close()

    async def _replied(self, message: Msg) -> None:
        self._finish(int(message.subject.rpartition(".")[2]), outcomes.jetstream(message.data))

    def _finish(self, n: int, answer: Answer) -> None:
        if self._waiting.pop(n, None) is not None:  # else it was given up before
            self._operations.finish(n, answer)
            self._answered.set()

    async def _expire(self) -> None:
        """Gives up what is past its deadline: one task for all, not a timer a publish."""
        while True:
            n, (deadline_s, lost) = next(iter(self._waiting.items()), (-1, (0.0, 0)))
            wait_s = deadline_s - self._loop.time() if n >= 0 else self._answers_s
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            else:
                closed = lost != self._connection.lost
                self._finish(n, outcomes.unknown(outcomes.CLOSED if closed else outcomes.TIMEOUT))
