"""What both services on the broker decide by the measures: which client, and which headers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from telhawk.messaging import Client
from telhawk.messaging.nats import NatsClient, NatsConfig
from telhawk.settings import Measures, Settings

HeadersFor = Callable[[str], Mapping[str, str]]


async def connect(settings: Settings, name: str, tasks: asyncio.TaskGroup) -> Client:
    """Connect to the broker, once (raises NotConnected), or in the background.

    `name` is what the broker shows for this connection; `tasks` owns what runs for as long as it lives.
    """
    config = NatsConfig(
        url=settings.nats_url,
        name=name,
        user=settings.nats_user,
        password=settings.nats_password,
        token=settings.nats_token,
    )

    async def dial() -> Client:
        if settings.measures.monitor:
            from telhawk.measures.monitor import MonitoredClient

            return await MonitoredClient.start(config, tasks)
        return await NatsClient.connect(config)

    if not settings.measures.lazy_connect:
        return await dial()
    from telhawk.measures.lazy_connect import LazyClient

    return LazyClient(dial, tasks)


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
    if not measures.dedup:
        return no_headers
    from telhawk.measures import dedup

    return dedup.message_headers


def effect_headers(measures: Measures) -> HeadersFor:
    """The headers of a request that has an effect, by its job's id."""
    if not measures.dedup:
        return no_headers
    from telhawk.measures import dedup

    return dedup.effect_headers


def no_headers(_: str) -> Mapping[str, str]:
    """No id travels beside the payload."""
    return {}
