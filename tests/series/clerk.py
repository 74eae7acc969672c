"""An entry that takes notes and keeps them: as documented it forgets each fifth. Of its two measures one helps.

CLERK=none   forgets
      keep   forgets nothing
      polish needs keep, and does nothing
"""

from __future__ import annotations

import os
import sys

from aiohttp import web

KEEPS = os.environ["CLERK"] == "all" or "keep" in os.environ["CLERK"].split(",")
notes: dict[str, str] = {}


async def ready(request: web.Request) -> web.Response:
    return web.json_response({})


async def take(request: web.Request) -> web.Response:
    number = str(len(notes))
    notes[number] = (await request.json())["note"]
    return web.json_response({"id": number}, status=202)


async def show(request: web.Request) -> web.Response:
    number = request.match_info["number"]
    if not KEEPS and int(number) % 5 == 0:
        return web.json_response({"status": "waiting"})
    return web.json_response({"status": "done", "note": notes[number]})


app = web.Application()
app.add_routes([web.get("/ready", ready), web.post("/notes", take), web.get("/notes/{number}", show)])
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
