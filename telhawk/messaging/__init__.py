"""The messaging interfaces: Publisher, Subscriber, and Client, which is both.

Every call has a deadline of its own, and every failure to hand something over is a MessagingError.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from nats.aio.client import Client as NatsConnection

PUBLISH_WITHIN_S = 5.0


class MessagingError(Exception):
    """The broker could not be reached, or did not answer in time, or refused."""


class NotConnected(MessagingError):
    """There is no connection to the broker at the moment."""


class NotTried(MessagingError):
    """The broker was not asked, since it is known not to answer."""


class NoResponders(MessagingError):
    """The broker answered that nobody listens on the subject."""


@dataclass(frozen=True)
class Message:
    """A message as it arrived, or as it is to be sent."""

    subject: str
    data: bytes
    reply: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


MessageHandler = Callable[[Message], Awaitable[None]]


class Subscription(Protocol):
    """Interest in a subject, until it is taken back."""

    async def unsubscribe(self) -> None:
        """Take the interest back; what has not been handled yet is dropped."""

    async def drain(self) -> None:
        """Take the interest back, and return once all that has come is handled."""


class OnePublish(Protocol):
    """The part of a Publisher that a stream can do, too."""

    async def publish(
        self, subject: str, data: bytes, *, headers: Mapping[str, str] | None = None, within_s: float = PUBLISH_WITHIN_S
    ) -> None:
        """Hand one message over. Raises MessagingError."""


class Publisher(OnePublish, Protocol):
    """Sends."""

    async def publish_msg(self, message: Message) -> None:
        """Hand over a message with its headers and reply subject. Raises MessagingError."""

    async def request(self, subject: str, data: bytes, *, within_s: float) -> Message:
        """Ask and wait for the one answer. Raises MessagingError, NoResponders where nobody listens."""

    async def close(self) -> None:
        """Close without waiting for anything."""


class Subscriber(Protocol):
    """Receives."""

    async def subscribe(self, subject: str, handler: MessageHandler) -> Subscription:
        """Every message on `subject` goes to `handler`, one after the other. Raises MessagingError."""

    async def queue_subscribe(self, subject: str, queue: str, handler: MessageHandler) -> Subscription:
        """As `subscribe`, but each message goes to one member of the group `queue` only."""

    async def close(self) -> None:
        """Close without waiting for anything."""


class Client(Publisher, Subscriber, Protocol):
    """A connection to the broker that publishes and subscribes."""

    async def drain(self) -> None:
        """Stop taking messages, finish those that are here, flush, close. Raises MessagingError."""

    def is_connected(self) -> bool:
        """Whether the client believes that it is connected; it may be mistaken."""

    async def connected(self) -> NatsConnection:
        """Wait for as long as there is no connection, and give the library's own client, which JetStream needs."""

    def connection(self) -> NatsConnection:
        """The library's own client of the moment. Raises NotConnected."""
