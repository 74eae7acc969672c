"""lazy-connect: a service starts at once, and connects to the broker in the background, however long that takes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from nats.aio.client import Client as NatsConnection

from telhawk.events import Say, connected, not_connected, plainly
from telhawk.messaging import (
    PUBLISH_WITHIN_S,
    Client,
    Message,
    MessageHandler,
    MessagingError,
    NotConnected,
    Subscription,
)

RETRY_S = 0.25


class LazyClient:
    """The client that `dial` makes, once it can. Until then it is like one that has lost its connection.

    Subscriptions may be made before, and what must be on the broker first (`once_connected`): both are done before
    anybody who waits is told that there is a connection.
    """

    def __init__(
        self,
        dial: Callable[[], Awaitable[Client]],
        tasks: asyncio.TaskGroup,
        *,
        name: str = "telhawk-client",
        say: Say = plainly,
    ) -> None:
        self._dial = dial
        self._name = name
        self._say = say
        self._client: Client | None = None
        self._ready = asyncio.Event()
        self._makes: list[Callable[[], Awaitable[None]]] = []
        self._connecting = tasks.create_task(self._connect())

    async def _connect(self) -> None:
        refused = False
        while not self._ready.is_set():
            try:
                self._client = await self._dial()
                done = 0
                while done < len(self._makes):  # what comes in meanwhile, too
                    await self._makes[done]()
                    done += 1
                self._ready.set()
            except MessagingError as error:
                if not refused:
                    self._say(not_connected(self._name, error))
                refused = True
                client, self._client = self._client, None
                if client is not None:
                    await client.close()
                await asyncio.sleep(RETRY_S)
        self._say(connected(self._name))

    async def once_connected(self, make: Callable[[], Awaitable[None]]) -> None:
        """Do it as soon as there is a connection; until it has succeeded, nobody is told that there is one."""
        if self._ready.is_set():
            await make()
        else:
            self._makes.append(make)

    async def publish(
        self, subject: str, data: bytes, *, headers: Mapping[str, str] | None = None, within_s: float = PUBLISH_WITHIN_S
    ) -> None:
        """Hand the message over; before there is a connection nothing is buffered."""
        await self._current().publish(subject, data, headers=headers, within_s=within_s)

    async def publish_msg(self, message: Message) -> None:
        """As `publish`, with the message's own headers and reply subject."""
        await self._current().publish_msg(message)

    async def request(self, subject: str, data: bytes, *, within_s: float) -> Message:
        """Ask and wait for the one answer."""
        return await self._current().request(subject, data, within_s=within_s)

    async def subscribe(self, subject: str, handler: MessageHandler) -> Subscription:
        """Every message on `subject` goes to `handler`, from when there is a connection."""
        return await self._subscribe(lambda: self._current().subscribe(subject, handler))

    async def queue_subscribe(self, subject: str, queue: str, handler: MessageHandler) -> Subscription:
        """Each message goes to one member of the group only, from when there is a connection."""
        return await self._subscribe(lambda: self._current().queue_subscribe(subject, queue, handler))

    async def _subscribe(self, make: Callable[[], Awaitable[Subscription]]) -> Subscription:
        subscription = _Later(make)
        await self.once_connected(subscription.bind)
        return subscription

    async def drain(self) -> None:
        """Stop connecting, or drain."""
        self._connecting.cancel()
        if self._client is not None:
            await self._client.drain()

    async def close(self) -> None:
        """Stop connecting, or close."""
        self._connecting.cancel()
        if self._client is not None:
            await self._client.close()

    def is_connected(self) -> bool:
        """Whether there is a client, and it believes that it is connected."""
        return self._client is not None and self._client.is_connected()

    async def connected(self) -> NatsConnection:
        """Wait for as long as there is no connection."""
        await self._ready.wait()
        return await self._current().connected()

    def connection(self) -> NatsConnection:
        """The library's own client."""
        return self._current().connection()

    def _current(self) -> Client:
        if self._client is None:
            raise NotConnected("no connection to the broker yet")
        return self._client


class _Later:
    """A subscription that is made as soon as there is a connection."""

    def __init__(self, make: Callable[[], Awaitable[Subscription]]) -> None:
        self._make = make
        self._made: Subscription | None = None
        self._wanted = True

    async def bind(self) -> None:
        if self._wanted:
            self._made = await self._make()

    async def unsubscribe(self) -> None:
        self._wanted = False
        if self._made is not None:
            await self._made.unsubscribe()

    async def drain(self) -> None:
        self._wanted = False
        if self._made is not None:
            await self._made.drain()
