"""jetstream: jobs and results are kept by streams, and a publish waits for the stream's acknowledgement."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import nats.js.errors
from nats.aio.client import Client as NatsConnection
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import AckPolicy, ConsumerConfig, RetentionPolicy, StatusCode, StorageType, StreamConfig

from telhawk import wire
from telhawk.messaging import PUBLISH_WITHIN_S, Client, MessagingError
from telhawk.messaging.nats import BROKER_ERRORS, deadline, reason

HOUR_S = 3600
MIB = 1024 * 1024
JOBS_STREAM = "SEARCH_JOBS"
STREAMS = (
    StreamConfig(
        name=JOBS_STREAM,
        subjects=["search.jobs.>"],
        max_age=HOUR_S,
        max_bytes=100 * MIB,
        max_msgs=10_000,
        retention=RetentionPolicy.WORK_QUEUE,
        storage=StorageType.FILE,
    ),
    StreamConfig(
        name="SEARCH_RESULTS",
        subjects=["search.results.>"],
        max_age=HOUR_S,
        max_bytes=500 * MIB,
        max_msgs=10_000,
        retention=RetentionPolicy.INTEREST,
        storage=StorageType.FILE,
    ),
)
MAX_ACK_PENDING = 100

# What a dead link swallows of a request for work costs those jobs one delivery and AckWait. So a request is for a few
# jobs, and ends at the broker within a second, before it could swallow the same job again.
BATCH = 10
PULL_S = 1.0
SILENT_S = 1.5
LOOK_S = 0.25
RETRY_S = 0.25
NEXT = f"$JS.API.CONSUMER.MSG.NEXT.{JOBS_STREAM}.{wire.WORKERS}"


async def ensure_streams(client: Client, streams: tuple[StreamConfig, ...] = STREAMS) -> None:
    """Create the streams that are not there yet; whoever comes first makes them. Raises MessagingError."""
    js = client.connection().jetstream(timeout=PUBLISH_WITHIN_S)
    try:
        await asyncio.gather(*(js.add_stream(stream) for stream in streams))
    except BROKER_ERRORS as error:
        raise MessagingError(f"streams: {reason(error)}") from error


class StreamPublisher:
    """Publishes to subjects that a stream keeps."""

    def __init__(self, client: Client, streams: tuple[StreamConfig, ...] = STREAMS) -> None:
        self._client = client
        self._streams = streams

    async def publish(
        self, subject: str, data: bytes, *, headers: Mapping[str, str] | None = None, within_s: float = PUBLISH_WITHIN_S
    ) -> None:
        """Return once the stream has acknowledged. Raises MessagingError."""
        try:
            async with deadline(within_s):
                js = self._client.connection().jetstream()
                await js.publish(subject, data, timeout=within_s, headers=dict(headers) if headers else None)
        except nats.js.errors.NoStreamResponseError as error:
            await ensure_streams(self._client, self._streams)
            raise MessagingError(f"publish to {subject}: there was no stream") from error
        except BROKER_ERRORS as error:
            raise MessagingError(f"publish to {subject}: {reason(error)}") from error


def acknowledged_at_once(answer: Callable[[bytes, int], Awaitable[None]]) -> Callable[[Msg], Awaitable[None]]:
    """Handle a job as if there were no acknowledgements: the broker may forget it as soon as it is here."""

    async def handle(msg: Msg) -> None:
        with suppress(*BROKER_ERRORS):
            await msg.ack()
        await answer(msg.data, msg.metadata.num_delivered)

    return handle


class JobConsumer:
    """Takes jobs from the durable pull consumer `search-workers`, as long as there are free slots.

    `handle` runs as a task for each job and settles it; what it raises is its own affair.
    """

    def __init__(
        self, client: Client, slots: asyncio.Semaphore, handle: Callable[[Msg], Awaitable[None]], *, ack_wait_s: float
    ) -> None:
        self._client = client
        self._slots = slots
        self._handle = handle
        self._config = ConsumerConfig(
            name=wire.WORKERS,
            durable_name=wire.WORKERS,
            filter_subject=wire.JOBS,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ack_wait_s,
            max_ack_pending=MAX_ACK_PENDING,
            # Tries are counted where they are made (acks): a job whose last try the broker counts out would stay in the
            # stream, delivered to nobody and reported to nobody.
            max_deliver=-1,
        )
        self._taking: asyncio.Task[None] | None = None
        self._stopped = False

    async def run(self) -> None:
        """Take jobs for ever; a lost connection or consumer is taken up again."""
        async with asyncio.TaskGroup() as jobs:
            self._taking = jobs.create_task(self._take_for_ever(jobs))

    async def stop(self) -> None:
        """Take no more jobs. What comes all the same goes back to the broker at once."""
        self._stopped = True
        if self._taking is not None:
            self._taking.cancel()
            await asyncio.wait({self._taking})

    async def _take_for_ever(self, jobs: asyncio.TaskGroup) -> None:
        while not self._stopped:
            connection = await self._client.connected()
            with suppress(MessagingError, *BROKER_ERRORS):
                await self._take(connection, jobs)
            await asyncio.sleep(RETRY_S)

    async def _take(self, connection: NatsConnection, jobs: asyncio.TaskGroup) -> None:
        """Pull until the connection is lost, the consumer gone, or the broker silent."""
        await ensure_streams(self._client)
        js = connection.jetstream(timeout=PUBLISH_WITHIN_S)
        await js.add_consumer(JOBS_STREAM, self._config)
        pull = _Pull(lambda msg: jobs.create_task(self._run(msg)))
        inbox = connection.new_inbox()
        subscription = await connection.subscribe(inbox, cb=pull.on_message)
        try:
            while pull.answered and connection.is_connected:
                slots = await self._free_slots()
                try:
                    await pull.ask(connection, inbox, slots)
                finally:
                    for _ in range(pull.unused):
                        self._slots.release()
        finally:
            if self._stopped:
                await pull.give_back(subscription)
            elif not connection.is_closed:
                await subscription.unsubscribe()

    async def _free_slots(self) -> int:
        await self._slots.acquire()
        free = 1
        while free < BATCH and not self._slots.locked():
            await self._slots.acquire()
            free += 1
        return free

    async def _run(self, msg: Msg) -> None:
        try:
            await self._handle(msg)
        finally:
            self._slots.release()


class _Pull:
    """One request for work after the other, on one inbox.

    nats-py's own fetch waits until its batch is full, and does not tell a broker that is silent (nats-io/nats.py#504)
    from one that has no work: the end of a request does.
    """

    def __init__(self, start: Callable[[Msg], object]) -> None:
        self._start = start
        self._ended = asyncio.Event()
        self._ended.set()
        self._giving_back = False
        self.unused = 0
        """How many of the jobs that were asked for have not come."""
        self.answered = True
        """Whether the last request was answered, by jobs or by the word that there are no more."""

    async def ask(self, connection: NatsConnection, inbox: str, batch: int) -> None:
        """Ask for `batch` jobs, and return when they have come, or no more will."""
        self.unused = batch
        self.answered = False
        self._ended.clear()
        try:
            request = wire.encode({"batch": batch, "expires": int(PULL_S * 1e9)})
            await connection.publish(NEXT, request, inbox)
            for _ in range(int(SILENT_S / LOOK_S)):
                if self._ended.is_set() or not connection.is_connected:
                    return
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._ended.wait(), LOOK_S)
        finally:
            self._ended.set()

    async def on_message(self, msg: Msg) -> None:
        """A job, or a word about the request."""
        if self._giving_back and msg.reply:
            with suppress(*BROKER_ERRORS):
                await msg.nak()
        if self._ended.is_set():
            return  # too late: it comes again after AckWait
        if msg.reply:
            self.unused -= 1
            self._start(msg)
            if self.unused == 0:
                self._end(answered=True)
        else:
            status = (msg.headers or {}).get("Status")
            self._end(answered=status in (StatusCode.NO_MESSAGES, StatusCode.REQUEST_TIMEOUT))

    async def give_back(self, subscription: Subscription) -> None:
        """End the subscription, and hand back what the broker had sent by then."""
        self._giving_back = True
        with suppress(*BROKER_ERRORS):
            async with asyncio.timeout(SILENT_S):
                await subscription.drain()  # type: ignore[no-untyped-call]

    def _end(self, *, answered: bool) -> None:
        self.answered = answered
        self._ended.set()
