"""errors: every refusal and failure is a problem (RFC 9457) with a type of its own, and says when to come back."""

from __future__ import annotations

import logging

from aiohttp import web

from telhawk.problems import BODY_MOST, Handler, Refused
from telhawk.wire import Malformed, encode

RETRY_AFTER_S = 1

log = logging.getLogger(__name__)


def problem(status: int, kind: str, detail: str, *, again: bool = False) -> web.Response:
    """A typed refusal: `kind` names the type, `detail` says what is wrong with this request."""
    body = {"type": f"urn:telhawk:{kind}", "title": kind.replace("-", " "), "status": status, "detail": detail}
    headers = {"Retry-After": str(RETRY_AFTER_S)} if again else None
    return web.Response(status=status, body=encode(body), content_type="application/problem+json", headers=headers)


@web.middleware
async def typed_refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Say by type what is wrong; what may do better later is a 503 with Retry-After."""
    try:
        return await handler(request)
    except Malformed as error:
        return problem(400, "invalid-request", str(error))
    except Refused as refused:
        status = 503 if refused.again else refused.status
        return problem(status, refused.kind, refused.detail, again=refused.again)
    except web.HTTPRequestEntityTooLarge:
        return problem(413, "too-large", f"a body of at most {BODY_MOST} bytes is wanted")
    except web.HTTPException as error:
        refusal = problem(error.status, _kind(error), f"{request.method} {request.path}"[:200])
        if isinstance(error, web.HTTPMethodNotAllowed):
            refusal.headers["Allow"] = error.headers["Allow"]
        return refusal
    except Exception:  # a mistake of ours; the client is told no more than that
        log.exception("request failed: %r", request.path)
        return problem(500, "internal-error", "the request failed")


class TypedProtocol(web.RequestHandler):
    """Says by type, too, what is refused before the application sees it: what is no HTTP, and an unknown Expect."""

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send `resp`, as a problem where it is a refusal in plain text."""
        if isinstance(resp, web.Response) and resp.status >= 400 and resp.content_type == "text/plain":
            typed = problem(resp.status, _kind(resp), (resp.text or resp.reason)[:200])
            if resp.keep_alive is False:
                typed.force_close()
            resp = typed
        return await super().finish_response(request, resp, start_time)


def _kind(refusal: web.Response) -> str:
    return str(refusal.reason).lower().replace(" ", "-")
