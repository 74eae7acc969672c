"""Round trips to the broker, and the health check of the document, which no service uses."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass

from telhawk.messaging import Client, MessagingError, NoResponders, Publisher

HEALTH_SUBJECT = "_HEALTH.ping"


async def round_trip(client: Publisher, *, within_s: float) -> None:
    """Return once the broker has answered. Raises MessagingError.

    A request that nobody answers, not a PING: in nats-py 2.16 a PONG that comes after flush has given up ends the
    reading task, and the client is deaf from then on.
    """
    with suppress(NoResponders):
        await client.request(HEALTH_SUBJECT, b"ping", within_s=within_s)


@dataclass
class HealthStatus:
    """Whether the broker can be reached, and the round trip in seconds."""

    connected: bool = False
    latency_s: float = 0.0
    error: str = ""


async def check_client_health(client: Client | None) -> HealthStatus:
    """Ask the broker for a round trip; an error is forgiven as long as the client says that it is connected."""
    if client is None:
        return HealthStatus(error="client is nil")
    status = HealthStatus(connected=client.is_connected())
    if not status.connected:
        status.error = "not connected to message broker"
        return status
    start = time.monotonic()
    try:
        await client.request(HEALTH_SUBJECT, b"ping", within_s=2.0)
    except MessagingError as error:
        # No responder is fine for a health check.
        status.error = "" if status.connected else f"health check failed: {error}"
    status.latency_s = time.monotonic() - start
    return status
