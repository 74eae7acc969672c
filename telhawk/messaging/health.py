"""The health check of the document. No service uses it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from telhawk.messaging import Client, MessagingError

HEALTH_SUBJECT = "_HEALTH.ping"


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
