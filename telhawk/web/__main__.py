"""`python -m telhawk.web`: goes on without asynchronous queries when the broker is not there at start.

Without the measure drain it handles no signal: SIGTERM ends it as it is.
"""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial

import aiohttp

from telhawk import wire
from telhawk.calls import Caller, DirectCaller
from telhawk.events import no_broker, process_failed
from telhawk.messaging import PUBLISH_WITHIN_S, Client, MessagingError, OnePublish
from telhawk.problems import AT_ONCE_S, serving
from telhawk.settings import Measures, Settings, load
from telhawk.sight import Sight, voice_of_process
from telhawk.web.identity import Identity
from telhawk.web.queries import Deliver, DirectQueue, MemoryResults, Queries, Results, Sender
from telhawk.web.routes import Routes
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

RELAY_WITHIN_S = 2.0
# With these, a user has an answer within two seconds.
SEARCH_WITHIN_S, SEARCHES_AT_ONCE = 1.7, 64
AUTHENTICATE_WITHIN_S, VALIDATIONS_AT_ONCE = 1.5, 64
# A relay waits for the broker's circuit to close; a user does not.
RELAY_PATIENCE_S = 10.0


async def run(settings: Settings) -> None:
    """Serve for ever, or with drain until SIGTERM (raises Told).

    Raises OSError when the port cannot be had, sqlite3.Error when the outbox cannot be opened.
    """
    finish_s = AT_ONCE_S
    told = asyncio.Event()
    sight = Sight(settings, "web")
    finishing: list[Callable[[], Awaitable[None]]] = []
    if settings.measures.drain:
        from telhawk.measures import drain

        finish_s = drain.REQUESTS_WITHIN_S
        told = told_by_signal()
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
                client = await connect(settings, "telhawk-web", tasks, sight.say)
                closing.push_async_callback(client.close)
                sight.watch_client(client)
                queries = await _queries(settings, client, closing, tasks, finishing, sight)
                if settings.measures.drain:
                    finishing.append(lambda: drain.flush_and_close(client))
            except MessagingError as error:
                sight.say(no_broker(settings.nats_url, error))
        routes = _routes(settings, sight.caller(DirectCaller(session)), queries, sight)
        app = routes.application(refusals(settings.measures))
        sight.show(app, tasks, ready="/api/ready")
        answers = protocol(settings.measures)
        async with serving(app, settings.host, settings.port, finish_s=finish_s, protocol=answers):
            await told.wait()
        for finish in finishing:
            await finish()
        raise Told


def _routes(settings: Settings, direct: Caller, queries: Queries | None, sight: Sight) -> Routes:
    measures = settings.measures
    watch = sight.watch_circuit
    authenticate = guarded(
        measures,
        direct,
        partial(watch, "authenticate"),
        within_s=AUTHENTICATE_WITHIN_S,
        at_once=VALIDATIONS_AT_ONCE,
    )
    search = guarded(measures, direct, partial(watch, "search"), within_s=SEARCH_WITHIN_S, at_once=SEARCHES_AT_ONCE)
    if measures.retry:
        from telhawk.measures.retry import RetriedCaller

        search = RetriedCaller(search)
    identity = Identity(authenticate, settings.authenticate_url)
    return Routes(search, identity, settings.search_url, queries, effect_headers(measures))


async def _queries(
    settings: Settings,
    client: Client,
    closing: AsyncExitStack,
    tasks: asyncio.TaskGroup,
    finishing: list[Callable[[], Awaitable[None]]],
    sight: Sight,
) -> Queries:
    publisher = sight.publisher(await _publisher(settings, client))
    results = await _results(settings, client)
    headers = message_headers(settings.measures)
    if not settings.measures.outbox:
        sender = Sender(publisher, results, headers, within_s=PUBLISH_WITHIN_S)
        deliver = _guarded(settings.measures, sender.deliver, sight, patience_s=0.0)
        if settings.measures.retry:
            from telhawk.measures.retry import RetriedDelivery

            deliver = RetriedDelivery(deliver).deliver
        return Queries(DirectQueue(deliver, results), _readable(settings.measures, results, sight))
    from telhawk.measures.outbox import Outbox, steadily

    again = steadily
    if settings.measures.retry:
        from telhawk.measures.retry import relay

        again = relay
    sender = Sender(publisher, results, headers, within_s=RELAY_WITHIN_S)
    deliver = sight.deliver(_guarded(settings.measures, sender.deliver, sight, patience_s=RELAY_PATIENCE_S))
    outbox = await Outbox.open(settings.outbox, settings.outbox_limit, client, deliver, again)
    closing.callback(outbox.close)
    tasks.create_task(outbox.run())
    finishing.append(outbox.finish)
    sight.watch_outbox(outbox.depth)
    return Queries(sight.queue(outbox), _readable(settings.measures, results, sight))


def _guarded(measures: Measures, deliver: Deliver, sight: Sight, *, patience_s: float) -> Deliver:
    if not measures.breaker:
        return deliver
    from telhawk.measures.breaker import GuardedDelivery

    guard = GuardedDelivery(deliver, patience_s=patience_s)
    sight.watch_circuit("publish", guard.circuit)
    return guard.deliver


def _readable(measures: Measures, results: Results, sight: Sight) -> Results:
    if measures.breaker:
        from telhawk.measures.breaker import GuardedResults

        guard = GuardedResults(results)
        sight.watch_circuit("status", guard.circuit)
        results = guard
    if measures.retry:
        from telhawk.measures.retry import RetriedResults

        results = RetriedResults(results)
    return results


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
    # asyncio.run would turn SIGINT into a clean end; neither signal is handled unless drain handles both.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    say = voice_of_process(settings, "web")
    code = 0
    try:
        asyncio.run(run(settings))
    except* Told:
        pass
    except* (OSError, sqlite3.Error) as errors:
        say(process_failed("web", errors.exceptions[0]))
        code = 1
    sys.exit(code)


if __name__ == "__main__":
    main()
