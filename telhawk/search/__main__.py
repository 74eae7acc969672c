"""`python -m telhawk.search`: ends at once when the broker is not there.

Without the measure drain it ends at once when told to, too, waiting for nothing.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from functools import partial
from typing import Protocol

import aiohttp

from telhawk import wire
from telhawk.calls import Caller, DirectCaller
from telhawk.events import process_failed
from telhawk.messaging import Client, MessagingError, Subscription
from telhawk.problems import AT_ONCE_S, serving
from telhawk.search.engine import Engine
from telhawk.search.routes import application
from telhawk.search.worker import AT_ONCE, PublishedStore, Store, Worker
from telhawk.settings import Measures, Settings, load
from telhawk.sight import Sight, voice_of_process
from telhawk.wiring import (
    Told,
    connect,
    effect_headers,
    guarded,
    make_on_broker,
    message_headers,
    protocol,
    refusals,
    told_by_signal,
)

# A job waits its turn; who asks synchronously does not, and web waits 1.7 s.
JOB_WITHIN_S, JOB_PATIENCE_S = 10.0, 5.0
ASKED_WITHIN_S, ASKED_AT_ONCE = 1.6, 64


class Ending(Protocol):
    """How the worker ends."""

    requests_s: float
    """How long requests in hand are waited for."""

    async def stop_taking(self) -> None:
        """Take no more jobs."""

    async def finish(self) -> None:
        """What there is to do once no request is in hand any more."""


class AtOnce:
    """Takes its subscription back, where there is one, and waits for nothing."""

    requests_s = AT_ONCE_S

    def __init__(self, subscription: Subscription | None) -> None:
        self._subscription = subscription

    async def stop_taking(self) -> None:
        """Unsubscribe."""
        if self._subscription is not None:
            await self._subscription.unsubscribe()

    async def finish(self) -> None:
        """Nothing."""


async def run(settings: Settings) -> None:
    """Serve until SIGTERM (raises Told). Raises MessagingError when the broker cannot be reached at start."""
    told = told_by_signal()
    sight = Sight(settings, "search")
    timeout = aiohttp.ClientTimeout(total=None)
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        aiohttp.ClientSession(timeout=timeout, connector=connector) as session,
        AsyncExitStack() as closing,
        asyncio.TaskGroup() as tasks,
    ):
        client = await connect(settings, "telhawk-search", tasks, sight.say)
        closing.push_async_callback(client.close)
        sight.watch_client(client)
        direct = sight.caller(DirectCaller(session))
        jobs = guarded(
            settings.measures,
            direct,
            partial(sight.watch_circuit, "jobs"),
            within_s=JOB_WITHIN_S,
            at_once=AT_ONCE,
            patience_s=JOB_PATIENCE_S,
        )
        asked = guarded(
            settings.measures,
            direct,
            partial(sight.watch_circuit, "asked"),
            within_s=ASKED_WITHIN_S,
            at_once=ASKED_AT_ONCE,
        )
        store = await _store(settings.measures, client, sight)
        worker = Worker(_engine(settings, jobs), store, tasks, say=sight.say)
        ending = await _take_jobs(settings, client, worker, tasks, sight)
        app = application(_engine(settings, asked), refusals(settings.measures))
        sight.show(app, tasks, ready="/readyz")
        answers = protocol(settings.measures)
        async with serving(app, settings.host, settings.port, finish_s=ending.requests_s, protocol=answers):
            await told.wait()
            await ending.stop_taking()
        await ending.finish()
        # Ends the tasks of what is in flight, and closes.
        raise Told


def _engine(settings: Settings, caller: Caller) -> Engine:
    return Engine(
        caller,
        settings.eventstore_url,
        replica=settings.replica,
        effect_headers=effect_headers(settings.measures),
    )


async def _store(measures: Measures, client: Client, sight: Sight) -> Store:
    if not measures.jetstream:
        return PublishedStore(sight.publisher(client), sight.headers)
    from telhawk.measures.jetstream import StreamPublisher, ensure_streams

    await make_on_broker(measures, client, lambda: ensure_streams(client))
    if not measures.results:
        return PublishedStore(sight.publisher(StreamPublisher(client)), message_headers(measures))
    from telhawk.measures.results import Bucket, BucketStore

    bucket = Bucket(client)
    await make_on_broker(measures, client, bucket.ensure)
    if not measures.dedup:
        return BucketStore(bucket.put, sight.publisher(client), sight.headers)
    from telhawk.measures.dedup import WriteOnce

    return BucketStore(WriteOnce(bucket).write, sight.publisher(client), sight.headers)


async def _take_jobs(
    settings: Settings, client: Client, worker: Worker, tasks: asyncio.TaskGroup, sight: Sight
) -> Ending:
    if not settings.measures.jetstream:
        if not settings.measures.drain:
            return AtOnce(await client.queue_subscribe(wire.JOBS, wire.WORKERS, sight.take(worker.take)))
        from telhawk.measures.drain import CoreJobs, InGoodOrder

        jobs = CoreJobs(client, worker, sight.take(worker.take))
        await jobs.subscribe()
        return InGoodOrder(client, worker, jobs.stop, tasks)
    from telhawk.measures.jetstream import JobConsumer, acknowledged_at_once

    handle = acknowledged_at_once(worker.answer)
    if settings.measures.acks:
        from telhawk.measures.acks import Acknowledger

        headers = message_headers(settings.measures)
        acknowledger = Acknowledger(client, worker, ack_wait_s=settings.ack_wait_s, headers=headers)
        await make_on_broker(settings.measures, client, acknowledger.prepare)
        tasks.create_task(acknowledger.run())
        handle = acknowledger.handle
    consumer = JobConsumer(client, worker.slots, sight.handle(handle), ack_wait_s=settings.ack_wait_s)
    tasks.create_task(consumer.run())
    if not settings.measures.drain:
        return AtOnce(None)
    from telhawk.measures.drain import InGoodOrder

    return InGoodOrder(client, worker, consumer.stop, tasks)


def main() -> None:
    """The process."""
    settings = load(port=8082)
    say = voice_of_process(settings, "search")
    code = 0
    try:
        asyncio.run(run(settings))
    except* Told:
        pass
    except* (MessagingError, OSError) as errors:
        say(process_failed("search", errors.exceptions[0]))
        code = 1
    sys.exit(code)


if __name__ == "__main__":
    main()
