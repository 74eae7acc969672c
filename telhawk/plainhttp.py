"""JSON over HTTP from the standard library, a thread a connection, for the services that need no broker.

It imports in a tenth of the time of aiohttp, and a stack starts all its services at once.
"""

from __future__ import annotations

import json
import re
import socketserver
import sys
import time
import traceback
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from telhawk import bodies

BODY_MOST = 8 * 1024 * 1024
# Longer than a client keeps an idle connection, so that none is closed in the moment it is used again.
IDLE_S = 75


class Refusal(Exception):
    """The request is answered with this status, for this reason; `allowed` are the methods of the route it is for."""

    def __init__(self, status: int, kind: str, reason: str, allowed: Collection[str] = ()) -> None:
        self.status, self.kind, self.reason, self.allowed = status, kind, reason, allowed
        super().__init__(reason)


@dataclass(frozen=True)
class Request:
    """A request: the groups of the route's path, the last value of each query parameter, headers and body."""

    groups: tuple[str, ...]
    parameters: dict[str, str]
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body. Raises Refusal when it is not JSON that can be written again."""
        return parse(self.body)


def parse(data: bytes | str) -> Any:
    """The JSON in `data`. Raises Refusal when it is not JSON that can be written again."""
    try:
        value = json.loads(data)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise Refusal(400, "parsing_exception", f"not JSON: {error}"[:200]) from None
    return value


Answer = tuple[int, object]
Routes = list[tuple[str, str, Callable[[Request], Answer]]]
"""Method, a regular expression for the whole path, and what answers."""


class JsonServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Serves `routes`; `refused` gives the JSON of a refusal."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, host: str, port: int, routes: Routes, refused: Callable[[Refusal], object]) -> None:
        self.routes = [(method, re.compile(path), handler) for method, path, handler in routes]
        self.refused = refused
        super().__init__((host, port), _Handler)

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        """The answer to one request. Raises Refusal; a mistake of ours is told to the client as no more than that."""
        try:
            return self._answer(method, target, headers, body)
        except Refusal:
            raise
        except Exception:
            traceback.print_exc()
            raise Refusal(500, "internal_error", "the request failed") from None

    def _answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        try:
            url = urlsplit(target)
        except ValueError as error:
            raise Refusal(400, "bad_request", f"{target!r}: {error}"[:200]) from None
        path = unquote(url.path)
        allowed = set()
        for served, pattern, handler in self.routes:
            if match := pattern.fullmatch(path):
                allowed.add(served)
                if served == method:
                    values = parse_qs(url.query, keep_blank_values=True)
                    parameters = {name: found[-1] for name, found in values.items()}
                    return handler(Request(match.groups(), parameters, headers, body))
        if allowed:
            raise Refusal(405, "method_not_allowed", f"{method} {path}"[:200], allowed)
        raise Refusal(404, "not_found", f"{method} {path}"[:200])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is nothing to report."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: JsonServer
    protocol_version = "HTTP/1.1"
    timeout = IDLE_S
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave in one segment

    def _serve(self) -> None:
        try:
            body = self._body()
        except Refusal as refusal:
            self.close_connection = True  # what follows on the connection is not known
            self._refuse(refusal)
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            answer = self.server.answer(self.command, self.path, headers, body)
        except Refusal as refusal:
            self._refuse(refusal)
        else:
            self._send(*answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = do_TRACE = _serve

    def _body(self) -> bytes:
        if "Transfer-Encoding" in self.headers:
            raise Refusal(411, "length_required", "a body with Content-Length is wanted")
        if self.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
            raise Refusal(415, "unsupported_media_type", "a body without Content-Encoding is wanted")
        length = self.headers.get("Content-Length", "0")
        if not length.isascii() or not length.isdigit() or len(length) > 18:
            raise Refusal(400, "bad_request", "Content-Length is no number")
        if int(length) > BODY_MOST:
            raise Refusal(413, "too_large", f"a body of at most {BODY_MOST} bytes is wanted")
        try:
            return self._read(int(length))
        except TimeoutError:
            raise Refusal(408, "request_timeout", bodies.late()) from None
        finally:
            self.connection.settimeout(IDLE_S)

    def _read(self, length: int) -> bytes:
        until = time.monotonic() + bodies.BODY_WITHIN_S
        parts: list[bytes] = []
        while length:
            left_s = until - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            self.connection.settimeout(left_s)
            part = self.rfile.read1(length)
            if not part:
                raise ConnectionResetError("the body was cut")
            parts.append(part)
            length -= len(part)
        return b"".join(parts)

    def _refuse(self, refusal: Refusal) -> None:
        headers = {"Allow": ", ".join(sorted(refusal.allowed))} if refusal.allowed else {}
        self._send(refusal.status, self.server.refused(refusal), headers)

    def _send(self, status: int, answer: object, headers: Mapping[str, str] | None = None) -> None:
        data = json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what is no request, in the service's own form."""
        self.request_version = self.protocol_version  # of a line that cannot be read it is not known
        self.close_connection = True
        status = HTTPStatus(code)
        kind = status.phrase.lower().replace(" ", "_").replace("-", "_")
        self._refuse(Refusal(code, kind, (message or status.phrase)[:200]))

    def log_message(self, format: str, *args: Any) -> None:
        """No line a request."""
