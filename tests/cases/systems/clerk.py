"""The services of the cases: nats-py as teams use it, with the habits that its system file gives it.

    python clerk.py desk PORT    the entry: POST /jobs {note}, sent on as SENDS says
    python clerk.py hand         a worker: takes jobs as TAKES says, and enters each in the book once it is done

An answer of 202 means that the client took the message or, where SENDS waits for it, that it was acknowledged; 503 that
it did not. Lines on the output tell of single jobs: "buffered", "again", "taken", "poison" or "done", and the note.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

import book
from aiohttp import web
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error
from nats.js.api import ConsumerConfig

OPTIONS = {name: json.loads(value) for name, _, value in (o.partition("=") for o in os.environ["CLIENT"].split())}
"""nats-py's own options of connect."""
SENDS = os.environ.get("SENDS", "core")
TAKES = os.environ.get("TAKES", "core")
PAD = int(os.environ.get("PAD", "0"))
"""Bytes that a job is longer than its note."""
STREAM = os.environ.get("STREAM", "JOBS")
IDS = os.environ.get("IDS", "") == "on"
"""Whether a message carries its note as the id by which JetStream knows repeats."""
ACKNOWLEDGED_WITHIN_S = 0.5
REPEATS, REPEATS_EVERY_S = 9, 0.3
WORKS_S = float(os.environ.get("WORKS_S", "0"))
LIMIT = int(os.environ.get("LIMIT", "500000"))
"""How many messages the client keeps for a handler that is slow."""
ACK_WAIT_S = float(os.environ.get("ACK_WAIT_S", "30"))
BATCH = int(os.environ.get("BATCH", "1"))
MAX_DELIVER = int(os.environ.get("MAX_DELIVER", "-1"))
POISON_EVERY = int(os.environ.get("POISON_EVERY", "0"))
"""Each so-manieth job cannot be done."""
ADVISORIES = os.environ.get("ADVISORIES", "unheard")
"""Whether somebody hears that a job was delivered for the last time: "unheard" or "heard"."""
CROWD = int(os.environ.get("CROWD", "1"))
"""How many clients a hand is that takes nothing."""
JITTER_S = float(os.environ.get("JITTER_S", "0"))
RETURNS_AFTER_S = 2
"""nats-py's own wait between two attempts."""
CLOSED = os.environ.get("CLOSED", "")
"""Whether a client that its library has closed is gone "for good", or "renewed" by the service."""
LAME_DUCK = os.environ.get("LAME_DUCK", "told")
"""What a client does that hears that its broker will end: it is only "told", or it "moves" to another broker."""
HEALTHY = os.environ.get("HEALTHY", "always")
"""When a desk says that it is well: "always", or while it is "connected"."""
STOPS = os.environ.get("STOPS", "")
"""What a hand does on SIGTERM: drain its client, or close it and "stay"; without either it just ends."""
HANDS = os.environ.get("HANDS", "") == "told"
"""Whether the book is told what a hand has in hand, and not only of what is done."""
AT_ONCE = int(os.environ.get("AT_ONCE", "1"))
"""How many jobs a hand does at once."""


MADE: list[Client] = []
"""The clients that this process has had; the last one works."""


def tell(*words: object) -> None:
    """A line on the output."""
    print(*words, flush=True)


def log(level: str, event: str) -> None:
    """A line on the output for whoever watches over the service."""
    tell(json.dumps({"time": time.time(), "level": level, "event": event}))


async def connected() -> Client:
    """A client of this process, made with OPTIONS."""
    client = Client()

    async def error(error: Exception) -> None:
        tell("nats:", error or type(error).__name__)

    async def disconnected() -> None:
        log("warning", "client disconnected")

    async def reconnected() -> None:
        log("info", "client connected")

    async def lame_duck() -> None:
        log("info", "the broker will end soon")
        if LAME_DUCK == "moves":
            await client.force_reconnect()

    async def closed() -> None:
        if CLOSED == "renewed" and client in MADE:
            begin(renew())

    # Not every version of nats-py has this one.
    hears: dict[str, Any] = {"lame_duck_mode_cb": lame_duck}
    known = inspect.signature(client.connect).parameters
    await client.connect(
        os.environ["NATS_URL"].split(","),
        name=os.environ["NAME"],
        error_cb=error,
        closed_cb=closed,
        disconnected_cb=disconnected,
        reconnected_cb=reconnected,
        **OPTIONS,
        **{name: heard for name, heard in hears.items() if name in known},
    )
    MADE.append(client)
    return client


async def renew() -> None:
    """Makes another client, as soon as the broker lets it in."""
    while True:
        await asyncio.sleep(0.1)
        with suppress(Error, OSError, TimeoutError):
            await asyncio.wait_for(connected(), 1)
            break
    await asyncio.Event().wait()


# ---- the desk: one function a way to send ---------------------------------------------------------------------------


async def send_core(client: Client, note: str) -> None:
    """Hands it to the client, which keeps it where there is no connection."""
    away = not client.is_connected
    await client.publish("jobs", _payload(note))
    if away:
        tell("buffered", note)


async def send_flushed(client: Client, note: str) -> None:
    """As `core`, and where there is a connection waits until the broker has it."""
    connected = client.is_connected
    await send_core(client, note)
    if connected:
        await client.flush(timeout=1)


async def send_requested(client: Client, note: str) -> None:
    """Waits until somebody did it."""
    await client.request("jobs", _payload(note), timeout=1.0)


async def send_acknowledged(client: Client, note: str) -> None:
    """Waits until JetStream has it."""
    await client.jetstream().publish("jobs", _payload(note), timeout=1.0, headers=_headers(note))


async def send_retried(client: Client, note: str) -> None:
    """Sends it again and again, until JetStream says that it has it."""
    for attempt in range(1_000_000):
        began = time.monotonic()
        if attempt:
            tell("again", note)
        with suppress(Error):
            await client.jetstream().publish(
                "jobs", _payload(note), timeout=ACKNOWLEDGED_WITHIN_S, headers=_headers(note)
            )
            return
        await asyncio.sleep(max(0.0, ACKNOWLEDGED_WITHIN_S - (time.monotonic() - began)))


async def send_repeated(client: Client, note: str) -> None:
    """Sends it REPEATS times, though JetStream has acknowledged the first."""
    for repeat in range(REPEATS):
        if repeat:
            await asyncio.sleep(REPEATS_EVERY_S)
        await send_acknowledged(client, note)


def _payload(note: str) -> bytes:
    return json.dumps({"note": note, "pad": "." * PAD}).encode()


def _headers(note: str) -> dict[str, Any] | None:
    return {"Nats-Msg-Id": note} if IDS else None


async def send_put(client: Client, note: str) -> None:
    """Puts it into the key-value bucket, under a key of its own."""
    bucket = await client.jetstream().key_value("jobs")
    await bucket.put(f"job.{note}", _payload(note))


SENDERS: dict[str, Callable[[Client, str], Awaitable[None]]] = {
    "core": send_core,
    "flushed": send_flushed,
    "requested": send_requested,
    "acknowledged": send_acknowledged,
    "retried": send_retried,
    "repeated": send_repeated,
    "put": send_put,
}


async def be_desk(port: int) -> None:
    """The entry, for ever."""
    send = SENDERS[SENDS]

    async def take(request: web.Request) -> web.Response:
        note = str((await request.json())["note"])
        try:
            await send(MADE[-1], note)
        except Error as error:
            return web.json_response({"reason": repr(error)}, status=503)
        return web.json_response({}, status=202)

    async def up(_: web.Request) -> web.Response:
        return web.json_response({})

    async def healthy(_: web.Request) -> web.Response:
        return web.json_response({}, status=200 if HEALTHY == "always" or MADE[-1].is_connected else 503)

    app = web.Application()
    app.router.add_post("/jobs", take)
    app.router.add_get("/healthy", healthy)
    app.router.add_get("/up", up)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


# ---- the hand: one function a way to take ---------------------------------------------------------------------------


def took(data: bytes, attempt: int = 1) -> int | None:
    """Tells the book of a job that is in hand now, where it is told of that; its number there."""
    note = str(json.loads(data)["note"])
    return book.enter(note, by=os.environ["NAME"], begun=time.time(), attempt=attempt) if HANDS else None


async def work(data: bytes, attempt: int = 1, number: int | None = None) -> bool:
    """Does one job, which has this number in the book or none yet; whether it could be done."""
    note, begun = str(json.loads(data)["note"]), time.time()
    if POISON_EVERY and int(note.rpartition("-")[2]) % POISON_EVERY == 0:
        tell("poison", note)
        return False
    await asyncio.sleep(WORKS_S)
    if number is None:
        book.enter(note, by=os.environ["NAME"], begun=begun, attempt=attempt)
    else:
        book.finish(number, at=time.time())
    tell("done", note)
    return True


async def take_core(client: Client) -> None:
    """What is published while it is subscribed; an answer where one is awaited."""

    async def handle(message: Msg) -> None:
        await work(message.data, number=took(message.data))
        if message.reply:
            await message.respond(b"done")

    for _ in range(AT_ONCE):
        await client.subscribe("jobs", "hands", cb=handle, pending_msgs_limit=LIMIT)
    await client.flush()


async def take_pulled(client: Client) -> None:
    """Fetches BATCH jobs at once and does them, each acknowledged when it is done."""
    slots = asyncio.Semaphore(AT_ONCE)
    config = ConsumerConfig(ack_wait=ACK_WAIT_S, max_deliver=MAX_DELIVER)
    pull = await client.jetstream().pull_subscribe("", durable="hands", stream=STREAM, config=config)

    async def settle(message: Msg, number: int | None) -> None:
        async with slots:
            if await work(message.data, message.metadata.num_delivered or 1, number):
                await message.ack()

    async def loop() -> None:
        while True:
            try:
                messages = await pull.fetch(BATCH, timeout=1)
            except (Error, TimeoutError):
                await asyncio.sleep(0.1)
                continue
            numbers = []
            for message in messages:
                tell("taken", json.loads(message.data)["note"])
                numbers.append(took(message.data, message.metadata.num_delivered or 1))
            await asyncio.gather(*map(settle, messages, numbers))

    begin(loop())
    if ADVISORIES == "heard":
        await hear_advisories(client)


async def hear_advisories(client: Client) -> None:
    """What was delivered for the last time becomes a dead letter, and leaves the stream."""
    stream = client.jetstream()

    async def handle(advisory: Msg) -> None:
        seq = int(json.loads(advisory.data)["stream_seq"])
        await client.publish("dead", (await stream.get_msg(STREAM, seq)).data or b"")
        await stream.delete_msg(STREAM, seq)

    await client.subscribe(f"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.{STREAM}.hands", cb=handle)


async def take_watched(client: Client) -> None:
    """What is put into the key-value bucket, as a watcher tells it."""
    watcher = await (await client.jetstream().key_value("jobs")).watchall()

    async def loop() -> None:
        async for entry in watcher:
            if entry is not None and entry.value:
                await work(entry.value)

    begin(loop())


async def take_nothing(client: Client) -> None:
    """Is there CROWD times, each client with options of its own; they wait JITTER_S more at most before they return."""
    for number in range(1, CROWD):
        OPTIONS["reconnect_time_wait"] = RETURNS_AFTER_S + JITTER_S * number / CROWD
        CLIENTS.append(await connected())


def begin(loop: Coroutine[Any, Any, None]) -> None:
    """Goes on beside the rest; the process does not outlive it."""

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            tell("ended:", repr(task.exception()))
            os._exit(1)

    LOOPS.append(asyncio.create_task(loop))
    LOOPS[-1].add_done_callback(ended)


CLIENTS: list[Client] = []
LOOPS: list[asyncio.Task[None]] = []
TAKERS: dict[str, Callable[[Client], Awaitable[None]]] = {
    "core": take_core,
    "pulled": take_pulled,
    "watched": take_watched,
    "nothing": take_nothing,
}


async def be_hand(client: Client) -> None:
    """The worker, until it is told to stop."""
    stopped = asyncio.Event()
    if STOPS:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    await TAKERS[TAKES](client)
    tell("ready")
    await stopped.wait()
    if STOPS == "drain":
        await client.drain()
    else:
        await client.close()
    if STOPS == "stay":
        for loop in LOOPS:
            loop.cancel()
        await asyncio.Event().wait()


async def main() -> None:
    """Connects, and is what the first argument says."""
    client = await connected()
    if sys.argv[1] == "desk":
        await be_desk(int(sys.argv[2]))
    else:
        await be_hand(client)


if __name__ == "__main__":
    asyncio.run(main())
