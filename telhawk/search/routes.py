"""The HTTP side of search: probes, and the same query asked synchronously."""

from __future__ import annotations

import uuid

from aiohttp import web
from aiohttp.typedefs import Middleware

from telhawk import wire
from telhawk.problems import BODY_MOST, Refused, body_of
from telhawk.search.engine import Engine, EngineError, EngineOverloaded, KeyReused
from telhawk.sight import alive


def application(engine: Engine, refusals: Middleware) -> web.Application:
    """The routes of search; `refusals` says what is wrong with a request, or went wrong."""

    async def search(request: web.Request) -> web.Response:
        job = wire.Job.of(_job_id(request), wire.Query.of(await body_of(request)))
        try:
            result = await engine.run(job, attempt=1)
        except KeyReused as error:
            raise Refused(422, "idempotency-key-reused", str(error)) from error
        except EngineOverloaded as error:
            raise Refused(502, "overloaded", f"search failed: {error}", again=True) from error
        except EngineError as error:
            raise Refused(502, "event-store-unavailable", f"search failed: {error}", again=True) from error
        if not result.success:
            raise Refused(400, "query-failed", result.error, body=result.encode())
        return web.Response(body=result.encode(), content_type="application/json")

    app = web.Application(client_max_size=BODY_MOST, middlewares=[refusals])
    app.add_routes(
        [web.get("/healthz", alive), web.post("/api/v1/search", search)],
    )
    return app


def _job_id(request: web.Request) -> str:
    """The id by which whoever asks would ask for the same again, or a new one."""
    key = request.headers.get("Idempotency-Key", "")
    return key if wire.is_id(key) else str(uuid.uuid4())
