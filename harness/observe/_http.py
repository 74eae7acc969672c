"""HTTP/1.1, as much of it as an observer needs: GET, a deadline, the answer. A library would cost 0.5 s to import."""

from __future__ import annotations

import asyncio
from typing import NamedTuple
from urllib.parse import urlsplit

from harness.errors import UsageError

BODY_LIMIT = 64 * 1024 * 1024
"""Bytes of a body that are read at most."""


class Answer(NamedTuple):
    """What a server answered: `headers` by lower-case name, `body` without its framing, `last` if it then closes."""

    status: int
    headers: dict[str, str]
    body: bytes
    last: bool


async def get(url: str, *, within_s: float, headers: dict[str, str] | None = None) -> Answer:
    """The whole answer to one GET; see `ask`."""
    return await ask("GET", url, within_s=within_s, headers=headers)


async def ask(
    method: str, url: str, *, within_s: float, headers: dict[str, str] | None = None, body: bytes = b""
) -> Answer:
    """The whole answer to one request on a connection of its own; a redirect is an answer like any other.

    Raises OSError: refused, closed half-way, no HTTP, or (TimeoutError) not all of it `within_s`.
    Raises UsageError for a URL that is not http://host[:port]/...
    """
    host, port, target = split(url)
    async with asyncio.timeout(within_s):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(request(host, port, target, headers, close=True, method=method, body=body))
            return await read_answer(reader)
        finally:
            writer.transport.abort()


def split(url: str) -> tuple[str, int, str]:
    """Host, port and request target of an http URL; raises UsageError for any other."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise UsageError(f"{url!r} is no http URL", fix="observers read http://host:port/path")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return parts.hostname, parts.port or 80, target


def request(
    host: str,
    port: int,
    target: str,
    headers: dict[str, str] | None = None,
    *,
    close: bool = False,
    method: str = "GET",
    body: bytes = b"",
) -> bytes:
    """The bytes of a request."""
    fields = {"Host": f"{host}:{port}", "User-Agent": "nats-harness", "Accept": "*/*", **(headers or {})}
    if body or method in ("POST", "PUT", "PATCH"):
        fields["Content-Length"] = str(len(body))
    if close:
        fields["Connection"] = "close"
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode() + body


async def read_answer(reader: asyncio.StreamReader, begun: bytes = b"") -> Answer:
    """The next answer to a GET on a connection, of which `begun` was read already.

    Raises ConnectionError where it ends before, or speaks no HTTP.
    """
    try:
        while True:
            line, begun = begun.decode("latin-1") + await _line(reader), b""
            version, _, rest = line.partition(" ")
            if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
                raise ConnectionError("what answers there speaks no HTTP/1")
            status, headers = int(rest[:3]), await _headers(reader)
            if status >= 200:  # 1xx only announce the answer
                break
        body, framed = await _body(reader, status, headers)
    except asyncio.IncompleteReadError as error:
        raise ConnectionResetError("closed before the answer was complete") from error
    except asyncio.LimitOverrunError as error:
        raise ConnectionError("a line of the answer is too long") from error
    last = not framed or version == "HTTP/1.0" or headers.get("connection", "").lower() == "close"
    return Answer(status, headers, body, last)


async def _line(reader: asyncio.StreamReader) -> str:
    return (await reader.readuntil(b"\n")).decode("latin-1").rstrip("\r\n")


async def _headers(reader: asyncio.StreamReader) -> dict[str, str]:
    headers: dict[str, str] = {}
    while line := await _line(reader):
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return headers


async def _body(reader: asyncio.StreamReader, status: int, headers: dict[str, str]) -> tuple[bytes, bool]:
    """The body, and whether its end was told by anything but the connection's."""
    if status in (204, 304):
        return b"", True
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return await _chunks(reader), True
    if "content-length" in headers:
        return await reader.readexactly(_size(headers["content-length"], 10)), True
    body = b""
    while piece := await reader.read(65536):
        body += piece
        _size(str(len(body)), 10)
    return body, False


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := _size((await _line(reader)).partition(";")[0], 16):
        body += await reader.readexactly(size)
        _size(str(len(body)), 10)
        await reader.readexactly(2)
    await _headers(reader)  # trailers
    return body


def _size(text: str, base: int) -> int:
    try:
        size = int(text, base)
    except ValueError as error:
        raise ConnectionError(f"the answer's length is {text!r}") from error
    if not 0 <= size <= BODY_LIMIT:
        raise ConnectionError(f"an answer of {size} bytes; {BODY_LIMIT} are read at most")
    return size
