"""metrics: what happens is counted, and told in Prometheus' text at /metrics, whether or not the broker is there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web
from nats.aio.msg import Msg
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, generate_latest

from telhawk.circuit import Circuit
from telhawk.events import Event
from telhawk.messaging import PUBLISH_WITHIN_S, Client, MessagingError, OnePublish

BREAKER_STATES: Mapping[str, int] = {"closed": 0, "half-open": 1, "open": 2}


class Metrics:
    """The metrics of one service, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._lost = Counter(
            "telhawk_broker_connections_lost", "Connections to the broker that were lost.", registry=self._registry
        )
        self._returned = Counter(
            "telhawk_broker_connections_returned",
            "Connections to the broker that came, after a loss or late.",
            registry=self._registry,
        )
        self._failures = Counter(
            "telhawk_handler_failures", "Messages that could not be handled.", registry=self._registry
        )
        self._publishes = Counter(
            "telhawk_publishes", "Messages handed to the broker.", ["outcome"], registry=self._registry
        )
        self._redeliveries = Counter(
            "telhawk_redeliveries", "Messages that came more than once.", registry=self._registry
        )
        self._connected = Gauge(
            "telhawk_broker_connected", "1 while there is a connection to the broker, else 0.", registry=self._registry
        )
        for outcome in ("ok", "failed"):
            self._publishes.labels(outcome)
        self._breakers = Gauge(
            "telhawk_breaker_state", "0 closed, 1 half-open, 2 open.", ["breaker"], registry=self._registry
        )
        self._counted = {
            "lost": self._lost,
            "returned": self._returned,
            "connected": self._returned,
            "handler failed": self._failures,
        }

    def count(self, event: Event) -> None:
        """Count an event of the kinds that are counted."""
        if counter := self._counted.get(event.kind):
            counter.inc()

    def watch_client(self, client: Client) -> None:
        """Tell whether this client says that it is connected."""
        self._connected.set_function(lambda: float(client.is_connected()))

    def watch_outbox(self, depth: Callable[[], int]) -> None:
        """Tell how many jobs are accepted, and not with the broker yet."""
        gauge = Gauge("telhawk_outbox_depth", "Accepted jobs that wait for the broker.", registry=self._registry)
        gauge.set_function(depth)

    def watch_circuit(self, name: str, circuit: Circuit) -> None:
        """Tell the state of a circuit breaker."""
        self._breakers.labels(name).set_function(lambda: float(BREAKER_STATES[circuit.state]))

    def counted(self, publisher: OnePublish) -> OnePublish:
        """Publish by `publisher`, and count what comes of it."""
        return _Counted(publisher, self._publishes)

    def counting(self, handle: Callable[[Msg], Awaitable[None]]) -> Callable[[Msg], Awaitable[None]]:
        """Handle a job, and count it where it is not its first delivery."""

        async def handle_counted(msg: Msg) -> None:
            if msg.metadata.num_delivered > 1:
                self._redeliveries.inc()
            await handle(msg)

        return handle_counted

    async def answer(self, request: web.Request) -> web.Response:
        """All of it, as it is now."""
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


class _Counted:
    def __init__(self, publisher: OnePublish, publishes: Counter) -> None:
        self._publisher = publisher
        self._ok, self._failed = publishes.labels("ok"), publishes.labels("failed")

    async def publish(
        self, subject: str, data: bytes, *, headers: Mapping[str, str] | None = None, within_s: float = PUBLISH_WITHIN_S
    ) -> None:
        try:
            await self._publisher.publish(subject, data, headers=headers, within_s=within_s)
        except MessagingError:
            self._failed.inc()
            raise
        self._ok.inc()
