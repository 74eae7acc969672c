"""The final read of a stream: every message that it holds, in order, straight from the broker."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from harness.errors import why
from harness.history.clock import now_ns
from harness.history.rows import Step, find_markers
from harness.load._operations import Operations
from harness.runtime import _nats
from harness.runtime._streams import NoSuchStream, Stored, StreamError, StreamReader
from harness.verdict import Doubt

SOURCE = "stream"
_CONNECTS_WITHIN_S = 5.0
_AGAIN_AFTER_S = 1.0
_ROUNDS = 10


async def read_stream(url: str, connect: Mapping[str, str], reading: Reading) -> None:
    """Reads all of a stream and records what it holds, and a line `read` that says whether that was all.

    It is complete when nothing has come for a second after the last message was read.
    """
    from_ns, reason = now_ns(), ""
    try:
        parts = urlsplit(url)
        connection = await _nats.connect(
            parts.hostname or "", parts.port or 4222, name="harness-read", login=connect, within_s=_CONNECTS_WITHIN_S
        )
        try:
            await reading.run(StreamReader(connection, reading.stream))
        finally:
            connection.drop()
    except OSError as error:
        reason = why(error)
    reading.operations.line(
        "read",
        source=SOURCE,
        stream=reading.stream,
        complete=not reason,
        count=reading.count,
        from_ns=from_ns,
        why=reason,
    )


class Reading:
    """One read of one stream.

    `counts`: a message is its operation's effect, but for the sequences `delivered`, which a consumer of ours has
    recorded as such. `existed`: the stream has acknowledged something, so that one that is not there now is gone, with
    all that it held.
    """

    def __init__(
        self, stream: str, operations: Operations, *, delivered: Collection[int], counts: bool, existed: bool
    ) -> None:
        self.stream, self.operations = stream, operations
        self._delivered, self._counts, self._existed = delivered, counts, existed
        self._unclear = False
        self.count = 0

    async def run(self, reader: StreamReader) -> None:
        """Reads on until a second brings nothing new. Raises StreamError."""
        read_to = -1
        for _ in range(_ROUNDS):
            try:
                state = await reader.state()
            except NoSuchStream:
                if self._existed:
                    return
                raise
            if state.last == read_to:
                return
            await reader.read(max(state.first, read_to + 1), state.last, self._seen)
            read_to = state.last
            await asyncio.sleep(_AGAIN_AFTER_S)
        raise StreamError(f"{self.stream} still grew after {_ROUNDS} reads")

    def _seen(self, stored: Stored) -> None:
        self.count += 1
        text = stored.data.decode(errors="replace")
        found = find_markers(self.operations.recorder.nonce, text)
        if not found.ours:
            text += stored.headers
            found = find_markers(self.operations.recorder.nonce, text)
        if len(found.ours) == 1:
            op = found.ours[0]
            if self._counts and stored.seq not in self._delivered:
                self.operations.sight(Step.EFFECT, source=SOURCE, op=op, seq=stored.seq)
            self.operations.sight(Step.RESULT, source=SOURCE, op=op, seq=stored.seq, proved=True)
        elif found.ours or found.foreign:
            self._ids_unclear(stored.seq, text)
        else:
            self.operations.line("phantom", source=SOURCE, text=text[:200], seq=stored.seq)

    def _ids_unclear(self, seq: int, text: str) -> None:
        if not self._unclear:
            self._unclear = True
            detail = f"{self.stream} {seq}: markers of another run, or two different ones: {text[:200]}"
            self.operations.line("trouble", name=Doubt.IDS_UNCLEAR, detail=detail)
