"""monitor: a periodic round trip, and a new client where it fails.

nats-py notices a silent link after minutes, and its own reconnect can hang for as long. So this client owns the loss of
its connection: the old client's socket is aborted, its object dropped, and a new one made with the same subscriptions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from nats.aio.client import Client as NatsConnection

from telhawk.events import lost, returned
from telhawk.messaging import (
    PUBLISH_WITHIN_S,
    Message,
    MessageHandler,
    MessagingError,
    NotConnected,
    Subscription,
)
from telhawk.messaging.health import round_trip
from telhawk.messaging.nats import NatsClient, NatsConfig

EVERY_S = 1.0
ANSWERS_WITHIN_S = 2.0
CONNECTS_WITHIN_S = 2.0
RETRY_S = 0.25


class MonitoredClient:
    """A client whose connection is replaced when it is lost or does not answer. Built by `start`."""

    def __init__(self, config: NatsConfig, tasks: asyncio.TaskGroup) -> None:
        self._config = replace(config, reconnects=False, connect_within_s=CONNECTS_WITHIN_S)
        self._tasks = tasks
        self._client: NatsClient | None = None
        self._renewed = asyncio.Event()
        self._subscriptions: list[_Lasting] = []
        self._watching: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, config: NatsConfig, tasks: asyncio.TaskGroup) -> MonitoredClient:
        """Connect once, as the plain client does (raises NotConnected), and watch from then on."""
        monitored = cls(config, tasks)
        monitored._use(await NatsClient.connect(replace(config, reconnects=False)))
        monitored._watching = tasks.create_task(monitored._watch())
        return monitored

    async def _watch(self) -> None:
        while True:
            old = await self._until_lost()
            self._client = None
            self._renewed.clear()
            old.abort()
            # Seeing its tasks end takes up to a second, which the new connection does not wait for.
            self._tasks.create_task(old.discard())
            self._use(await self._replacement())
            self._config.say(returned(self._config.name))

    async def _until_lost(self) -> NatsClient:
        client = self._current()
        while True:
            try:
                await asyncio.wait_for(client.lost.wait(), EVERY_S)
                return client
            except TimeoutError:
                pass
            try:
                await round_trip(client, within_s=ANSWERS_WITHIN_S)
            except MessagingError as error:
                if not client.lost.is_set():  # it said that itself
                    self._config.say(lost(self._config.name, error))
                return client

    async def _replacement(self) -> NatsClient:
        while True:
            client = None
            try:
                client = await NatsClient.connect(self._config)
                for subscription in self._subscriptions:
                    await subscription.bind(client)
                # Connecting can seem to work on a link that is silent one way, and the subscriptions must have arrived.
                await round_trip(client, within_s=ANSWERS_WITHIN_S)
                return client
            except MessagingError:
                if client is not None:
                    await client.discard()
            await asyncio.sleep(RETRY_S)

    def _use(self, client: NatsClient) -> None:
        self._client = client
        self._renewed.set()

    def _current(self) -> NatsClient:
        if self._client is None:
            raise NotConnected("no connection to the broker")
        return self._client

    async def publish(
        self, subject: str, data: bytes, *, headers: Mapping[str, str] | None = None, within_s: float = PUBLISH_WITHIN_S
    ) -> None:
        """Hand the message to the client of the moment; without one nothing is buffered."""
        await self._current().publish(subject, data, headers=headers, within_s=within_s)

    async def publish_msg(self, message: Message) -> None:
        """As `publish`, with the message's own headers and reply subject."""
        await self._current().publish_msg(message)

    async def request(self, subject: str, data: bytes, *, within_s: float) -> Message:
        """Ask and wait for the one answer."""
        return await self._current().request(subject, data, within_s=within_s)

    async def subscribe(self, subject: str, handler: MessageHandler) -> Subscription:
        """Every message on `subject` goes to `handler`, also after a replacement."""
        return await self._subscribe(_Lasting(self, subject, "", handler))

    async def queue_subscribe(self, subject: str, queue: str, handler: MessageHandler) -> Subscription:
        """Each message goes to one member of the group only, also after a replacement."""
        return await self._subscribe(_Lasting(self, subject, queue, handler))

    async def _subscribe(self, subscription: _Lasting) -> Subscription:
        await subscription.bind(self._current())
        self._subscriptions.append(subscription)
        return subscription

    def forget(self, subscription: _Lasting) -> None:
        """Do not make this subscription again."""
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)

    async def drain(self) -> None:
        """Stop watching, then drain the client of the moment."""
        self._stop_watching()
        await self._current().drain()

    async def close(self) -> None:
        """Stop watching, and close."""
        self._stop_watching()
        if self._client is not None:
            await self._client.close()

    def _stop_watching(self) -> None:
        if self._watching is not None:
            self._watching.cancel()

    def is_connected(self) -> bool:
        """Whether there is a client at the moment."""
        return self._client is not None and self._client.is_connected()

    async def connected(self) -> NatsConnection:
        """Wait for as long as there is no client."""
        while self._client is None or self._client.lost.is_set():
            self._renewed.clear()
            await self._renewed.wait()
        return self._client.connection()

    def connection(self) -> NatsConnection:
        """The library's own client of the moment."""
        return self._current().connection()


class _Lasting:
    """A subscription that outlives the clients on which it is made."""

    def __init__(self, owner: MonitoredClient, subject: str, queue: str, handler: MessageHandler) -> None:
        self._owner, self._subject, self._queue, self._handler = owner, subject, queue, handler
        self._bound: Subscription | None = None

    async def bind(self, client: NatsClient) -> None:
        self._bound = await client.queue_subscribe(self._subject, self._queue, self._handler)

    async def unsubscribe(self) -> None:
        self._owner.forget(self)
        if self._bound is not None:
            await self._bound.unsubscribe()

    async def drain(self) -> None:
        self._owner.forget(self)
        if self._bound is not None:
            await self._bound.drain()
