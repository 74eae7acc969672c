"""A consumer of our own, over the load's link: each delivery is a sighting, and the first is the operation's result."""

from __future__ import annotations

import asyncio

import nats.errors
import nats.js.errors
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig

from harness.history.rows import Step, find_markers
from harness.load._operations import Operations
from harness.load.kinds._connection import Connection

SOURCE = "consumer"
_AT_ONCE = 256
_FETCH_S = 1.0
_AGAIN_S = 0.2
_ACK_WAIT_S = 5.0


class Consumer:
    """Takes every message of one stream and acknowledges it."""

    def __init__(self, connection: Connection, stream: str, operations: Operations, *, counts: bool) -> None:
        """`counts`: a message that is delivered is its operation's effect."""
        self._counts = counts
        self._connection, self._stream, self._operations = connection, stream, operations
        self._name = f"harness-{operations.recorder.nonce}-{operations.workload}"
        self.seen: set[int] = set()
        """The sequences that were delivered; each is an effect once, however often it was."""

    async def run(self) -> None:
        """Consumes until cancelled, over whatever client there is at the time."""
        while True:
            client = self._connection.client
            try:
                config = ConsumerConfig(ack_wait=_ACK_WAIT_S, max_ack_pending=-1)
                pull = await client.jetstream().pull_subscribe(
                    "", durable=self._name, stream=self._stream, config=config
                )
                while client is self._connection.client:
                    try:
                        messages = await pull.fetch(_AT_ONCE, timeout=_FETCH_S)
                    except nats.errors.TimeoutError:
                        continue
                    for message in messages:
                        await self._delivered(message)
            except (nats.errors.Error, OSError):
                await asyncio.sleep(_AGAIN_S)

    async def _delivered(self, message: Msg) -> None:
        operations = self._operations
        seq, attempt = message.metadata.sequence.stream, message.metadata.num_delivered or 0
        text = message.data.decode(errors="replace")
        ours = find_markers(operations.recorder.nonce, text).ours
        if len(ours) == 1:
            operations.sight(Step.DELIVERED, source=SOURCE, op=ours[0], seq=seq, attempt=attempt)
            if self._counts and seq not in self.seen:
                operations.sight(Step.EFFECT, source=SOURCE, op=ours[0], seq=seq)
            operations.sight(Step.RESULT, source=SOURCE, op=ours[0], seq=seq, attempt=attempt, proved=True)
        else:
            operations.line("phantom", source=SOURCE, text=text[:200])
        self.seen.add(seq)
        await message.ack()
