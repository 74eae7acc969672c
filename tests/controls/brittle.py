"""A small system that degrades as it should, but for the sins that it is told to commit, and confesses each.

    python brittle.py web PORT     the entry: a client of the broker, which also calls the desk
    python brittle.py desk PORT    what the entry calls

POST /work {note} is published, and refused by type while the broker is away; each FAILS_EVERY-th is a query that fails.
POST /ask {note} asks the desk, behind a breaker. GET /live, GET /ready: what a load balancer asks. GET /effects?after=N
lists what was done. A line "sin NAME NOTE" on the output tells which operation was wronged.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import Any

import aiohttp
from aiohttp import web
from nats.aio.client import Client
from nats.errors import Error

SINS_OF = {
    "start": ("eager", "patient"),  # ends without a broker; waits for it before it listens
    "answers": ("plain", "hang", "someday", "pretend"),  # no type; no answer; come back tomorrow; accepted, not done
    "queries": ("alike",),  # a query that fails is refused as if the broker were away
    "health": ("blind", "sour", "mortal", "fickle"),  # always ready; never again; not live either; soon, without broker
    "breaker": ("stubborn", "crowd", "slow", "stuck"),  # none; many probes; every second refusal is slow; stays open
}
FAILS_EVERY = 17
AWAY, BAD, BUSY = "urn:brittle:broker-away", "urn:brittle:bad-work", "urn:brittle:desk-away"
FLUSHES_WITHIN_S, ASKS_WITHIN_S = 0.5, 0.3
OPENS_AFTER, OPEN_S, SLOW_S = 5, 0.5, 0.1
FICKLE_S = 1.2

SINS = frozenset(filter(None, os.environ["SINS"].replace("none", "").split(",")))
assert not SINS - {sin for sins in SINS_OF.values() for sin in sins}, SINS


def told(sin: str, note: str) -> None:
    """Confesses."""
    print("sin", sin, note, flush=True)


def problem(status: int, kind: str, *, after: int | None = 1) -> web.Response:
    """A refusal that tells its type and when to come back."""
    headers = {} if after is None else {"Retry-After": str(after)}
    return web.json_response({"type": kind}, status=status, headers=headers, content_type="application/problem+json")


class Line:
    """The connection to the broker, made in the background."""

    def __init__(self) -> None:
        self.client, self.lost, self.lost_s = Client(), False, 0.0

    async def open(self) -> None:
        await self.client.connect(
            os.environ["NATS_URL"],
            name=os.environ["NAME"],
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.1,  # type: ignore[arg-type]  # annotated int, used as seconds
            connect_timeout=0.4,  # type: ignore[arg-type]
            ping_interval=0.3,  # type: ignore[arg-type]
            max_outstanding_pings=2,
            pending_size=-1,
            disconnected_cb=self._lost,
            error_cb=self._note,
        )

    async def keep_opening(self) -> None:
        """Until it is open."""
        while not self.client.is_connected:
            try:
                await self.open()
            except (Error, OSError, TimeoutError):
                await asyncio.sleep(0.1)

    async def crosses(self) -> bool:
        """Whether the broker answers."""
        if not self.client.is_connected:
            return False
        try:
            await self.client.flush(FLUSHES_WITHIN_S)  # type: ignore[arg-type]
        except (Error, OSError, TimeoutError):
            return False
        return True

    async def _lost(self) -> None:
        self.lost, self.lost_s = True, self.lost_s or time.monotonic()

    async def _note(self, error: Exception) -> None:
        print("nats:", error or type(error).__name__, flush=True)


class Breaker:
    """Open for OPEN_S after OPENS_AFTER failures in a row; then one is let through."""

    def __init__(self) -> None:
        self.failures, self.probing, self._opened_s = 0, 0, 0.0

    @property
    def tripped(self) -> bool:
        """Whether so many failed that it has to be open."""
        return self.failures >= OPENS_AFTER

    def lets(self, note: str) -> bool:
        """Whether a call may be tried."""
        if not self.tripped:
            return True
        if "stubborn" in SINS:
            told("stubborn", note)
            return True
        if "stuck" in SINS or time.monotonic() < self._opened_s + OPEN_S:
            return False
        if self.probing and "crowd" in SINS:
            told("crowd", note)
            return True
        return not self.probing

    def failed(self) -> None:
        """A call did."""
        self.failures, self._opened_s = self.failures + 1, time.monotonic()

    def went_well(self) -> None:
        """A call did."""
        self.failures = 0


class Web:
    """The entry."""

    def __init__(self, line: Line, session: aiohttp.ClientSession) -> None:
        self._line, self._session, self._breaker = line, session, Breaker()
        self._taken = self._refused = 0
        self._effects: list[dict[str, Any]] = []

    async def work(self, request: web.Request) -> web.Response:
        note = str((await request.json())["note"])
        self._taken += 1
        if self._taken % FAILS_EVERY == 0:
            if "alike" in SINS:
                told("alike", note)
                return problem(503, AWAY)
            return problem(422, BAD, after=60)
        if not self._line.client.is_connected:
            return await self._away(note)
        await self._line.client.publish("work", note.encode())
        if not await self._line.crosses():
            return await self._away(note)
        return self._done(note)

    async def _away(self, note: str) -> web.Response:
        sin = next((sin for sin in SINS_OF["answers"] if sin in SINS), "")
        if sin:
            told(sin, note)
        if sin == "hang":
            await asyncio.sleep(3600)
        if sin == "pretend":
            return web.json_response({})
        if sin == "plain":
            return web.Response(status=503, text="the broker is away")
        return problem(503, AWAY, after=86_400 if sin == "someday" else 1)

    def _done(self, note: str) -> web.Response:
        self._effects.append({"op": note, "begun": time.time()})
        return web.json_response({})

    async def ask(self, request: web.Request) -> web.Response:
        note = str((await request.json())["note"])
        if not self._breaker.lets(note):
            self._refused += 1
            if "slow" in SINS and self._refused % 2:
                told("slow", note)
                await asyncio.sleep(SLOW_S)
            return problem(503, BUSY)
        self._breaker.probing += self._breaker.tripped
        try:
            async with asyncio.timeout(ASKS_WITHIN_S), self._session.post(os.environ["DESK_URL"] + "/do") as answer:
                await answer.read()
        except (aiohttp.ClientError, OSError, TimeoutError):
            self._breaker.failed()
            return problem(503, BUSY)
        else:
            self._breaker.went_well()
            return self._done(note)
        finally:
            self._breaker.probing = max(self._breaker.probing - 1, 0)

    async def ready(self, _: web.Request) -> web.Response:
        if "fickle" in SINS and self._line.lost and time.monotonic() > self._line.lost_s + FICKLE_S:
            return web.json_response({})
        if "blind" in SINS or (await self._line.crosses() and not ("sour" in SINS and self._line.lost)):
            return web.json_response({})
        return problem(503, AWAY)

    async def live(self, _: web.Request) -> web.Response:
        if "mortal" in SINS and not self._line.client.is_connected:
            return problem(503, AWAY)
        return web.json_response({})

    async def effects(self, request: web.Request) -> web.Response:
        after = int(request.query["after"])
        return web.json_response({"effects": self._effects[after:], "next": len(self._effects)})


async def serve(app: web.Application, port: int) -> None:
    """For ever."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


async def be_web(port: int) -> None:
    """The entry, for ever; without a broker it ends, where that is its sin."""
    line = Line()
    if "eager" in SINS:
        try:
            async with asyncio.timeout(FLUSHES_WITHIN_S):
                await line.open()
        except (Error, OSError, TimeoutError):
            print("there is no broker", flush=True)
            sys.exit(1)
    opening = asyncio.create_task(line.keep_opening())
    if "patient" in SINS:
        await opening
    async with aiohttp.ClientSession() as session:
        entry = Web(line, session)
        app = web.Application()
        app.router.add_post("/work", entry.work)
        app.router.add_post("/ask", entry.ask)
        app.router.add_get("/ready", entry.ready)
        app.router.add_get("/live", entry.live)
        app.router.add_get("/effects", entry.effects)
        await serve(app, port)


async def be_desk(port: int) -> None:
    """What the entry calls, for ever."""

    async def do(_: web.Request) -> web.Response:
        return web.json_response({})

    app = web.Application()
    app.router.add_post("/do", do)
    app.router.add_get("/live", do)
    await serve(app, port)


if __name__ == "__main__":
    asyncio.run({"web": be_web, "desk": be_desk}[sys.argv[1]](int(sys.argv[2])))
