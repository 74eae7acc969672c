"""A small system that keeps its promises, but for the sins that it is told to commit, and tells of each on its output.

    python sinner.py web PORT    the entry: has the work done over the broker, and remembers what came of it
    python sinner.py hand        the worker

The entry answers POST /work {note} with 202 {id} once the work was done, 503 where it was not; GET /work/{id} with what
became of it; GET /effects?after=N with what was done, the deeds that it knows for repeats marked so. SINS names what it
does wrong, by comma; of its operations each SIN_EVERY-th commits the sin, at a place of its own, so that no operation
commits two. A line "sin NAME NOTE" on the output tells which operation was wronged.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import Any

from aiohttp import web
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error

SIN_EVERY = 17
AT_A_TIME = {
    "lose": 1,  # accepted, never done, never told of
    "forget": 2,  # done, and then not known
    "double": 3,  # done twice
    "skip": 4,  # said to be done, and not done
    "phantom": 5,  # besides, something is done that nobody offered
    "unmarked": 6,  # besides, something is done that carries no marker
    "crossed": 7,  # its result is that of the operation before
    "refuse": 8,  # refused for no reason
    "deny": 9,  # done, and yet refused
    "late": 10,  # its result is told LATE_S after it was accepted
    "fail": 11,  # an honest failure, which no budget allows in calm
    "slow": 12,  # its answer takes SLOW_S
    "hang": 13,  # it is never answered
    "beside": 14,  # its result tells of the operation before too, in a list beside its own id: no sin at all
    "paired": 15,  # its effect names the operation before too
}
"""Sins of single operations, and their places. At place 0 no sin: a deed is repeated, and known to be a repeat."""
FOR_GOOD = ("deaf", "gone", "idle")
"""Sins of a client: pings nobody; never reconnects; reconnects and does nothing any more."""
OF_THE_ENTRY = ("mute", "weary", "slack")
"""For MUTE, refuses all; once it lost its connection, refuses every second one; then takes SLOW_S for each."""
SLOW_S = 0.6
MUTE = range(60, 120)
LATE_S = 3.0
ASKS_WITHIN_S = 1.5
GHOST = 1_000_000
"""Added to an operation's number, it gives one that nobody offered."""

SINS = frozenset(filter(None, os.environ["SINS"].replace("none", "").split(",")))
assert not SINS - {*AT_A_TIME, *FOR_GOOD, *OF_THE_ENTRY}, SINS


def told(sin: str, note: str) -> None:
    """Confesses."""
    print("sin", sin, note, flush=True)


class Line:
    """The one connection to the broker; `idle` once it was lost, where the sin is to come back and not to work."""

    def __init__(self) -> None:
        self.client, self.idle, self.lost = Client(), False, False

    async def open(self) -> None:
        await self.client.connect(
            os.environ["NATS_URL"],
            name=os.environ["NAME"],
            allow_reconnect="gone" not in SINS,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.1,  # type: ignore[arg-type]  # annotated int, used as seconds
            connect_timeout=0.4,  # type: ignore[arg-type]
            ping_interval=3600 if "deaf" in SINS else 0.3,  # type: ignore[arg-type]
            max_outstanding_pings=2,
            pending_size=-1,
            disconnected_cb=self._lost,
            error_cb=self._note,
        )

    async def _lost(self) -> None:
        self.lost = True
        self.idle = "idle" in SINS  # now, since work may arrive before a callback tells that it is back

    async def _note(self, error: Exception) -> None:
        print("nats:", error or type(error).__name__, flush=True)


class Web:
    """The entry."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._taken = 0
        self._works: dict[str, dict[str, Any]] = {}
        self._effects: list[dict[str, Any]] = []
        self._before = ""

    async def take(self, request: web.Request) -> web.Response:
        note = str((await request.json())["note"])
        self._taken = number = self._taken + 1
        sin = next((sin for sin in SINS if AT_A_TIME.get(sin) == number % SIN_EVERY), "") or self._of_mine(number)
        if sin:
            told(sin, note)
        if sin in ("refuse", "mute", "weary"):
            return _refused("not today")
        if sin in ("slow", "slack", "hang"):
            await asyncio.sleep(3600 if sin == "hang" else SLOW_S)
        deed = {"op": note, "by": "", "begun": time.time()}
        if sin not in ("lose", "fail"):
            try:
                deed = await self._done(note)
            except (Error, TimeoutError) as error:
                return _refused(repr(error))
        if sin == "paired":
            deed["op"] = f"{note} {self._before}"
        self._record(deed, sin, again=number % SIN_EVERY == 0)
        if sin == "deny":
            return _refused("it was nothing")
        shown = self._before if sin == "crossed" else note
        told_of = [note]
        if sin == "beside":
            told_of.insert(0, self._before)
            print("told of", *told_of, flush=True)
        self._works[str(number)] = {"sin": sin, "taken": time.monotonic(), "note": shown, "told_of": told_of}
        self._before = note
        return web.json_response({"id": str(number)}, status=202)

    def _of_mine(self, number: int) -> str:
        """What the entry itself does wrong to its operation of this number; nothing: ""."""
        if "mute" in SINS and number in MUTE:
            return "mute"
        if "weary" in SINS and self._line.lost and number % 2:
            return "weary"
        return "slack" if "slack" in SINS and self._line.lost else ""

    async def _done(self, note: str) -> dict[str, Any]:
        """Has the work done; raises nats.errors.Error or TimeoutError where nobody did it."""
        if self._line.idle:
            raise Error("idle")
        begun = time.time()
        answer = await self._line.client.request("work", note.encode(), timeout=ASKS_WITHIN_S)
        return {"op": note, "by": answer.data.decode(), "begun": begun}

    def _record(self, deed: dict[str, Any], sin: str, *, again: bool) -> None:
        if sin not in ("lose", "fail", "skip"):
            self._effects.append(deed)
        if sin == "double":
            self._effects.append(dict(deed))
        elif sin == "unmarked":
            self._effects.append({**deed, "op": "whose is this?"})
        elif sin == "phantom":
            run, writer, n = deed["op"].rsplit("-", 2)
            ghost = f"{run}-{writer}-{int(n) + GHOST}"
            self._effects.append({**deed, "op": ghost})
            told("ghost", ghost)
        elif again:
            self._effects.append({**deed, "repeat": True})

    async def tell(self, request: web.Request) -> web.Response:
        work = self._works.get(request.match_info["id"])
        if work is None or work["sin"] == "forget":
            return web.json_response({"status": "unknown"}, status=404)
        if work["sin"] == "lose" or (work["sin"] == "late" and time.monotonic() - work["taken"] < LATE_S):
            return web.json_response({"status": "working"})
        status = "failed" if work["sin"] == "fail" else "done"
        return web.json_response({"status": status, "note": work["note"], "told_of": work["told_of"]})

    async def ready(self, _: web.Request) -> web.Response:
        try:
            await self._done("anybody there?")
        except (Error, TimeoutError) as error:
            return _refused(repr(error))
        return web.json_response({})

    async def effects(self, request: web.Request) -> web.Response:
        after = int(request.query["after"])
        return web.json_response({"effects": self._effects[after:], "next": len(self._effects)})


def _refused(reason: str) -> web.Response:
    return web.json_response({"reason": reason}, status=503)


async def be_web(line: Line, port: int) -> None:
    """The entry, for ever."""
    entry = Web(line)
    app = web.Application()
    app.router.add_post("/work", entry.take)
    app.router.add_get("/work/{id}", entry.tell)
    app.router.add_get("/effects", entry.effects)
    app.router.add_get("/ready", entry.ready)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


async def be_hand(line: Line) -> None:
    """The worker, for ever."""

    async def work(message: Msg) -> None:
        if not line.idle:
            await message.respond(os.environ["NAME"].encode())

    await line.client.subscribe("work", cb=work)
    await line.client.flush()
    await asyncio.Event().wait()


async def main() -> None:
    """Opens the line, and is what the first argument says."""
    line = Line()
    await line.open()
    if sys.argv[1] == "web":
        await be_web(line, int(sys.argv[2]))
    else:
        await be_hand(line)


if __name__ == "__main__":
    asyncio.run(main())
