"""A desk where work is handed in three ways, and each way's deeds are listed in another: as commands, streams, URLs do.

    python desk.py PORT

    POST /work {note}        200; its deeds are listed by GET /deeds/http?after=N, which list.py prints line by line
    a request on work.ask    answered; its deeds are messages of the stream DEEDS, which the desk makes
    a message on work.tell   not answered; its deeds are listed by GET /deeds/core?after=N

GET /ready is 200 once all that is so. SINS names by comma what it does wrong: of each way's works every SIN_EVERY-th is
done twice ("double") or not at all ("skip"); it says so on its output, as "sin NAME NOTE".
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

import nats
from aiohttp import web
from nats.aio.msg import Msg

SIN_EVERY = 17
AT_A_TIME = {"double": 1, "skip": 2}
SINS = {"none": (), "all": tuple(AT_A_TIME)}.get(os.environ["SINS"], os.environ["SINS"].split(","))


class Desk:
    """What was handed in, and what was done."""

    def __init__(self) -> None:
        self._works: dict[str, int] = {}
        self._deeds: dict[str, list[dict[str, Any]]] = {"http": [], "core": []}

    def deeds_of(self, way: str, note: str) -> list[dict[str, Any]]:
        """What is to be done for one work: one deed, two, or none."""
        number = self._works[way] = self._works.get(way, 0) + 1
        sin = next((sin for sin in SINS if AT_A_TIME[sin] == number % SIN_EVERY), "")
        if sin:
            print("sin", sin, note, flush=True)
        return [{"note": note}] * {"": 1, "double": 2, "skip": 0}[sin]

    async def take(self, request: web.Request) -> web.Response:
        self._deeds["http"] += self.deeds_of("http", (await request.json())["note"])
        return web.json_response({"thanks": True})

    async def hear(self, message: Msg) -> None:
        self._deeds["core"] += self.deeds_of("core", message.data.decode())

    async def tell(self, request: web.Request) -> web.Response:
        after = int(request.query["after"])
        deeds = self._deeds[request.match_info["way"]][after : after + 50]
        return web.json_response({"deeds": deeds, "next": after + len(deeds)})


async def main() -> None:
    client = await nats.connect(os.environ["NATS_URL"], max_reconnect_attempts=-1)
    context = client.jetstream()
    await context.add_stream(name="DEEDS", subjects=["deeds.>"])
    desk = Desk()

    async def answer(message: Msg) -> None:
        for deed in desk.deeds_of("request", json.loads(message.data)["note"]):
            await context.publish("deeds.request", json.dumps(deed).encode())
        await message.respond(b"")  # an answer may say nothing

    await client.subscribe("work.ask", cb=answer)
    await client.subscribe("work.tell", cb=desk.hear)
    await client.flush()
    app = web.Application()
    app.router.add_post("/work", desk.take)
    app.router.add_get("/deeds/{way}", desk.tell)
    app.router.add_get("/ready", lambda _: asyncio.sleep(0, web.Response()))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(sys.argv[1])).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
