"""`python -m telhawk.web`: goes on without asynchronous queries when the broker is not there at start.

It handles no signal: SIGTERM ends it as it is.
"""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
from contextlib import AsyncExitStack

import aiohttp

from telhawk import wire
from telhawk.messaging import PUBLISH_WITHIN_S, Client, MessagingError, OnePublish
from telhawk.problems import serving
from telhawk.settings import Settings, load
from telhawk.web.identity import Identity
from telhawk.web.queries import DirectQueue, MemoryResults, Queries, Results, Sender
from telhawk.web.routes import Routes
from telhawk.wiring import connect, make_on_broker, message_headers

RELAY_WITHIN_S = 2.0


async def run(settings: Settings) -> None:
    """Serve for ever. Raises OSError when the port cannot be had, sqlite3.Error when the outbox cannot be opened."""
    timeout = aiohttp.ClientTimeout(total=None)
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        aiohttp.ClientSession(timeout=timeout, connector=connector) as session,
        AsyncExitStack() as closing,
        asyncio.TaskGroup() as tasks,
    ):
        queries = None
        if settings.nats_url:
            try:
                client = await connect(settings, "telhawk-web", tasks)
                closing.push_async_callback(client.close)
                queries = await _queries(settings, client, closing, tasks)
            except MessagingError as error:
                print(f"Warning: Failed to connect to NATS at {settings.nats_url}: {error}")
                print("Async query support will be disabled")
        routes = Routes(session, Identity(session, settings.authenticate_url), settings.search_url, queries)
        async with serving(routes.application(), settings.host, settings.port):
            await asyncio.Event().wait()


async def _queries(settings: Settings, client: Client, closing: AsyncExitStack, tasks: asyncio.TaskGroup) -> Queries:
    publisher = await _publisher(settings, client)
    results = await _results(settings, client)
    headers = message_headers(settings.measures)
    if not settings.measures.outbox:
        sender = Sender(publisher, results, headers, within_s=PUBLISH_WITHIN_S)
        return Queries(DirectQueue(sender, results), results)
    from telhawk.measures.outbox import Outbox

    sender = Sender(publisher, results, headers, within_s=RELAY_WITHIN_S)
    outbox = await Outbox.open(settings.outbox, settings.outbox_limit, client, sender.deliver)
    closing.callback(outbox.close)
    tasks.create_task(outbox.run())
    return Queries(outbox, results)


async def _publisher(settings: Settings, client: Client) -> OnePublish:
    if settings.measures.jetstream:
        from telhawk.measures.jetstream import StreamPublisher, ensure_streams

        await make_on_broker(settings.measures, client, lambda: ensure_streams(client))
        return StreamPublisher(client)
    if settings.measures.outbox:
        from telhawk.measures.outbox import FlushedPublisher

        return FlushedPublisher(client)
    return client


async def _results(settings: Settings, client: Client) -> Results:
    if settings.measures.results:
        from telhawk.measures.results import Bucket, BucketResults

        bucket = Bucket(client)
        await make_on_broker(settings.measures, client, bucket.ensure)
        return BucketResults(bucket)
    results = MemoryResults()
    await client.subscribe(f"{wire.RESULTS}.*", results.take)
    return results


def main() -> None:
    """The process."""
    settings = load(port=3000)
    # asyncio.run would turn SIGINT into a clean end; neither signal is handled here.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    code = 0
    try:
        asyncio.run(run(settings))
    except* (OSError, sqlite3.Error) as errors:
        print(f"web: {errors.exceptions[0]}", file=sys.stderr)
        code = 1
    sys.exit(code)


if __name__ == "__main__":
    main()
