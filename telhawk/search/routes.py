"""The HTTP side of search: probes, and the same query asked synchronously."""

from __future__ import annotations

import uuid

from aiohttp import web

from telhawk import wire
from telhawk.problems import BODY_MOST, body_of, typed_refusals
from telhawk.search.engine import Engine, EngineError


def application(engine: Engine) -> web.Application:
    """The routes of search."""

    async def alive(request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def search(request: web.Request) -> web.Response:
        job = wire.Job.of(str(uuid.uuid4()), wire.Query.of(await body_of(request)))
        try:
            result = await engine.run(job, attempt=1)
        except EngineError as error:
            return web.Response(status=502, text=f"search failed: {error}")
        status = 200 if result.success else 400
        return web.Response(status=status, body=result.encode(), content_type="application/json")

    app = web.Application(client_max_size=BODY_MOST, middlewares=[typed_refusals])
    app.add_routes(
        [web.get("/healthz", alive), web.get("/readyz", alive), web.post("/api/v1/search", search)],
    )
    return app
