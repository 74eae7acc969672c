"""HTTP as the harness asks it of its own neighbours on loopback: one request a connection, one deadline for all."""

from __future__ import annotations

import asyncio
import json

from harness.runtime.contract import Address

LOOPBACK = "127.0.0.1"


async def request(
    method: str, address: Address, path: str, body: object = None, *, within_s: float
) -> tuple[int, bytes]:
    """Status and body of one answer. Raises TimeoutError, or OSError where there was none to read."""
    content = b"" if body is None else json.dumps(body).encode()
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\nUser-Agent: nats-harness\r\n"
        f"Connection: close\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    async with asyncio.timeout(within_s):
        reader, writer = await asyncio.open_connection(*address)
        try:
            writer.write(head.encode() + content)
            return _parsed(await reader.read())
        finally:
            writer.close()


def _parsed(answer: bytes) -> tuple[int, bytes]:
    head, separator, body = answer.partition(b"\r\n\r\n")
    line, *headers = head.split(b"\r\n")
    fields = line.split(b" ", 2)
    if not separator or len(fields) < 2 or not fields[1].isdigit():
        raise ConnectionResetError(f"not an HTTP answer: {answer[:80]!r}")
    if any(header.lower().replace(b" ", b"") == b"transfer-encoding:chunked" for header in headers):
        body = _joined(body)
    return int(fields[1]), body


def _joined(chunks: bytes) -> bytes:
    whole = b""
    while chunks:
        size, _, chunks = chunks.partition(b"\r\n")
        length = int(size.split(b";")[0], 16)
        whole, chunks = whole + chunks[:length], chunks[length + 2 :]
    return whole
