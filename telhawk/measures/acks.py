"""acks: a job is acknowledged once its result is kept, tried again when it failed, and given up after the third try.

A job that is given up goes to search.dlq.{reason}, kept by the stream SEARCH_DLQ.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import replace
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
# A result that cannot be kept is waited for until this delivery; then the letter goes without.
LAST_DELIVERY = 2 * MAX_DELIVER
# Of a query that is too long for the result that says it failed.
QUERY_KEPT = 1000

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
            job = _job(msg.data)
        except Malformed as error:
            self._worker.say(handler_failed(JOBS, error))
            await self._give_up(msg, "malformed", str(error), attempt)
            return
        if attempt > MAX_DELIVER:
            # The worker died, or was cut off, or could not keep the result and the letter.
            why = f"it was taken {MAX_DELIVER} times, and what became of it never reached the broker"
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
        # Whatever is published here has to fit into one message, with its header.
        most = self._client.connection().max_payload // 2
        if job is not None:
            await self._keep_failure(job, error, most, msg.metadata.num_delivered)
        now = datetime.now(UTC).isoformat()
        envelope, shortened = _envelope(msg.data, most)
        letter = {
            "timestamp": now,
            "envelope": envelope,
            "error": error,
            "reason": because,
            "attempts": attempts,
            "last_attempt": now,
            **({"shortened": True} if shortened else {}),
        }
        headers = self._headers(f"dead-{msg.metadata.sequence.stream}")
        await self._dead.publish(f"search.dlq.{because}", encode(letter), headers=headers)
        await self._settle(msg.reply, Msg.Ack.Term)

    async def _keep_failure(self, job: Job, error: str, most: int, delivery: int) -> None:
        result = Result.failed(job, error)
        if len(result.encode()) > most:
            result = replace(result, query=result.query[:QUERY_KEPT])
        try:
            await self._worker.store(job, result)
        except MessagingError:
            if delivery < LAST_DELIVERY:
                raise

    async def _settle(self, reply: str, verdict: bytes) -> None:
        # By the connection of the moment, which may be a newer one than the job came by. A word that is lost costs a
        # second delivery.
        with suppress(MessagingError):
            await self._client.publish(reply, verdict)


def _job(data: bytes) -> Job:
    """Raises Malformed, also where the result would lie among the letters."""
    job = Job.decode(data)
    if job.reply_to.startswith("search.dlq."):
        raise Malformed("reply_to: a result is no dead letter")
    return job


def _envelope(data: bytes, most: int) -> tuple[object, bool]:
    """What was sent, as JSON, or as text; whether it is only the beginning, since all of it is larger than `most`."""
    coding = "utf-8"
    with suppress(Malformed, RecursionError):
        value = parse(data)
        if len(encode([value])) <= most:
            return value, False
        coding = json.detect_encoding(data)
    whole = data.decode(coding, errors="replace")
    text = whole[:most]
    while len(encode(text)) > most:
        text = text[: len(text) // 2]
    return text, len(text) < len(whole)
