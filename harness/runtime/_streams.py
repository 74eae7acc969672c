"""Reading a JetStream stream from the side: each sequence is asked for by itself, many at once, straight of the broker.

That needs no consumer, so it acknowledges and removes nothing under any retention, stops at no limit of pending
acknowledgements, and knows of each sequence whether it was answered.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from base64 import b64decode
from collections.abc import Callable
from typing import Any, NamedTuple

from harness.runtime._nats import Connection
from harness.runtime._nats import Message as Reply

_AT_ONCE = 256
_STALLED_S = 5.0
_NO_SUCH_MESSAGE, _NO_SUCH_STREAM = 10037, 10059  # JetStream's err_code


class StreamError(OSError):
    """A stream that is not there, or could not be read to its end."""


class NoSuchStream(StreamError):
    """JetStream itself says that there is no such stream."""


class Stored(NamedTuple):
    """A message of a stream; `headers` is their text, `at` the broker's wall time of storing it, as RFC 3339."""

    seq: int
    data: bytes
    headers: str
    at: str


class State(NamedTuple):
    """Of a stream: when it was made (another one of its name was made later), its first and last sequence."""

    made: str
    first: int
    last: int


class StreamReader:
    """Reads one stream over a connection, which the caller keeps."""

    def __init__(self, connection: Connection, stream: str) -> None:
        self._connection, self._stream = connection, stream
        self._inbox = f"_INBOX.{secrets.token_hex(11)}"
        self._asked: set[int] = set()
        self._held: dict[int, Stored | None] = {}  # answered, and not given yet; None: no such message
        self._states = 0  # asked for; only the last one's answer counts
        self._said: asyncio.Future[dict[str, Any]] | None = None
        self._room = asyncio.Event()
        self._error = ""
        connection.subscribe(f"{self._inbox}.*", self._answered)

    async def state(self) -> State:
        """What the stream holds now. Raises StreamError; where there is no such stream, NoSuchStream."""
        self._said = asyncio.get_running_loop().create_future()
        self._states += 1
        reply = f"{self._inbox}.state-{self._states}"
        self._connection.publish(f"$JS.API.STREAM.INFO.{self._stream}", b"", reply=reply)
        try:
            async with asyncio.timeout(_STALLED_S):
                told = await self._said
        except TimeoutError as error:
            raise StreamError(self._silence()) from error
        if "error" in told:
            gone = told["error"].get("err_code") == _NO_SUCH_STREAM
            raise (NoSuchStream if gone else StreamError)(_words(told["error"]))
        state = told["state"]
        # Sequences begin at 1, and a stream that never held a message says 0.
        return State(str(told["created"]), max(1, int(state["first_seq"])), int(state["last_seq"]))

    async def read(self, first: int, last: int, take: Callable[[Stored], None]) -> None:
        """Gives each message that the stream holds from `first` to `last`, in order; raises StreamError.

        What was removed is left out. A caller that is told of an error has been given what came before it.
        """
        self._asked.clear()
        self._held.clear()
        self._error = ""
        given = first
        for seq in range(first, last + 1):
            await self._wait(_AT_ONCE - 1)
            self._asked.add(seq)
            self._connection.publish(
                f"$JS.API.STREAM.MSG.GET.{self._stream}", b'{"seq":%d}' % seq, reply=f"{self._inbox}.{seq}"
            )
            given = self._give(given, take)
        await self._wait(0)
        self._give(given, take)

    def _give(self, seq: int, take: Callable[[Stored], None]) -> int:
        """Gives what is answered from `seq` on, up to the first that is not; that one's sequence."""
        while seq in self._held:
            stored = self._held.pop(seq)
            if stored is not None:
                take(stored)
            seq += 1
        return seq

    async def _wait(self, most: int) -> None:
        """Waits until at most so many are unanswered; sees to it that each is answered rightly."""
        while len(self._asked) > most and not self._error:
            self._room.clear()
            try:
                async with asyncio.timeout(_STALLED_S):
                    await self._room.wait()
            except TimeoutError as error:
                raise StreamError(self._silence()) from error
        if self._error:
            raise StreamError(self._error)

    def _silence(self) -> str:
        """Why there was no answer."""
        return self._connection.ended or next(iter(self._connection.refused), f"no answer for {_STALLED_S:g} s")

    def _answered(self, reply: Reply) -> None:
        what = reply.subject.rpartition(".")[2]
        told = _told(reply)
        if what.startswith("state-"):
            if what == f"state-{self._states}" and self._said is not None and not self._said.done():
                self._said.set_result(told)
            return
        seq = int(what)
        error = told.get("error")
        if seq not in self._asked:  # of a read that was given up
            return
        if error is None or error.get("err_code") == _NO_SUCH_MESSAGE:  # a hole is as good an answer as a message
            self._held[seq] = None if error else _stored(told["message"])
        else:
            self._error = _words(error)
        self._asked.discard(seq)
        self._room.set()


def _told(reply: Reply) -> dict[str, Any]:
    if not reply.data:
        return {"error": {"code": 503, "description": "no responders: JetStream is not enabled for this user"}}
    told = json.loads(reply.data)
    return told if isinstance(told, dict) else {"error": {"description": "no answer of JetStream's"}}


def _stored(message: dict[str, Any]) -> Stored:
    headers = b64decode(message.get("hdrs") or "").decode(errors="replace")
    return Stored(int(message["seq"]), b64decode(message.get("data") or ""), headers, str(message["time"]))


def _words(error: dict[str, Any]) -> str:
    return f"{error.get('code', '')} {error.get('description', '')}".strip()
