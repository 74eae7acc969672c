from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from harness.errors import UsageError
from harness.observe import _http
from tests.listening import listening


@asynccontextmanager
async def answering(*pieces: bytes, hold: bool = False) -> AsyncIterator[str]:
    """A server that answers each connection with these bytes, and closes unless it holds; its URL."""
    ended = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0)
        if hold:
            await reader.read()
        ended.set()

    async with listening(answer) as port:
        yield f"http://127.0.0.1:{port}/a?b=1"
        await ended.wait()


@pytest.mark.parametrize(
    ("answer", "last"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", False),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nT: 1\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\n\r\nhello", True),
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", False),
    ],
    ids=["length", "close", "chunked", "no framing", "early hints"],
)
async def test_reads_answers(answer: bytes, last: bool) -> None:
    async with answering(*(answer[at : at + 1] for at in range(len(answer)))) as url:
        found = await _http.get(url, within_s=2)
    assert (found.status, found.body, found.last) == (200, b"hello", last)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"SSH-2.0-x\r\n",
        b"x" * 100_000,
    ],
    ids=["nothing", "half a head", "half a body", "negative", "no chunk", "no HTTP", "no end of line"],
)
async def test_refuses_what_is_no_answer(answer: bytes) -> None:
    async with answering(answer) as url:
        with pytest.raises(ConnectionError):
            await _http.get(url, within_s=2)


async def test_one_deadline_for_all() -> None:
    async with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", hold=True) as url:
        with pytest.raises(TimeoutError):
            await _http.get(url, within_s=0.1)


async def test_two_answers_on_one_connection() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    assert (await _http.read_answer(reader)).status == 204
    assert (await _http.read_answer(reader)).body == b"ok"


@pytest.mark.parametrize("url", ["https://x/", "x", "http:///y"])
def test_other_urls(url: str) -> None:
    with pytest.raises(UsageError):
        _http.split(url)


def test_requests() -> None:
    assert _http.split("http://127.0.0.1:81?a=1") == ("127.0.0.1", 81, "/?a=1")
    assert _http.request("h", 1, "/x", close=True).startswith(b"GET /x HTTP/1.1\r\nHost: h:1\r\n")
