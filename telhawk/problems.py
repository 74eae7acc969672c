"""What the services on aiohttp share: reading bodies, typed refusals, and listening."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from telhawk.wire import Malformed, encode, parse

BODY_MOST = 512 * 1024

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def problem(status: int, kind: str, detail: str, *, retry_after_s: int | None = None) -> web.Response:
    """A typed refusal: `kind` names the type, `detail` says what is wrong with this request."""
    body = {"type": f"urn:telhawk:{kind}", "title": kind.replace("-", " "), "status": status, "detail": detail}
    headers = {"Retry-After": str(retry_after_s)} if retry_after_s is not None else None
    return web.Response(status=status, body=encode(body), content_type="application/problem+json", headers=headers)


async def body_of(request: web.Request) -> Any:
    """The request's JSON. Raises Malformed, and aiohttp's own error for a body that is too large."""
    try:
        return parse(await request.read())
    except (web.RequestPayloadError, ConnectionError) as error:
        raise Malformed(f"the body cannot be read: {error}"[:200]) from None


@web.middleware
async def typed_refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Make a typed refusal of what is wrong with the request itself."""
    try:
        return await handler(request)
    except Malformed as error:
        return problem(400, "invalid-request", str(error))
    except web.HTTPRequestEntityTooLarge:
        return problem(413, "too-large", f"a body of at most {BODY_MOST} bytes is wanted")
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed) as error:
        return problem(error.status, error.reason.lower().replace(" ", "-"), f"{request.method} {request.path}"[:200])


@asynccontextmanager
async def serving(app: web.Application, host: str, port: int) -> AsyncIterator[None]:
    """Listen, without handling any signal, and stop without waiting for anything. Raises OSError."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield
    finally:
        await runner.cleanup()
