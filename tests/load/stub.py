"""A misbehaving entry: what it does is told by the path. Prints its port. Run as a program.

POST /submit/<how>, GET /things/<how>/<ref>; the body of a submit is {"note": "marker:<op>"}.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

WAITS_S = 30


class Stub:
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.polls: dict[str, int] = {}

    async def submit(self, request: web.Request) -> web.StreamResponse:
        note = (await request.json())["note"]
        match request.match_info["how"]:
            case "refused":
                body, kind = '{"type": "about:overload"}', "application/problem+json"
                return web.Response(text=body, content_type=kind, status=503, headers={"Retry-After": "5"})
            case "status500":
                return web.json_response({"id": "1"}, status=500)
            case "moved":
                return web.Response(status=307, headers={"Location": "/submit/done"})
            case "slow":
                await asyncio.sleep(WAITS_S)
            case "closed":
                self._drop(request)
            case "cut":
                answer = web.StreamResponse(status=202, headers={"Content-Length": "100"})
                await answer.prepare(request)
                await answer.write(b'{"id": "1"')
                self._drop(request)
            case "endless":
                answer = web.StreamResponse(status=202)
                await answer.prepare(request)
                while True:
                    await answer.write(b" " * 65536)
            case "garbage":
                assert request.transport is not None
                request.transport.write(b"this is no HTTP\r\n\r\n")
                await asyncio.sleep(WAITS_S)
            case "noref":
                return web.json_response({"name": "1"}, status=202)
            case "nojson":
                return web.Response(text="<html>", status=202)
        self.notes.append(note)
        return web.json_response({"id": f"a/{len(self.notes) - 1}"}, status=202)

    async def thing(self, request: web.Request) -> web.StreamResponse:
        ref = request.match_info["ref"]
        self.polls[ref] = self.polls.get(ref, 0) + 1
        note = self.notes[int(ref.removeprefix("a/"))]
        document: dict[str, Any] = {"state": {"name": "complete"}, "note": note}
        match request.match_info["how"]:
            case "done" if self.polls[ref] < 3:
                document["state"]["name"] = "pending"
            case "pending":
                document["state"]["name"] = "pending"
            case "failed":
                document["state"]["name"] = "failed"
            case "gone":
                return web.Response(status=404)
            case "crossed":
                others = [other for other in self.notes[:2] if other != note]
                document |= {"note": others[0]} if others else {"state": {"name": "pending"}}
            case "both":
                document["note"] = f"{note} {note}1"
            case "unanswered":
                return web.Response(status=503)
            case "silent":
                await asyncio.sleep(WAITS_S)
        return web.json_response(document)

    @staticmethod
    def _drop(request: web.Request) -> None:
        assert request.transport is not None
        request.transport.close()


async def main() -> None:
    stub = Stub()
    app = web.Application()
    app.router.add_post("/submit/{how}", stub.submit)
    app.router.add_get("/things/{how}/{ref}", stub.thing)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
