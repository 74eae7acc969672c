"""What the kinds that publish over NATS share: one connection of the load's, and the message of one operation.

The marker travels in the payload and in a header. Nothing is sent twice. Answers come to an inbox of ours, whose last
word is the operation's number; nats-py's own requests cost a task and a timer each.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, ClassVar

import nats.errors
from nats.aio.msg import Msg

from harness.load import outcomes
from harness.load._config import OP, PAD, LoadConfig
from harness.load._operations import Operations
from harness.load.kinds._connection import Connection
from harness.load.outcomes import Answer

HEADER = "Harness-Op"
_CONNECTS_WITHIN_S = 2.0


class Message:
    """A rendered `publish` table: what is published for one operation."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        self.subject: str = table["subject"]
        text = table.get("payload")
        if text is None:
            text = json.dumps(table.get("json", {"op": OP}), separators=(",", ":"), ensure_ascii=False)
            text = text.replace(json.dumps(OP)[1:-1], OP).replace(json.dumps(PAD)[1:-1], PAD)
        self._pieces, self._padded = text.encode().split(OP.encode()), PAD in text
        self._headers: dict[str, str] = dict(table.get("headers") or {})

    def payload(self, marker: str, padding: str = "") -> bytes:
        """Its bytes."""
        payload = marker.encode().join(self._pieces)
        return payload.replace(PAD.encode(), padding.encode()) if self._padded else payload

    def headers(self, marker: str) -> dict[str, str]:
        """Its headers, the marker's among them."""
        return {**{name: text.replace(OP, marker) for name, text in self._headers.items()}, HEADER: marker}


class Publishing:
    """One workload of messages; see `Kind`."""

    answered: ClassVar[bool] = True
    """Whether an answer is awaited; if not, a message that was handed to the client is done."""

    def __init__(
        self, workload: Mapping[str, Any], operations: Operations, config: LoadConfig, tasks: asyncio.TaskGroup
    ) -> None:
        self.operations, self.tasks = operations, tasks
        self._message = Message(workload["publish"])
        self._answers_s = float(workload["answers_s"])
        url = workload["publish"]["url"]
        self.connection = Connection(url, config.connect, name="load", replied=self._replied, tasks=tasks)
        self._expiring: asyncio.Task[None] | None = None
        # n: when its time ends, and the connection's `lost` when it was sent; by deadline, since all have the same time
        self._waiting: dict[int, tuple[float, int]] = {}
        self._finished = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def answer(self, message: Msg) -> Answer:
        """What a message to our inbox means; a kind that awaits no answer says nothing of it."""
        return outcomes.unknown(outcomes.BAD_ANSWER)

    async def start(self) -> None:
        """Connects; a broker that is not there yet is tried again and again meanwhile."""
        await self.connection.start(_CONNECTS_WITHIN_S)
        if self._expiring is None:
            self._expiring = self.tasks.create_task(self._expire())

    async def offer(self, intended_ns: int) -> None:
        """Publishes one message."""
        n = self.operations.begin(intended_ns)
        connection = self.connection
        if not connection.connected:
            self.operations.finish(n, outcomes.failed(outcomes.NOT_CONNECTED))
            return
        marker = self.operations.marker(n)
        reply = f"{connection.inbox}.{n}" if self.answered else ""
        try:
            payload, headers = self._message.payload(marker, self.operations.padding), self._message.headers(marker)
            await connection.client.publish(self._message.subject, payload, reply, headers)
        except nats.errors.MaxPayloadError:
            self.operations.finish(n, outcomes.failed(outcomes.TOO_LARGE))
        except nats.errors.Error:  # raised before anything is written: closed, draining, disconnected
            self.operations.finish(n, outcomes.failed(outcomes.NOT_SENT))
        else:
            if self.answered:
                self._waiting[n] = (self._loop.time() + self._answers_s, connection.lost)
            else:
                self.operations.finish(n, outcomes.handed_over())

    async def settle(self) -> None:
        """Waits for the answers; each has its deadline."""
        while self._waiting:
            self._finished.clear()
            await self._finished.wait()

    async def final(self) -> None:
        """Nothing: nobody is asked what became of a message."""

    async def close(self) -> None:
        """Closes the connection."""
        if self._expiring:
            self._expiring.cancel()
        await self.connection.close()

    async def _replied(self, message: Msg) -> None:
        self._finish(int(message.subject.rpartition(".")[2]), self.answer(message))

    def _finish(self, n: int, answer: Answer) -> None:
        if self._waiting.pop(n, None) is not None:  # else it was given up before
            self.operations.finish(n, answer)
            self._finished.set()

    async def _expire(self) -> None:
        """Gives up what is past its deadline: one task for all, not a timer a publish."""
        while True:
            n, (deadline_s, lost) = next(iter(self._waiting.items()), (-1, (0.0, 0)))
            wait_s = deadline_s - self._loop.time() if n >= 0 else self._answers_s
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            else:
                closed = lost != self.connection.lost
                self._finish(n, outcomes.unknown(outcomes.CLOSED if closed else outcomes.TIMEOUT))
