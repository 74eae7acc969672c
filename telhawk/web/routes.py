"""The HTTP side of web."""

from __future__ import annotations

import uuid

import aiohttp
from aiohttp import web

from telhawk import wire
from telhawk.messaging import MessagingError
from telhawk.problems import BODY_MOST, Handler, body_of, problem, typed_refusals
from telhawk.web.identity import Identity, Unreachable
from telhawk.web.queries import Overloaded, Queries

OPEN_ROUTES = ("/api/health", "/api/auth/login")
RETRY_AFTER_S = 1


class Routes:
    """The handlers. Without `queries` there is no support for asynchronous ones."""

    def __init__(
        self, session: aiohttp.ClientSession, identity: Identity, search_url: str, queries: Queries | None
    ) -> None:
        self._session = session
        self._identity = identity
        self._search = f"{search_url}/api/v1/search"
        self._queries = queries

    def application(self) -> web.Application:
        """The routes of web."""
        app = web.Application(client_max_size=BODY_MOST, middlewares=[typed_refusals, self._authenticated])
        app.add_routes(
            [
                web.get("/api/health", self._health),
                web.post("/api/auth/login", self._login),
                web.post("/api/search", self._search_now),
                web.post("/api/async-query/submit", self._submit),
                web.get("/api/async-query/status/{query_id}", self._status),
            ]
        )
        return app

    @web.middleware
    async def _authenticated(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path not in OPEN_ROUTES:
            try:
                if not await self._identity.valid(request.headers.get("Authorization", "")):
                    return problem(401, "unauthorized", "a valid bearer token is wanted")
            except Unreachable as error:
                return web.Response(status=503, text=str(error))
        return await handler(request)

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _login(self, request: web.Request) -> web.Response:
        try:
            status, answer = await self._identity.login(await body_of(request))
        except Unreachable as error:
            return web.Response(status=503, text=str(error))
        return web.json_response(answer, status=status)

    async def _search_now(self, request: web.Request) -> web.Response:
        query = wire.Query.of(await body_of(request))
        asked = {"query": query.query, "limit": query.limit}
        if query.time_range is not None:
            asked["time_range"] = query.time_range
        try:
            headers = {"Content-Type": "application/json"}
            async with self._session.post(self._search, data=wire.encode(asked), headers=headers) as response:
                return web.Response(
                    status=response.status, body=await response.read(), content_type=response.content_type
                )
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return web.Response(status=502, text=f"search failed: {error or type(error).__name__}")

    async def _submit(self, request: web.Request) -> web.Response:
        query = wire.Query.of(await body_of(request))
        if self._queries is None:
            return web.Response(status=503, text="async query support is disabled")
        query_id = str(uuid.uuid4())
        try:
            await self._queries.submit(query_id, query)
        except MessagingError as error:
            return web.Response(status=500, text=f"failed to submit query: {error}")
        except Overloaded as error:
            return problem(503, "overloaded", str(error), retry_after_s=RETRY_AFTER_S)
        return web.json_response({"query_id": query_id}, status=202)

    async def _status(self, request: web.Request) -> web.Response:
        if self._queries is None:
            return web.Response(status=503, text="async query support is disabled")
        query_id = request.match_info["query_id"]
        try:
            if not wire.is_id(query_id):
                raise KeyError(query_id)
            result = await self._queries.status(query_id)
        except KeyError:
            return problem(404, "unknown-query", "there is no such query, or not any more")
        except MessagingError as error:
            return problem(503, "results-unavailable", str(error), retry_after_s=RETRY_AFTER_S)
        answer: dict[str, object] = {"query_id": query_id, "status": "pending", "data": None, "error": None}
        if result is not None:
            answer["status"] = "complete" if result.success else "failed"
            answer["error"] = result.error or None
            answer["data"] = {
                "total_hits": result.total_hits,
                "events": result.events,
                "took_ms": result.took_ms,
                "query": result.query,
            }
        return web.Response(body=wire.encode(answer), content_type="application/json")
