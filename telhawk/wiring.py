"""What both services on the broker decide by the measures: which client, and which headers."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web
from aiohttp.typedefs import Middleware

from telhawk.calls import Caller
from telhawk.circuit import Circuit
from telhawk.events import Say, plainly
from telhawk.messaging import Client
from telhawk.messaging.nats import NatsClient, NatsConfig
from telhawk.problems import plain_refusals
from telhawk.settings import Measures, Settings

HeadersFor = Callable[[str], Mapping[str, str]]


class Told(Exception):
    """A signal has told the process to end."""


def told_by_signal() -> asyncio.Event:
    """Set when SIGTERM or SIGINT comes."""
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    return told


async def connect(settings: Settings, name: str, tasks: asyncio.TaskGroup, say: Say = plainly) -> Client:
    """Connect to the broker, once (raises NotConnected), or in the background.

    `name` is what the broker shows for this connection; `tasks` owns what runs for as long as it lives, and `say` is
    told what becomes of it.
    """
    config = NatsConfig(
        url=settings.nats_url,
        name=name,
        user=settings.nats_user,
        password=settings.nats_password,
        token=settings.nats_token,
        say=say,
    )

    async def dial() -> Client:
        if settings.measures.monitor:
            from telhawk.measures.monitor import MonitoredClient

            return await MonitoredClient.start(config, tasks)
        return await NatsClient.connect(config)

    if not settings.measures.lazy_connect:
        return await dial()
    from telhawk.measures.lazy_connect import LazyClient

    return LazyClient(dial, tasks, name=name, say=say)


async def make_on_broker(measures: Measures, client: Client, make: Callable[[], Awaitable[None]]) -> None:
    """Make what must be on the broker: now (raises MessagingError), or as soon as a client that connects later can."""
    if measures.lazy_connect:
        from telhawk.measures.lazy_connect import LazyClient

        assert isinstance(client, LazyClient)
        await client.once_connected(make)
    else:
        await make()


def message_headers(measures: Measures) -> HeadersFor:
    """The headers of a message that is published to a stream, by its id."""
    headers: HeadersFor = no_headers
    if measures.dedup:
        from telhawk.measures import dedup

        headers = dedup.message_headers
    if measures.correlation:
        from telhawk.measures.correlation import with_id

        headers = with_id(headers)
    return headers


def effect_headers(measures: Measures) -> HeadersFor:
    """The headers of a request that has an effect, by its job's id."""
    if not measures.dedup:
        return no_headers
    from telhawk.measures import dedup

    return dedup.effect_headers


def guarded(
    measures: Measures,
    caller: Caller,
    watch: Callable[[Circuit], None],
    *,
    within_s: float,
    at_once: int,
    patience_s: float = 0.0,
) -> Caller:
    """A way to another service, with what guards it; `watch` is told of its circuit."""
    if not measures.downstream:
        return caller
    from telhawk.measures.downstream import GuardedCaller

    guard = GuardedCaller(caller, within_s=within_s, at_once=at_once, patience_s=patience_s)
    watch(guard.circuit)
    return guard


def refusals(measures: Measures) -> Middleware:
    """How a service says that it refuses, or failed."""
    if not measures.errors:
        return plain_refusals
    from telhawk.measures.errors import typed_refusals

    return typed_refusals


def protocol(measures: Measures) -> type[web.RequestHandler]:
    """How a service says so of what its application never sees."""
    if not measures.errors:
        return web.RequestHandler
    from telhawk.measures.errors import TypedProtocol

    return TypedProtocol


def no_headers(_: str) -> Mapping[str, str]:
    """No id travels beside the payload."""
    return {}
