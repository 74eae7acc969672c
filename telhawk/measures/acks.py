"""acks: a job is acknowledged once its result is kept, tried again when it failed, and given up after the third try.

A job that is given up goes to search.dlq.{reason}, kept by the stream SEARCH_DLQ.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime

from nats.aio.msg import Msg
from nats.js.api import RetentionPolicy, StorageType, StreamConfig

from telhawk.events import handler_failed
from telhawk.measures.jetstream import MIB, StreamPublisher, ensure_streams
from telhawk.messaging import Client, MessagingError
from telhawk.messaging.nats import reason
from telhawk.search.engine import EngineError, KeyReused
from telhawk.search.worker import Worker
from telhawk.wire import JOBS, Job, Malformed, Result, encode, parse
from telhawk.wiring import HeadersFor

MAX_DELIVER = 3
# The waits after the first and the second try that failed: an event store that is away for 4 s is survived.
BACKOFF_S = (1.0, 4.0)
# A job is kept from being delivered again for as long as it is worked on, up to the document's AckWait.
LONGEST_S = 30.0
# As JSON, in which a byte may need six.
ENVELOPE_MOST = 512 * 1024

DEAD_LETTERS = StreamConfig(
    name="SEARCH_DLQ",
    subjects=["search.dlq.>"],
    max_bytes=100 * MIB,
    retention=RetentionPolicy.LIMITS,
    storage=StorageType.FILE,
)


class Acknowledger:
    """Settles each job with the broker, by what became of it."""

    def __init__(
        self,
        client: Client,
        worker: Worker,
        *,
        ack_wait_s: float,
        headers: HeadersFor,
    ) -> None:
        self._client = client
        self._worker = worker
        self._ack_wait_s = ack_wait_s
        self._headers = headers
        self._dead = StreamPublisher(client, (DEAD_LETTERS,))
        self._in_hand: set[str] = set()

    async def prepare(self) -> None:
        """Create the stream of dead letters if it is not there. Raises MessagingError."""
        await ensure_streams(self._client, (DEAD_LETTERS,))

    async def run(self) -> None:
        """Tell the broker, three times in each AckWait, which jobs are still being worked on."""
        while True:
            await asyncio.sleep(self._ack_wait_s / 3)
            for reply in tuple(self._in_hand):
                await self._settle(reply, Msg.Ack.Progress)

    async def handle(self, msg: Msg) -> None:
        """Run one job and settle it."""
        self._in_hand.add(msg.reply)
        try:
            await self._handle(msg)
        except Exception as error:  # whatever one job does concerns no other; it comes again after AckWait
            self._worker.say(handler_failed(JOBS, reason(error)))
        finally:
            self._in_hand.discard(msg.reply)

    async def _handle(self, msg: Msg) -> None:
        attempt = msg.metadata.num_delivered
        try:
            job = Job.decode(msg.data)
        except Malformed as error:
            self._worker.say(handler_failed(JOBS, error))
            await self._give_up(msg, "malformed", str(error), attempt)
            return
        if attempt > MAX_DELIVER:
            # Every try ended without a word: the worker died, or was cut off, each time.
            why = "every worker that took it was lost"
            self._worker.say(handler_failed(JOBS, why))
            await self._give_up(msg, "max_deliver", why, MAX_DELIVER, job)
            return
        try:
            async with asyncio.timeout(LONGEST_S):
                await self._worker.store(job, await self._worker.run(job, attempt))
        except KeyReused as error:
            self._worker.say(handler_failed(JOBS, error))
            await self._give_up(msg, "id_reused", str(error), attempt)
        except (EngineError, MessagingError, TimeoutError) as error:
            why = reason(error)
            self._worker.say(handler_failed(JOBS, why))
            if attempt < MAX_DELIVER:
                delay_ns = int(BACKOFF_S[attempt - 1] * 1e9)
                await self._settle(msg.reply, Msg.Ack.Nak + b" " + encode({"delay": delay_ns}))
            else:
                await self._give_up(msg, "failed", why, attempt, job)
        else:
            await self._settle(msg.reply, Msg.Ack.Ack)

    async def _give_up(self, msg: Msg, because: str, error: str, attempts: int, job: Job | None = None) -> None:
        if job is not None:
            await self._worker.store(job, Result.failed(job, error))
        now = datetime.now(UTC).isoformat()
        letter = {
            "timestamp": now,
            "envelope": _envelope(msg.data),
            "error": error,
            "reason": because,
            "attempts": attempts,
            "last_attempt": now,
        }
        headers = self._headers(f"dead-{msg.metadata.sequence.stream}")
        await self._dead.publish(f"search.dlq.{because}", encode(letter), headers=headers)
        await self._settle(msg.reply, Msg.Ack.Term)

    async def _settle(self, reply: str, verdict: bytes) -> None:
        # By the connection of the moment, which may be a newer one than the job came by. A word that is lost costs a
        # second delivery.
        with suppress(MessagingError):
            await self._client.publish(reply, verdict)


def _envelope(data: bytes) -> object:
    """What was sent, as JSON, or as text; of what is too large for a letter, the beginning."""
    with suppress(Malformed, RecursionError):
        value = parse(data)
        if len(encode([value])) <= ENVELOPE_MOST:
            return value
    text = data[:ENVELOPE_MOST].decode(errors="replace")
    while len(encode(text)) > ENVELOPE_MOST:
        text = text[: len(text) // 2]
    return text
