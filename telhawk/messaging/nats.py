"""The messaging client over nats-py, with the document's defaults."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import nats.errors
from nats.aio.client import Client as NatsConnection
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as NatsSubscription

from telhawk.events import Say, broker_error, handler_failed, lost, plainly, returned
from telhawk.messaging import (
    PUBLISH_WITHIN_S,
    Message,
    MessageHandler,
    MessagingError,
    NoResponders,
    NotConnected,
    Subscription,
)

CLOSE_WITHIN_S = 1.0

# What a call of nats-py raises when the broker is away, slow or unwilling.
BROKER_ERRORS = (nats.errors.Error, OSError, TimeoutError)


@asynccontextmanager
async def deadline(within_s: float) -> AsyncIterator[None]:
    """For calls of nats-py. Raises TimeoutError.

    They wait by wait_for, which in Python 3.11 forgets that it was cancelled if what it waits for comes in the same
    moment; a task of which that is true would never end.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    try:
        async with asyncio.timeout(within_s):
            yield
    finally:
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError


@dataclass(frozen=True)
class NatsConfig:
    """Section 2 of the analysis; the buffer is that of nats.go, the document's client."""

    url: str = "nats://localhost:4222"
    name: str = "telhawk-client"
    max_reconnects: int = -1
    reconnect_wait_s: int = 2
    connect_within_s: float = 5
    pending_bytes: int = 8 * 1024 * 1024
    user: str = ""
    password: str = ""
    token: str = ""
    reconnects: bool = True
    say: Say = plainly

    def options(self) -> dict[str, Any]:
        """As nats-py's connect wants them."""
        return {
            "name": self.name,
            "allow_reconnect": self.reconnects,
            "max_reconnect_attempts": self.max_reconnects,
            "reconnect_time_wait": self.reconnect_wait_s,
            "connect_timeout": self.connect_within_s,
            "pending_size": self.pending_bytes,
            "user": self.user or None,
            "password": self.password or None,
            "token": self.token or None,
        }


class _Connection(NatsConnection):
    """nats-py's client, mended.

    That ends its reading for good at a status or a subject that is no text, and sends what is too large with its
    header, for which the broker ends the connection.
    """

    async def _send_publish(
        self, subject: str, reply: str, payload: bytes, payload_size: int, headers: dict[str, Any] | None
    ) -> None:
        if headers and payload_size + _size(headers) > self.max_payload:
            raise nats.errors.MaxPayloadError
        await super()._send_publish(subject, reply, payload, payload_size, headers)

    async def _process_headers(self, headers: bytes) -> dict[str, str] | None:
        try:
            return await super()._process_headers(headers)
        except (UnicodeDecodeError, IndexError) as error:
            await self._error_cb(error)
            return None

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        try:
            await super()._process_msg(sid, subject, reply, data, headers)
        except UnicodeDecodeError as error:
            await self._error_cb(error)


def _size(headers: Mapping[str, str]) -> int:
    """The bytes of a message's header, as the broker counts it."""
    return len("NATS/1.0\r\n\r\n") + sum(len(f"{name}: {value}\r\n".encode()) for name, value in headers.items())


class NatsClient:
    """One connection, kept by nats-py. Built by `connect`."""

    def __init__(self, config: NatsConfig) -> None:
        self._config = config
        self._nats = _Connection()
        self._up = asyncio.Event()
        self._closing = False
        self._error: Exception | None = None
        self._failed: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        self.lost = asyncio.Event()
        """Set at the first loss of the connection, and never cleared."""

    @classmethod
    async def connect(cls, config: NatsConfig) -> NatsClient:
        """Connect, trying once, as nats.go does. Raises NotConnected."""
        client = cls(config)
        await client._connect()
        return client

    async def _connect(self) -> None:
        connecting = asyncio.create_task(
            self._nats.connect(
                self._config.url,
                error_cb=self._on_error,
                disconnected_cb=self._on_disconnected,
                reconnected_cb=self._on_reconnected,
                closed_cb=self._on_closed,
                **self._config.options(),
            )
        )
        try:
            # With unlimited reconnects nats-py tries the first connection for ever, too: its first error ends it here.
            either: set[asyncio.Future[Any]] = {connecting, self._failed}
            await asyncio.wait(either, timeout=self._config.connect_within_s, return_when=asyncio.FIRST_COMPLETED)
            if connecting.done() and connecting.exception() is None and self._nats.is_connected:
                self._up.set()
                return
            why = connecting.exception() if connecting.done() else None
            why = why or (self._failed.result() if self._failed.done() else None)
            raise NotConnected(f"{why or 'no answer in time'}")
        finally:
            if not self._up.is_set():
                connecting.cancel()
                await asyncio.wait({connecting}, timeout=CLOSE_WITHIN_S)
                await self.discard()

    async def publish(
        self, subject: str, data: bytes, *, headers: Mapping[str, str] | None = None, within_s: float = PUBLISH_WITHIN_S
    ) -> None:
        """Hand the message to the library, which sends it, or keeps it while there is no connection."""
        await self._publish(subject, data, "", headers, within_s)

    async def publish_msg(self, message: Message) -> None:
        """As `publish`, with the message's own headers and reply subject."""
        await self._publish(message.subject, message.data, message.reply, message.headers, PUBLISH_WITHIN_S)

    async def _publish(
        self, subject: str, data: bytes, reply: str, headers: Mapping[str, str] | None, within_s: float
    ) -> None:
        try:
            async with deadline(within_s):
                await self._nats.publish(subject, data, reply, headers=dict(headers) if headers else None)
        except BROKER_ERRORS as error:
            raise MessagingError(f"publish to {subject}: {reason(error)}") from error

    async def request(self, subject: str, data: bytes, *, within_s: float) -> Message:
        """Ask and wait for the one answer."""
        try:
            async with deadline(within_s):
                answer = await self._nats.request(subject, data, timeout=within_s)
        except nats.errors.NoRespondersError as error:
            raise NoResponders(subject) from error
        except BROKER_ERRORS as error:
            raise MessagingError(f"request to {subject}: {reason(error)}") from error
        return _message(answer)

    async def subscribe(self, subject: str, handler: MessageHandler) -> Subscription:
        """Every message on `subject` goes to `handler`."""
        return await self._subscribe(subject, "", handler)

    async def queue_subscribe(self, subject: str, queue: str, handler: MessageHandler) -> Subscription:
        """Each message goes to one member of the group only."""
        return await self._subscribe(subject, queue, handler)

    async def _subscribe(self, subject: str, queue: str, handler: MessageHandler) -> Subscription:
        async def deliver(msg: Msg) -> None:
            try:
                await handler(_message(msg))
            except Exception as error:  # whatever a handler raises concerns this one message
                self._config.say(handler_failed(subject, error))

        try:
            return _NatsSubscription(await self._nats.subscribe(subject, queue, cb=deliver))
        except BROKER_ERRORS as error:
            raise MessagingError(f"subscribe to {subject}: {reason(error)}") from error

    async def drain(self) -> None:
        """Stop taking messages, finish those that are here, flush, close."""
        self._closing = True
        try:
            await self._nats.drain()
        except BROKER_ERRORS as error:
            raise MessagingError(f"drain: {reason(error)}") from error

    async def close(self) -> None:
        """Close without waiting for what is in flight; what nats-py has not flushed after a second is dropped."""
        self._closing = True
        with suppress(*BROKER_ERRORS):
            async with asyncio.timeout(CLOSE_WITHIN_S):
                await self._nats.close()
        self._drop()

    def abort(self) -> None:
        """Drop the socket at once, with everything that waits to cross it; nothing is flushed and nothing waited for.

        nats-py offers only a close that first writes what is pending and waits for the socket, which on a silent link
        lasts until the kernel gives up.
        """
        self._tell_who_asked()
        self._drop()

    def _drop(self) -> None:
        self._closing = True
        self._nats._pending.clear()
        self._nats._pending_data_size = 0
        writer = getattr(self._nats._transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()

    def _tell_who_asked(self) -> None:
        # No answer will come. nats-py lets them wait until their time is over.
        for answer in tuple(self._nats._resp_map.values()):
            if not answer.done():
                answer.set_exception(nats.errors.ConnectionClosedError())
                answer.exception()  # so that nobody prints it where the asker has gone

    async def discard(self) -> None:
        """Abort, and see the library's tasks end, within a second: this client never comes back."""
        self.abort()
        with suppress(*BROKER_ERRORS):
            async with asyncio.timeout(CLOSE_WITHIN_S):
                await self._nats.close()

    def is_connected(self) -> bool:
        """Whether nats-py believes that it is connected."""
        return self._nats.is_connected

    async def connected(self) -> NatsConnection:
        """Wait for as long as there is no connection."""
        await self._up.wait()
        return self._nats

    def connection(self) -> NatsConnection:
        """The library's own client."""
        if not self._up.is_set():
            raise NotConnected("no connection to the broker")
        return self._nats

    async def _on_error(self, error: Exception) -> None:
        self._error = error
        if not self._failed.done():
            self._failed.set_result(error)
        if isinstance(error, (nats.errors.SlowConsumerError, UnicodeDecodeError)):
            self._config.say(broker_error(self._config.name, error))

    async def _on_disconnected(self) -> None:
        self._up.clear()
        self.lost.set()
        if not self._closing:
            self._config.say(lost(self._config.name, self._error or "connection lost"))

    async def _on_reconnected(self) -> None:
        self._up.set()
        self._config.say(returned(self._config.name))

    async def _on_closed(self) -> None:
        self._up.clear()
        self.lost.set()
        if not self._closing:
            self._tell_who_asked()


class _NatsSubscription:
    def __init__(self, subscription: NatsSubscription) -> None:
        self._subscription = subscription

    async def unsubscribe(self) -> None:
        with suppress(*BROKER_ERRORS):
            async with asyncio.timeout(CLOSE_WITHIN_S):
                await self._subscription.unsubscribe()

    async def drain(self) -> None:
        with suppress(*BROKER_ERRORS):
            await self._subscription.drain()  # type: ignore[no-untyped-call]


def _message(msg: Msg) -> Message:
    return Message(msg.subject, msg.data, msg.reply, msg.headers or {})


def reason(error: BaseException) -> str:
    """An error's text, or its name where it has none, as a TimeoutError."""
    return str(error) or type(error).__name__
