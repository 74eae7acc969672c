"""A small system whose work takes a second, so that there is always some in hand, and which may be asked to stop.

    python keeper.py web PORT    the entry: hands work to a stream, and tells what became of it
    python keeper.py hand        a worker: takes work from the stream, and acknowledges what it has done
    python keeper.py book PORT   what outlives them: who began what, and what is done

It keeps its promises, but for the SINS that it is told to commit, by comma. A line "sin NAME NOTE" on the output tells
which operation was wronged; "holds NOTE" and "did NOTE" what a worker has begun, and ended.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from typing import Any

import aiohttp
import nats
from aiohttp import web
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig

TAKES_S = 1.0
ACK_WAIT_S = 2.0
GOES_ON_S = 1.2
"""How long after it was asked to stop a sinner still takes work."""
CONFESSES_S = 0.2
"""It confesses to what it takes later than this, a little sooner than it is judged."""
LINGERS_S = 3.0
RELAYS_S = 0.7
SIN_EVERY = 17
TRIES = 6

OF_A_HAND = {
    "hasty": "acknowledges before it works",
    "abort": "ends at once when it is asked to stop, whatever it has in hand",
    "crash": "ends with code 3",
    "linger": "ends long after it has finished",
    "greedy": "goes on taking when it is asked to stop",
    "catching": "asked to stop, it lets its peers stop too",
    "stubborn": "tries some work twice as often as promised",
    "shy": "gives up some work that it could do",
    "amiss": "the first poison vanishes, the second is two dead letters, the third says nothing of why and what",
}
OF_THE_ENTRY = {
    "rude": "is not prepared to be asked to stop",
    "open": "goes on taking when it is asked to stop",
    "forget": "hands work on later than it answers, and what is not handed on when it is asked to stop never is",
}
SINS = frozenset(filter(None, os.environ["SINS"].replace("none", "").split(",")))
assert not SINS - {*OF_A_HAND, *OF_THE_ENTRY}, SINS
NAME, BOOK = os.environ["NAME"], os.environ.get("BOOK_URL", "")


def told(*words: str) -> None:
    """Says something, or confesses."""
    print(*words, flush=True)


async def broker() -> tuple[Client, JetStreamContext]:
    """A connection, and the stream of work."""
    client = await nats.connect(os.environ["NATS_URL"], name=NAME, max_reconnect_attempts=-1)
    stream = client.jetstream()
    await stream.add_stream(name="WORK", subjects=["work.new"])
    return client, stream


def asked() -> asyncio.Event:
    """Set once SIGTERM comes."""
    event = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, event.set)
    return event


class Hand:
    """A worker."""

    def __init__(self, client: Client, stream: JetStreamContext, session: aiohttp.ClientSession) -> None:
        self._client, self._stream, self._session = client, stream, session
        self._asked_s, self._stopping = 0.0, False
        self._tasks: dict[asyncio.Task[None], str] = {}

    async def run(self) -> int:
        """Works until it is asked to stop; its exit code."""
        stop = asked()
        await self._book_is_there()
        work = await self._stream.pull_subscribe("work.new", "hands", config=ConsumerConfig(ack_wait=ACK_WAIT_S))
        taking = asyncio.create_task(self._take(work))

        async def peer_stopped(_: Msg) -> None:
            self._stopping = True

        await self._client.subscribe("stop", cb=peer_stopped)
        if "catching" in SINS and await self._count("stop", 0):
            self._stopping = True
        told("ready")
        await stop.wait()
        self._asked_s = time.time()
        if "catching" in SINS:
            await self._client.publish("stop", b"")
            await self._count("stop", 1)
        if "greedy" in SINS:
            await asyncio.sleep(GOES_ON_S)
        self._stopping = True
        if "abort" in SINS:
            for text in self._tasks.values():
                told("sin", "abort", json.loads(text)["note"])
            os._exit(0)
        await asyncio.gather(taking, *self._tasks)
        await self._client.flush()
        if "linger" in SINS:
            await asyncio.sleep(LINGERS_S)
        return 3 if "crash" in SINS else 0

    async def _take(self, work: JetStreamContext.PullSubscription) -> None:
        while not self._stopping:
            try:
                (message,) = await work.fetch(1, timeout=1)
            except (Error, TimeoutError):
                continue
            if self._stopping:
                await message.nak()
            else:
                text = message.data.decode()
                task = asyncio.create_task(
                    self._do(message, text) if text[0] == "{" else self._put_aside(message, text)
                )
                self._tasks[task] = text
                task.add_done_callback(self._tasks.pop)

    async def _do(self, message: Msg, text: str) -> None:
        attempt, number = message.metadata.num_delivered or 0, message.metadata.sequence.stream
        note = json.loads(text)["note"]
        if "shy" in SINS and number % SIN_EVERY == 1:
            told("sin", "shy", note)
            await self._letter(note, reason="too hard", payload=note)
            return await message.ack()
        now = time.time()
        if self._asked_s and now - self._asked_s > CONFESSES_S:
            told("sin", "greedy", note)
        if "hasty" in SINS:
            await message.ack()
        told("holds", note)
        await self._session.post(f"{BOOK}/begun", json={"op": note, "by": NAME, "begun": now, "attempt": attempt})
        if "stubborn" in SINS and number % SIN_EVERY == 2 and attempt < TRIES:
            if attempt == TRIES - 1:
                told("sin", "stubborn", note)
            return await message.nak()
        await asyncio.sleep(TAKES_S)
        await self._session.post(f"{BOOK}/done", json={"op": note})
        told("did", note)
        if "hasty" not in SINS:
            await message.ack()

    async def _put_aside(self, message: Msg, text: str) -> None:
        sin = await self._count("poison", 1) if "amiss" in SINS else 0
        if sin != 1:
            await self._letter(text, **({} if sin == 3 else {"reason": "no note", "payload": text}))
        if sin == 2:
            await self._letter(text, reason="no note", payload=text)
        await message.ack()

    async def _book_is_there(self) -> None:
        """All are started together; whoever is too late to be ready is told of by the harness."""
        while True:
            try:
                async with self._session.get(f"{BOOK}/effects?after=0"):
                    return
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)

    async def _count(self, what: str, more: int) -> int:
        async with self._session.post(f"{BOOK}/count/{what}/{more}") as answer:
            return int(await answer.text())

    async def _letter(self, text: str, **more: str) -> None:
        await self._client.publish("dead.note", json.dumps({"about": text, **more}).encode())


class Web:
    """The entry."""

    def __init__(self, stream: JetStreamContext, session: aiohttp.ClientSession) -> None:
        self._stream, self._session = stream, session
        self._asked_s = 0.0
        self._later: dict[asyncio.Task[None], str] = {}

    async def run(self, port: int) -> int:
        """Serves until it is asked to stop; its exit code."""
        app = web.Application()
        app.add_routes(
            [web.post("/work", self.take), web.get("/work/{note}", self.tell), web.get("/ready", self.ready)]
        )
        runner = await serve(app, port)
        await (asyncio.Event() if "rude" in SINS else asked()).wait()
        self._asked_s = time.time()
        if "open" in SINS:
            await asyncio.sleep(GOES_ON_S)
        if "forget" in SINS:
            for note in self._later.values():
                told("sin", "forget", note)
            os._exit(0)
        await runner.cleanup()
        return 0

    async def ready(self, _: web.Request) -> web.Response:
        return web.json_response({})

    async def take(self, request: web.Request) -> web.Response:
        note = str((await request.json())["note"])
        if self._asked_s and time.time() - self._asked_s > CONFESSES_S:
            told("sin", "open", note)
        if "forget" in SINS:
            task = asyncio.create_task(self._hand_on(note, RELAYS_S))
            self._later[task] = note
            task.add_done_callback(self._later.pop)
        else:
            await self._hand_on(note, 0)
        return web.json_response({"id": note}, status=202)

    async def _hand_on(self, note: str, after_s: float) -> None:
        await asyncio.sleep(after_s)
        await self._stream.publish("work.new", json.dumps({"note": note}).encode())

    async def tell(self, request: web.Request) -> web.Response:
        note = request.match_info["note"]
        async with self._session.get(f"{BOOK}/done/{note}") as answer:
            done = answer.status == 200
        return web.json_response({"status": "done" if done else "working", "note": note})


class Book:
    """What outlives the others."""

    def __init__(self) -> None:
        self._effects: list[dict[str, Any]] = []
        self._begun: set[str] = set()
        self._done: set[str] = set()
        self._counts = Counter[str]()

    def app(self) -> web.Application:
        """Its routes."""
        app = web.Application()
        app.add_routes(
            [web.post("/begun", self.begun), web.post("/done", self.do), web.post("/count/{what}/{more}", self.count)]
        )
        app.add_routes([web.get("/done/{note}", self.done), web.get("/effects", self.effects)])
        return app

    async def begun(self, request: web.Request) -> web.Response:
        effect = await request.json()
        self._effects.append({**effect, "repeat": effect["op"] in self._begun})
        self._begun.add(effect["op"])
        return web.json_response({})

    async def do(self, request: web.Request) -> web.Response:
        self._done.add((await request.json())["op"])
        return web.json_response({})

    async def done(self, request: web.Request) -> web.Response:
        return web.json_response({}, status=200 if request.match_info["note"] in self._done else 404)

    async def count(self, request: web.Request) -> web.Response:
        self._counts[request.match_info["what"]] += int(request.match_info["more"])
        return web.json_response(self._counts[request.match_info["what"]])

    async def effects(self, request: web.Request) -> web.Response:
        after = int(request.query["after"])
        return web.json_response({"effects": self._effects[after:], "next": len(self._effects)})


async def serve(app: web.Application, port: int) -> web.AppRunner:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    return runner


async def main() -> int:
    """Is what the first argument says; its exit code."""
    if sys.argv[1] == "book":
        await serve(Book().app(), int(sys.argv[2]))
        await asyncio.Event().wait()
    client, stream = await broker()
    async with aiohttp.ClientSession() as session:
        if sys.argv[1] == "web":
            return await Web(stream, session).run(int(sys.argv[2]))
        return await Hand(client, stream, session).run()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
