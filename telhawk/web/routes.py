"""The HTTP side of web."""

from __future__ import annotations

import uuid

from aiohttp import web
from aiohttp.typedefs import Middleware

from telhawk import wire
from telhawk.calls import Caller, CallError, TooManyCalls
from telhawk.messaging import MessagingError
from telhawk.problems import BODY_MOST, Handler, Refused, body_of
from telhawk.sight import alive
from telhawk.web.identity import Identity, Unreachable
from telhawk.web.queries import Overloaded, Queries
from telhawk.wiring import HeadersFor

OPEN_ROUTES = ("/api/health", "/api/ready", "/metrics", "/api/auth/login")


class Routes:
    """The handlers. Without `queries` there is no support for asynchronous ones."""

    def __init__(
        self, caller: Caller, identity: Identity, search_url: str, queries: Queries | None, headers: HeadersFor
    ) -> None:
        self._caller = caller
        self._identity = identity
        self._search = f"{search_url}/api/v1/search"
        self._queries = queries
        self._headers = headers

    def application(self, refusals: Middleware) -> web.Application:
        """The routes of web; `refusals` says what is wrong with a request, or went wrong."""
        app = web.Application(client_max_size=BODY_MOST, middlewares=[refusals, self._authenticated])
        app.add_routes(
            [
                web.get("/api/health", alive),
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
                    raise Refused(401, "unauthorized", "a valid bearer token is wanted")
            except Unreachable as error:
                raise _without_identity(error) from error
        return await handler(request)

    async def _login(self, request: web.Request) -> web.Response:
        try:
            status, answer = await self._identity.login(await body_of(request))
        except Unreachable as error:
            raise _without_identity(error) from error
        if status != 200:
            kind = "unauthorized" if status == 401 else "invalid-request"
            raise Refused(status, kind, "authenticate refuses it", body=wire.encode(answer))
        return web.json_response(answer)

    async def _search_now(self, request: web.Request) -> web.Response:
        query = wire.Query.of(await body_of(request))
        asked = {"query": query.query, "limit": query.limit}
        if query.time_range is not None:
            asked["time_range"] = query.time_range
        try:
            answer = await self._caller.post(self._search, wire.encode(asked), self._headers(str(uuid.uuid4())))
        except TooManyCalls as error:
            raise Refused(503, "overloaded", f"search: {error}", again=True) from error
        except CallError as error:
            raise Refused(502, "search-unavailable", f"search failed: {error}", again=True) from error
        headers = {"Retry-After": answer.retry_after} if answer.retry_after else None
        return web.Response(status=answer.status, body=answer.body, content_type=answer.content_type, headers=headers)

    async def _submit(self, request: web.Request) -> web.Response:
        query = wire.Query.of(await body_of(request))
        queries = self._available()
        query_id = str(uuid.uuid4())
        try:
            await queries.submit(query_id, query)
        except MessagingError as error:
            raise Refused(500, "broker-unavailable", f"failed to submit query: {error}", again=True) from error
        except Overloaded as error:
            raise Refused(503, "overloaded", str(error), again=True) from error
        return web.json_response({"query_id": query_id}, status=202)

    async def _status(self, request: web.Request) -> web.Response:
        queries = self._available()
        query_id = request.match_info["query_id"]
        try:
            if not wire.is_id(query_id):
                raise KeyError(query_id)
            result = await queries.status(query_id)
        except KeyError:
            raise Refused(404, "unknown-query", "there is no such query, or not any more") from None
        except MessagingError as error:
            raise Refused(503, "results-unavailable", str(error), again=True) from error
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

    def _available(self) -> Queries:
        if self._queries is None:
            raise Refused(503, "broker-unavailable", "async query support is disabled", again=True)
        return self._queries


def _without_identity(error: Unreachable) -> Refused:
    kind = "overloaded" if isinstance(error.__cause__, TooManyCalls) else "authenticate-unavailable"
    return Refused(503, kind, str(error), again=True)
