"""What happens to a service, and how it says so.

Plainly an event is its text, printed, as the document has it. `telhawk.measures.logging` says more of each.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal[
    "lost", "returned", "connected", "not connected", "broker error", "handler failed", "no broker", "process failed"
]

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the request that is being worked on, or empty where none is known."""


@dataclass(frozen=True)
class Event:
    """What happened: its kind, the text that is printed, and to what it happened (`connection`, `subject`)."""

    kind: Kind
    text: str
    about: Mapping[str, str] = field(default_factory=dict)


Say = Callable[[Event], None]
"""Is told of each event at its moment."""


def plainly(event: Event) -> None:
    """Print the text; the last line of a process goes to stderr."""
    print(event.text, file=sys.stderr if event.kind == "process failed" else sys.stdout)


def lost(connection: str, why: object) -> Event:
    """A connection to the broker is lost; `connection` is the name that the broker shows for it."""
    return Event("lost", f"NATS disconnected: {why}", {"connection": connection})


def returned(connection: str) -> Event:
    """A connection that was lost is back."""
    return Event("returned", "NATS reconnected", {"connection": connection})


def connected(connection: str) -> Event:
    """A connection that was not there at start has come."""
    return Event("connected", "NATS connected", {"connection": connection})


def not_connected(connection: str, why: object) -> Event:
    """A connection does not come at once."""
    return Event("not connected", f"NATS not connected yet: {why}", {"connection": connection})


def broker_error(connection: str, error: Exception) -> Event:
    """The client library complains of a connection that goes on."""
    return Event("broker error", f"NATS error: {error}", {"connection": connection})


def handler_failed(subject: str, why: object) -> Event:
    """A message could not be handled."""
    return Event("handler failed", f"Handler error for {subject}: {why}", {"subject": subject})


def no_broker(url: str, why: object) -> Event:
    """The service goes on without a broker."""
    text = f"Warning: Failed to connect to NATS at {url}: {why}\nAsync query support will be disabled"
    return Event("no broker", text)


def process_failed(service: str, why: object) -> Event:
    """The process ends."""
    return Event("process failed", f"{service}: {why}")
