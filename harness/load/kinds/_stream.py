"""The final read of a stream: every message that it holds, in order, straight from the broker.

Each sequence is asked for by itself, many at once. That needs no consumer, so it acknowledges and removes nothing under
any retention, stops at no limit of pending acknowledgements, and knows of each sequence whether it was answered. It
reads and records 11,000 messages a second on the bench's two cores.
"""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from harness.errors import HarnessError
from harness.history.clock import now_ns
from harness.history.rows import Step, find_markers
from harness.load._operations import Operations
from harness.load.kinds._connection import credentials
from harness.verdict import Doubt

SOURCE = "stream"
_AT_ONCE = 256
_STALLED_S = 5.0
_AGAIN_AFTER_S = 1.0
_ROUNDS = 10
_NO_MESSAGE = 404


class _Incomplete(HarnessError):
    """The stream could not be read to its end."""


async def read_stream(url: str, connect: Mapping[str, str], stream: str, operations: Operations) -> None:
    """Reads all of `stream` and records what it holds, and a line `read` that says whether that was all.

    It is complete when nothing has come for a second after the last message was read.
    """
    from_ns = now_ns()
    reading = _Reading(stream, operations)
    why = ""
    try:
        async with asyncio.timeout(5):
            client = Client()
            options = {"allow_reconnect": False, "reconnect_time_wait": 0.2, **credentials(connect)}
            await client.connect(url, name="harness-read", connect_timeout=2, max_reconnect_attempts=1, **options)
        try:
            await reading.run(client)
        finally:
            with suppress(nats.errors.Error, OSError, TimeoutError):
                async with asyncio.timeout(1):
                    await client.close()
    except (nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError, _Incomplete) as error:
        why = str(error) or type(error).__name__
    operations.line(
        "read", source=SOURCE, stream=stream, complete=not why, count=reading.count, from_ns=from_ns, why=why
    )


class _Reading:
    """One read of one stream."""

    def __init__(self, stream: str, operations: Operations) -> None:
        self._stream, self._operations = stream, operations
        self._asked: set[int] = set()
        self._room = asyncio.Event()
        self._error = ""
        self._unclear = False
        self.count = 0

    async def run(self, client: Client) -> None:
        """Reads on until a second brings nothing new. Raises what nats-py raises, and _Incomplete."""
        inbox, subject = client.new_inbox(), f"$JS.API.STREAM.MSG.GET.{self._stream}"
        await client.subscribe(f"{inbox}.*", cb=self._answered)
        read_to = 0
        for _ in range(_ROUNDS):
            state = (await client.jetstream(timeout=2).stream_info(self._stream)).state
            if read_to and state.last_seq == read_to:
                return
            for seq in range(max(state.first_seq, read_to + 1), state.last_seq + 1):
                await self._wait(_AT_ONCE - 1)
                self._asked.add(seq)
                await client.publish(subject, b'{"seq":%d}' % seq, reply=f"{inbox}.{seq}")
            await self._wait(0)
            read_to = state.last_seq
            await asyncio.sleep(_AGAIN_AFTER_S)
        raise _Incomplete(f"it still grew after {_ROUNDS} reads", where=self._stream)

    async def _wait(self, most: int) -> None:
        """Waits until at most so many are unanswered; sees to it that each is answered rightly."""
        while len(self._asked) > most:
            self._room.clear()
            try:
                async with asyncio.timeout(_STALLED_S):
                    await self._room.wait()
            except TimeoutError as error:
                raise _Incomplete(f"no answer for {_STALLED_S} s", where=self._stream) from error
        if self._error:
            raise _Incomplete(self._error, where=self._stream)

    async def _answered(self, message: Msg) -> None:
        seq = int(message.subject.rpartition(".")[2])
        self._asked.discard(seq)
        self._room.set()
        if not message.data:
            self._error = "no responders"
            return
        answer: dict[str, Any] = json.loads(message.data.decode())
        error = answer.get("error")
        if error is None:
            self._seen(seq, answer["message"])
        elif error.get("code") != _NO_MESSAGE:  # a hole is as good an answer as a message
            self._error = f"{error.get('code')} {error.get('description')}"

    def _seen(self, seq: int, message: dict[str, Any]) -> None:
        self.count += 1
        text = b64decode(message.get("data") or "").decode(errors="replace")
        found = find_markers(self._operations.recorder.nonce, text)
        if not found.ours:
            text += b64decode(message.get("hdrs") or "").decode(errors="replace")
            found = find_markers(self._operations.recorder.nonce, text)
        if len(found.ours) == 1:
            op = found.ours[0]
            self._operations.sight(Step.EFFECT, source=SOURCE, op=op, seq=seq)
            self._operations.sight(Step.RESULT, source=SOURCE, op=op, seq=seq, proved=True)
        elif found.ours or found.foreign:
            self._ids_unclear(seq, text)
        else:
            self._operations.line("phantom", source=SOURCE, text=text[:200], seq=seq)

    def _ids_unclear(self, seq: int, text: str) -> None:
        if not self._unclear:
            self._unclear = True
            detail = f"{self._stream} {seq}: markers of another run, or two different ones: {text[:200]}"
            self._operations.line("trouble", name=Doubt.IDS_UNCLEAR, detail=detail)
