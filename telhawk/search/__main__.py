"""`python -m telhawk.search`: ends at once when the broker is not there, or when told to, waiting for nothing."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import AsyncExitStack

import aiohttp

from telhawk import wire
from telhawk.messaging import Client, MessagingError, Subscription
from telhawk.problems import serving
from telhawk.search.engine import Engine
from telhawk.search.routes import application
from telhawk.search.worker import PublishedStore, Store, Worker
from telhawk.settings import Measures, Settings, load
from telhawk.wiring import connect, effect_headers, make_on_broker, message_headers, no_headers


class _Told(Exception):
    """SIGTERM came."""


async def run(settings: Settings) -> None:
    """Serve until SIGTERM. Raises MessagingError when the broker cannot be reached at start."""
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    timeout = aiohttp.ClientTimeout(total=None)
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        aiohttp.ClientSession(timeout=timeout, connector=connector) as session,
        AsyncExitStack() as closing,
        asyncio.TaskGroup() as tasks,
    ):
        client = await connect(settings, "telhawk-search", tasks)
        closing.push_async_callback(client.close)
        engine = Engine(
            session,
            settings.eventstore_url,
            replica=settings.replica,
            effect_headers=effect_headers(settings.measures),
        )
        worker = Worker(engine, await _store(settings.measures, client), tasks)
        subscription = await _take_jobs(settings, client, worker, tasks)
        async with serving(application(engine), settings.host, settings.port):
            await told.wait()
            if subscription is not None:
                await subscription.unsubscribe()
            # Ends the tasks of what is in flight, and closes.
            raise _Told


async def _store(measures: Measures, client: Client) -> Store:
    if not measures.jetstream:
        return PublishedStore(client, no_headers)
    from telhawk.measures.jetstream import StreamPublisher, ensure_streams

    await make_on_broker(measures, client, lambda: ensure_streams(client))
    if not measures.results:
        return PublishedStore(StreamPublisher(client), message_headers(measures))
    from telhawk.measures.results import Bucket, BucketStore

    bucket = Bucket(client)
    await make_on_broker(measures, client, bucket.ensure)
    if not measures.dedup:
        return BucketStore(bucket.put, client)
    from telhawk.measures.dedup import WriteOnce

    return BucketStore(WriteOnce(bucket).write, client)


async def _take_jobs(
    settings: Settings, client: Client, worker: Worker, tasks: asyncio.TaskGroup
) -> Subscription | None:
    if not settings.measures.jetstream:
        return await client.queue_subscribe(wire.JOBS, wire.WORKERS, worker.take)
    from telhawk.measures.jetstream import JobConsumer, acknowledged_at_once

    handle = acknowledged_at_once(worker.answer)
    if settings.measures.acks:
        from telhawk.measures.acks import Acknowledger

        headers = message_headers(settings.measures)
        acknowledger = Acknowledger(client, worker, ack_wait_s=settings.ack_wait_s, headers=headers)
        await make_on_broker(settings.measures, client, acknowledger.prepare)
        tasks.create_task(acknowledger.run())
        handle = acknowledger.handle
    tasks.create_task(JobConsumer(client, worker.slots, handle, ack_wait_s=settings.ack_wait_s).run())
    return None


def main() -> None:
    """The process."""
    settings = load(port=8082)
    code = 0
    try:
        asyncio.run(run(settings))
    except* _Told:
        pass
    except* (MessagingError, OSError) as errors:
        print(f"search: {errors.exceptions[0]}", file=sys.stderr)
        code = 1
    sys.exit(code)


if __name__ == "__main__":
    main()
