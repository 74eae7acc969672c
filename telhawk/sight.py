"""How a service is seen from outside: by what it says, by its metrics, by its probes, by the ids that it follows.

Without measures it prints, counts nothing, follows no id, and every probe is answered with ok.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from aiohttp import web
from nats.aio.msg import Msg

from telhawk.calls import Caller
from telhawk.circuit import Circuit
from telhawk.events import Event, Say, plainly
from telhawk.messaging import Client, MessageHandler, OnePublish
from telhawk.settings import Settings

if TYPE_CHECKING:
    from telhawk.measures.metrics import Metrics
    from telhawk.web.queries import Deliver, Queue

HandleJob = Callable[[Msg], Awaitable[None]]


def voice(settings: Settings, service: str) -> Say:
    """How a service says what happens to it."""
    if not settings.measures.logging:
        return plainly
    from telhawk.measures.logging import Log

    return Log(settings, service).say


def voice_of_process(settings: Settings, service: str) -> Say:
    """As `voice`; what libraries log goes the same way."""
    if not settings.measures.logging:
        return plainly
    from telhawk.measures.logging import Log

    log = Log(settings, service)
    log.take_over()
    return log.say


class Sight:
    """What one service shows of itself."""

    def __init__(self, settings: Settings, service: str) -> None:
        self._measures = settings.measures
        self._voice = voice(settings, service)
        self._client: Client | None = None
        self._metrics: Metrics | None = None
        if settings.measures.metrics:
            from telhawk.measures.metrics import Metrics

            self._metrics = Metrics()

    def say(self, event: Event) -> None:
        """Say what happens, and count it."""
        self._voice(event)
        if self._metrics is not None:
            self._metrics.count(event)

    def watch_client(self, client: Client) -> None:
        """Show this connection."""
        self._client = client
        if self._metrics is not None:
            self._metrics.watch_client(client)

    def watch_outbox(self, depth: Callable[[], int]) -> None:
        """Show how many jobs wait."""
        if self._metrics is not None:
            self._metrics.watch_outbox(depth)

    def watch_circuit(self, name: str, circuit: Circuit) -> None:
        """Show the state of a circuit breaker."""
        if self._metrics is not None:
            self._metrics.watch_circuit(name, circuit)

    def publisher(self, publisher: OnePublish) -> OnePublish:
        """Publishes as it does, seen."""
        return publisher if self._metrics is None else self._metrics.counted(publisher)

    def caller(self, caller: Caller) -> Caller:
        """Asks as it does, under the id of the request."""
        if not self._measures.correlation:
            return caller
        from telhawk.measures.correlation import CallerWithId

        return CallerWithId(caller)

    def queue(self, queue: Queue) -> Queue:
        """Accepts as it does, and keeps the id of the request with the job."""
        if not self._measures.correlation:
            return queue
        from telhawk.measures.correlation import QueueWithId

        return QueueWithId(queue)

    def deliver(self, deliver: Deliver) -> Deliver:
        """Delivers as it does, under the id that was kept with the job."""
        if not self._measures.correlation:
            return deliver
        from telhawk.measures.correlation import delivered_with_id

        return delivered_with_id(deliver)

    def take(self, take: MessageHandler) -> MessageHandler:
        """Takes a message as it does, under the id in its headers."""
        if not self._measures.correlation:
            return take
        from telhawk.measures.correlation import taken_with_id

        return taken_with_id(take)

    def handle(self, handle: HandleJob) -> HandleJob:
        """As `take`, of a job from a stream, seen."""
        if self._metrics is not None:
            handle = self._metrics.counting(handle)
        if not self._measures.correlation:
            return handle
        from telhawk.measures.correlation import handled_with_id

        return handled_with_id(handle)

    def headers(self, _: str) -> Mapping[str, str]:
        """The headers of a message that needs none but the id of the request."""
        if not self._measures.correlation:
            return {}
        from telhawk.measures.correlation import header

        return header()

    def show(self, app: web.Application, tasks: asyncio.TaskGroup, *, ready: str) -> None:
        """Add to a service's routes what looks at it; `ready` is the path of the probe that asks whether it is."""
        probe = alive
        if self._measures.health:
            from telhawk.measures.health import BrokerHealth

            health = BrokerHealth(self._client)
            tasks.create_task(health.run())
            probe = health.answer
        app.router.add_get(ready, probe)
        if self._metrics is not None:
            app.router.add_get("/metrics", self._metrics.answer)
        if self._measures.correlation:
            from telhawk.measures.correlation import answered_with_id

            app.middlewares.insert(0, answered_with_id)


async def alive(request: web.Request) -> web.Response:
    """Whoever answers lives."""
    return web.json_response({"status": "ok"})
