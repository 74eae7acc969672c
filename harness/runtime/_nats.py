"""One NATS connection that never reconnects, in some 200 lines: the observers' and the probe's own.

A client library would cost 0.8 s to import, hides when a byte was sent, and reconnecting by itself can hang for minutes
on a black hole (nats.py #671). Here a connection that is not well is dropped and another made, by whoever holds it.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic_ns
from typing import Any, NamedTuple

from harness.errors import why
from harness.runtime.contract import Address

_CREDS = re.compile(r"-{3,}BEGIN ([A-Z ]+)-{3,}\s+([\w.=+/-]+?)\s+-{3,}END")


class Message(NamedTuple):
    """A message as it arrived at `got_ns`; `headers` is their text, "" where there are none."""

    subject: str
    headers: str
    data: bytes
    got_ns: int


class Connection(asyncio.Protocol):
    """A connection to one server. Made by `connect`; once `alive` is False it stays so, and `ended` says why.

    `info` is the server's greeting.
    """

    def __init__(self) -> None:
        self.info: Mapping[str, Any] = {}
        self.alive = False
        self.ended = ""
        self._transport: asyncio.Transport | None = None
        self.refused: list[str] = []  # what the server would not let us publish or subscribe to, in its words
        self._buffer = b""
        self._greeted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pongs: deque[asyncio.Future[None]] = deque()
        self._callbacks: dict[bytes, Callable[[Message], None]] = {}
        self._lost = asyncio.Event()

    def subscribe(self, subject: str, callback: Callable[[Message], None]) -> None:
        """Asks for a subject, known to the server after a flush; `callback` gets each message as its bytes arrive."""
        sid = str(len(self._callbacks) + 1).encode()
        self._callbacks[sid] = callback
        self._write(b"SUB %b %b\r\n" % (subject.encode(), sid))

    def publish(self, subject: str, data: bytes, *, reply: str = "", headers: Mapping[str, str] | None = None) -> None:
        """Hands a message to the kernel; never blocks. Nothing happens on a connection that is not alive."""
        to = f"{subject} {reply}".rstrip().encode()
        if not headers:
            self._write(b"PUB %b %d\r\n%b\r\n" % (to, len(data), data))
            return
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"NATS/1.0\r\n{lines}\r\n".encode()
        size = len(head) + len(data)
        self._write(b"HPUB %b %d %d\r\n%b%b\r\n" % (to, len(head), size, head, data))

    def announce(self, subject: str, size: int) -> None:
        """Begins to publish a message of so many bytes, of which none follow: the server judges the size by itself."""
        self._write(b"PUB %b %d\r\n" % (subject.encode(), size))

    async def flush(self, *, within_s: float) -> None:
        """Waits until the server has answered a ping, so has done what was asked before it. Raises OSError if not."""
        if not self.alive:
            raise ConnectionResetError(self.ended or "closed")
        pong: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pongs.append(pong)
        self._write(b"PING\r\n")
        async with asyncio.timeout(within_s):
            await pong

    async def lost(self) -> str:
        """Waits until the connection has ended; why it did."""
        await self._lost.wait()
        return self.ended

    def drop(self, reason: str = "closed by us") -> None:
        """Closes at once, whatever the peer does."""
        self._end(reason)
        if self._transport is not None:
            self._transport.abort()

    # ---- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio."""
        self._end(why(exc) if exc else "EOF")

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        got_ns = monotonic_ns()
        self._buffer += data
        at = 0
        while (end := self._buffer.find(b"\r\n", at)) >= 0:
            after = self._operation(self._buffer[at:end], end + 2, got_ns)
            if after is None:
                break
            at = after
        self._buffer = self._buffer[at:]

    # ---- inside

    def _operation(self, line: bytes, after: int, got_ns: int) -> int | None:
        """Acts on one line; where the next begins, or None where its payload has not arrived whole."""
        verb, _, rest = line.partition(b" ")
        match verb.upper():
            case b"MSG" | b"HMSG":
                return self._message(rest.split(), verb.upper() == b"HMSG", after, got_ns)
            case b"PING":
                self._write(b"PONG\r\n")
            case b"PONG":
                if self._pongs and not (pong := self._pongs.popleft()).done():
                    pong.set_result(None)
            case b"INFO":
                self.info = json.loads(rest)
                if not self._greeted.done():
                    self._greeted.set_result(None)
            case b"-ERR":
                text = rest.decode(errors="replace").strip(" '")
                if text.lower().startswith("permissions violation"):
                    self.refused.append(text)
                else:  # after any other the server closes
                    self._end(text)
        return after

    def _message(self, words: list[bytes], has_headers: bool, after: int, got_ns: int) -> int | None:
        size = int(words[-1])
        if len(self._buffer) < after + size + 2:
            return None
        split = after + (int(words[-2]) if has_headers else 0)
        headers = self._buffer[after:split].decode(errors="replace")
        callback = self._callbacks.get(words[1])
        if callback is not None:
            callback(Message(words[0].decode(errors="replace"), headers, self._buffer[split : after + size], got_ns))
        return after + size + 2

    async def _greet(self, name: str, login: Mapping[str, str]) -> None:
        await self._greeted
        if self.ended:
            raise ConnectionResetError(self.ended)
        options = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True, "echo": True}
        about = {"name": name, "lang": "nats-harness", "version": "1", "protocol": 1}
        self.alive = True
        self._write(b"CONNECT %b\r\n" % json.dumps({**options, **about, **_login(login, self.info)}).encode())
        await self.flush(within_s=60)

    def _write(self, data: bytes) -> None:
        if self._transport is not None and self.alive:
            self._transport.write(data)

    def _end(self, reason: str) -> None:
        self.alive = False
        self.ended = self.ended or reason
        if not self._greeted.done():
            self._greeted.set_result(None)
        for pong in self._pongs:
            if not pong.done():
                pong.set_exception(ConnectionResetError(self.ended))
        self._pongs.clear()
        self._lost.set()


async def connect(
    host: str, port: int, *, name: str, login: Mapping[str, str], within_s: float, local: Address | None = None
) -> Connection:
    """A connection that the server has greeted and let in. `local` is the end that it comes from.

    `login` has user and password, token, or creds (a file's path); or nothing. Raises OSError: refused, closed, turned
    away (with the server's words), or (TimeoutError) not let in `within_s`.
    """
    async with asyncio.timeout(within_s):
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, host, port, local_addr=local)
        try:
            await connection._greet(name, login)
        except BaseException:
            connection.drop()
            raise
    return connection


def _login(login: Mapping[str, str], info: Mapping[str, Any]) -> dict[str, str]:
    if "creds" in login:
        return _signed(login["creds"], str(info.get("nonce", "")))
    names = {"user": "user", "password": "pass", "token": "auth_token"}
    return {theirs: login[ours] for ours, theirs in names.items() if login.get(ours)}


def _signed(path: str, nonce: str) -> dict[str, str]:
    """What a creds file says, with the server's nonce signed by its seed."""
    import nkeys  # type: ignore[import-untyped]  # 0.1 s, for those who need it

    found = dict(_CREDS.findall(Path(path).read_text()))
    key = nkeys.from_seed(found["USER NKEY SEED"].encode())
    signature = base64.urlsafe_b64encode(key.sign(nonce.encode())).rstrip(b"=").decode()
    return {"jwt": found["NATS USER JWT"], "sig": signature}
