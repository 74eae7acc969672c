"""jetstream: a message is published and its acknowledgement awaited.

No message id asks the broker to tell repeats apart. What became of the messages is read off the stream at the end
(`_stream`), and seen by a consumer of our own where the system file says `consume = true`. Of several processes that
carry the load the first does both, for all.

nats-py's publish_async (2.16) is half as fast, never answers an error reply of JetStream, and keeps its place in the
limit when it raises.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from nats.aio.msg import Msg

from harness.load import outcomes
from harness.load._config import LoadConfig
from harness.load._operations import Operations
from harness.load.kinds._consumer import Consumer
from harness.load.kinds._publishing import Publishing
from harness.load.kinds._stream import Reading, read_stream
from harness.load.outcomes import Answer


def make(
    workload: Mapping[str, Any], operations: Operations, config: LoadConfig, tasks: asyncio.TaskGroup
) -> JetStream:
    """The kind of one workload."""
    return JetStream(workload, operations, config, tasks)


class JetStream(Publishing):
    """One workload of publishes to a stream; see `Kind`."""

    def __init__(
        self, workload: Mapping[str, Any], operations: Operations, config: LoadConfig, tasks: asyncio.TaskGroup
    ) -> None:
        super().__init__(workload, operations, config, tasks)
        self._config, self._stream = config, workload["stream"]
        # A system that lists its own effects is judged by those: the message is then none.
        self._counts = not workload.get("effects")
        self._acknowledgement = f'{{"stream":"{self._stream}",'.encode()
        self._existed = False  # the stream has acknowledged something
        consumes = workload.get("consume") and config.part == 0
        self._consumer = Consumer(self.connection, self._stream, operations, counts=self._counts) if consumes else None
        self._consuming: asyncio.Task[None] | None = None

    def answer(self, message: Msg) -> Answer:
        """JetStream's acknowledgement, or its error."""
        self._existed = self._existed or message.data.startswith(self._acknowledgement)
        return outcomes.jetstream(message.data)

    async def start(self) -> None:
        """Connects, and begins to consume."""
        await super().start()
        if self._consumer and self._consuming is None:
            self._consuming = self.tasks.create_task(self._consumer.run())

    async def final(self) -> None:
        """Reads the stream, past every proxy; one workload of several on a stream does it for all."""
        if self._consuming:
            self._consuming.cancel()
            await asyncio.wait([self._consuming])
        same = [name for name, other in self._config.workloads.items() if other.get("stream") == self._stream]
        if self._config.part == 0 and same[0] == self.operations.workload:
            seen = self._consumer.seen if self._consumer else ()
            reading = Reading(self._stream, self.operations, delivered=seen, counts=self._counts, existed=self._existed)
            await read_stream(self._config.direct, self._config.connect, reading)
