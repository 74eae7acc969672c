"""What the services on aiohttp share: reading bodies, refusals, and listening."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from telhawk import bodies
from telhawk.wire import Malformed, parse

BODY_MOST = 512 * 1024
# What aiohttp decodes, and of what is no coding; any other it would hand on as it stands.
ENCODINGS = frozenset({"identity", "gzip", "deflate", "br", "zstd"})

# Of aiohttp's own timeouts, none is what zero says.
AT_ONCE_S = 0.001

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Refused(Exception):
    """The request is refused, or failed.

    `kind` names what is wrong, `detail` says it of this request, `again` whether the same request may do better later.
    Plainly it is answered with `status` and the detail, or with `body`, which is JSON.
    """

    def __init__(self, status: int, kind: str, detail: str, *, again: bool = False, body: bytes = b"") -> None:
        self.status, self.kind, self.detail, self.again, self.body = status, kind, detail, again, body
        super().__init__(detail)


async def body_of(request: web.Request) -> Any:
    """The request's JSON.

    Raises Malformed, Refused for a body that does not come or is encoded in a way that nobody here can read, aiohttp's
    own for one too large.
    """
    if (encoding := request.headers.get("Content-Encoding", "identity").strip().lower()) not in ENCODINGS:
        raise Refused(415, "unsupported-media-type", f"the body's Content-Encoding is unknown: {encoding!a}"[:200])
    try:
        async with asyncio.timeout(bodies.BODY_WITHIN_S):
            body = await request.read()
        return parse(body)
    except TimeoutError:
        raise Refused(408, "request-timeout", bodies.late()) from None
    except (web.RequestPayloadError, ConnectionError) as error:
        raise Malformed(f"the body cannot be read: {error}"[:200]) from None


@web.middleware
async def plain_refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Say in plain text what is wrong."""
    try:
        return await handler(request)
    except Malformed as error:
        return web.Response(status=400, text=str(error))
    except Refused as refused:
        if refused.body:
            return web.Response(status=refused.status, body=refused.body, content_type="application/json")
        return web.Response(status=refused.status, text=refused.detail)


@asynccontextmanager
async def serving(
    app: web.Application,
    host: str,
    port: int,
    *,
    finish_s: float = AT_ONCE_S,
    protocol: type[web.RequestHandler] = web.RequestHandler,
) -> AsyncIterator[None]:
    """Listen, without handling any signal. At the end, wait `finish_s` for the requests in hand. Raises OSError.

    `protocol` answers a connection, also what is no request.
    """
    runner = web.AppRunner(app, shutdown_timeout=finish_s)
    await runner.setup()
    loop, manager = asyncio.get_running_loop(), runner.server
    assert manager is not None

    def connection() -> web.RequestHandler:
        return protocol(manager, loop=loop, access_log=None)  # type: ignore[arg-type]  # none is what says: no log

    try:
        listening = await loop.create_server(connection, host, port, backlog=128)
        try:
            yield
        finally:
            for socket in listening.sockets:
                loop.remove_reader(socket.fileno())
            # In this turn who was accepted by now gets a connection: for a closed server asyncio forgets its socket.
            await asyncio.sleep(0)
            listening.close()
    finally:
        await runner.cleanup()
