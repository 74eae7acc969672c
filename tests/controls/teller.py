"""A worker that tells what happens to it, in its log lines and its metrics, but for the sins that SINS names.

    python teller.py PORT

It answers requests on `work` with their own payload; what is no JSON it fails on. /metrics is at PORT.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from datetime import UTC, datetime, timedelta

from aiohttp import web
from nats.aio.client import Client
from nats.aio.msg import Msg
from prometheus_client import CollectorRegistry, Counter, generate_latest

SINS = frozenset(filter(None, os.environ["SINS"].replace("none", "").split(",")))
"""What it does wrong: `mute` says nothing of its connection, `bare` prints plain text, `hushed` says it as if nothing
had happened, `early` by a clock that is an hour off; `idle` does not count, `shut` answers no scraper once its
connection was lost; `swallow` says nothing of a message that it failed on, and `lump` does not count it."""
REGISTRY = CollectorRegistry()
LOST = Counter("nats_connections_lost", "Lost connections", registry=REGISTRY)
RETURNED = Counter("nats_connections_returned", "Connections that are back", registry=REGISTRY)
FAILED = Counter("handler_failures", "Messages that a handler failed on", ["subject"], registry=REGISTRY)


def say(level: str, message: str) -> None:
    """A log line."""
    now = datetime.now(UTC) + timedelta(hours="early" in SINS)
    line = {"ts": now.isoformat(), "level": level, "msg": message}
    print(message if "bare" in SINS else json.dumps(line), flush=True)


class Teller:
    """The one connection, and what is told of it."""

    def __init__(self) -> None:
        self.client = Client()
        self.was_lost = False

    async def lost(self) -> None:
        self.was_lost = True
        if "mute" not in SINS:
            say("info" if "hushed" in SINS else "warning", "NATS disconnected")
        if "idle" not in SINS:
            LOST.inc()

    async def returned(self) -> None:
        if "mute" not in SINS:
            say("debug" if "hushed" in SINS else "info", "NATS reconnected")
        if "idle" not in SINS:
            RETURNED.inc()

    async def work(self, message: Msg) -> None:
        try:
            json.loads(message.data)
        except ValueError as error:
            if "swallow" not in SINS:
                say("error", f"handler of {message.subject} failed: {error}")
            if not SINS & {"swallow", "lump"}:
                FAILED.labels(message.subject).inc()
            return
        await message.respond(message.data)

    async def metrics(self, _: web.Request) -> web.Response:
        if "shut" in SINS and self.was_lost:
            raise web.HTTPNotFound
        return web.Response(body=generate_latest(REGISTRY), content_type="text/plain")

    async def ready(self, _: web.Request) -> web.Response:
        return web.Response(status=200 if self.client.is_connected else 503)


async def main() -> None:
    """Works for ever."""
    teller = Teller()
    await teller.client.connect(
        os.environ["NATS_URL"],
        name=os.environ["NAME"],
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.1,  # type: ignore[arg-type]  # annotated int, used as seconds
        disconnected_cb=teller.lost,
        reconnected_cb=teller.returned,
    )
    await teller.client.subscribe("work", cb=teller.work)
    await teller.client.flush()
    app = web.Application()
    app.router.add_get("/metrics", teller.metrics)
    app.router.add_get("/ready", teller.ready)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(sys.argv[1])).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
