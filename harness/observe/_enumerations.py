"""The three ways to enumerate effects: a URL's pages, a command's lines, a stream's messages. Each only grows."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from harness.observe import _http
from harness.observe._base import OWN_NAME, Json, Values, as_text, first
from harness.runtime import _command, _nats
from harness.runtime._child_node import base_environment
from harness.runtime._streams import State, Stored, StreamError, StreamReader
from harness.system.placeholders import render

ANSWERS_WITHIN_S = 2.0
COMMAND_WITHIN_S = 5.0
FIRST_CURSOR = "0"

Take = Callable[[int, Json, str | None], None]
"""Is given each record: its number, which stays its own, what was found, and (a stream) when it was stored."""


class Enumeration(Protocol):
    """Where the records are."""

    every_s: float
    """How often what is new is asked for."""

    async def read(self, since: int, take: Take) -> object:
        """Gives the records from number `since` on, or from a little before; what compares equal if nothing changed.

        Raises OSError or ValueError where not all of them could be read; those given till then are right. Of two reads
        at a time nothing is promised.
        """
        ...

    def close(self) -> None:
        """Lets go of connections."""
        ...


Fetch = Callable[[str], Awaitable[tuple[Sequence[Json], str]]]
"""Reads one page at a cursor: its records, and the next page's cursor ("": there is none)."""


class Pages:
    """Pages, each of which tells where the next begins. Reading goes on where it ended, or where it is asked to."""

    def __init__(self, fetch: Fetch, *, every_s: float) -> None:
        self.every_s = every_s
        self._fetch = fetch
        self._bases, self._cursors = [0], [FIRST_CURSOR]  # where reading can begin: first number and its cursor
        self._count = 0

    async def read(self, since: int, take: Take) -> list[Json]:
        """See Enumeration."""
        page = bisect_right(self._bases, since) - 1
        number, cursor = self._bases[page], self._cursors[page]
        found: list[Json] = []
        while True:
            records, onward = await self._fetch(cursor)
            for record in records:
                take(number, record, None)
                number += 1
            found += records
            if not records or onward in ("", cursor):
                break
            cursor = onward
            if number > self._bases[-1]:
                self._bases.append(number)
                self._cursors.append(cursor)
        if number < self._count:
            raise ValueError(f"it lists {number} records, and had {self._count}")
        self._count = number
        return found

    def close(self) -> None:
        """See Enumeration."""


def by_url(url: str, direct: Mapping[str, str], each: Values, onward: Values | None) -> Fetch:
    """Answers to GET. Raises UsageError for what is no http URL, UnknownName for a placeholder without a value."""
    _http.split(render(url, {**direct, "cursor": FIRST_CURSOR}))

    async def fetch(cursor: str) -> tuple[Sequence[Json], str]:
        answer = await _http.get(render(url, {**direct, "cursor": cursor}), within_s=ANSWERS_WITHIN_S)
        if answer.status != 200:
            raise ConnectionError(f"status {answer.status}")
        document = json.loads(answer.body)
        return list(each(document)), as_text(first(onward, document))

    return fetch


def by_command(argv: Sequence[str], values: Mapping[str, str], folder: Path, onward: Values | None) -> Fetch:
    """Runs of a command, each line of whose output is a JSON object. Raises UnknownName as `by_url` does.

    A run that fails, prints anything else or does not end in COMMAND_WITHIN_S gives nothing.
    """
    for text in argv:
        render(text, {**values, "cursor": FIRST_CURSOR})

    async def fetch(cursor: str) -> tuple[Sequence[Json], str]:
        command = [render(text, {**values, "cursor": cursor}) for text in argv]
        try:
            ran = await _command.run(command, env=base_environment(), cwd=folder, within_s=COMMAND_WITHIN_S)
        except TimeoutError as error:
            raise OSError(f"{argv[0]} ran for more than {COMMAND_WITHIN_S:g} s") from error
        if ran.code:
            raise OSError(f"{argv[0]} {ran}")
        records = [_record(argv[0], line) for line in ran.out.splitlines() if line.strip()]
        return records, as_text(first(onward, records[-1])) if records else ""

    return fetch


def _record(command: str, line: bytes) -> Json:
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    if not isinstance(record, dict):
        raise ValueError(f"{command} printed a line that is no JSON object: {line[:80].decode(errors='replace')!r}")
    return record


class Messages:
    """The messages of a stream on the broker at host:port, by their sequence. `login` as `_nats.connect` takes it.

    What was removed before it was read may have been an effect: no read is complete any more after that.
    """

    every_s = 0.25

    def __init__(self, stream: str, host: str, port: int, login: Mapping[str, str]) -> None:
        self._stream, self._address, self._login = stream, (host, port), login
        self._connection: _nats.Connection | None = None
        self._reader: StreamReader | None = None
        self._made = ""  # when the stream was made, once that is known
        self._looked = False
        self._read_to = 0
        self._missed = ""

    async def read(self, since: int, take: Take) -> object:
        """See Enumeration. What was read is not read again, since a message never changes."""
        first_look, self._looked = not self._looked, True
        reader = await self._connected()
        state = await reader.state()
        if not self._made:
            self._made = state.made
            # What is gone at the first look was there before any work; of a stream that came later all counts.
            self._read_to = state.first - 1 if first_look else 0
        if state.made != self._made or state.last < self._read_to:
            self._missed = self._missed or f"{self._stream} was made anew"
        if not self._missed:
            await self._go_on(reader, state, take)
        if self._missed:
            raise StreamError(self._missed)
        return self._read_to

    async def _go_on(self, reader: StreamReader, state: State, take: Take) -> None:
        """Reads what has come since, and counts it: sequences are dense until something is removed."""

        def given(stored: Stored) -> None:
            missing = stored.seq - self._read_to - 1
            if missing:
                self._miss(missing)
            take(stored.seq, _content(stored), stored.at)
            self._read_to = stored.seq

        await reader.read(max(state.first, self._read_to + 1), state.last, given)
        if self._read_to < state.last:
            self._miss(state.last - self._read_to)
            self._read_to = state.last

    def _miss(self, count: int) -> None:
        self._missed = self._missed or f"{count} messages of {self._stream} were removed before they were read"

    async def _connected(self) -> StreamReader:
        """The reader, over a connection that is alive."""
        if self._reader is None or self._connection is None or not self._connection.alive:
            name = OWN_NAME + "effects"
            self._connection = await _nats.connect(
                *self._address, name=name, login=self._login, within_s=ANSWERS_WITHIN_S
            )
            self._reader = StreamReader(self._connection, self._stream)
        return self._reader

    def close(self) -> None:
        """See Enumeration."""
        if self._connection is not None:
            self._connection.drop()


def _content(stored: Stored) -> Json:
    """A message as JSON; as text where it is none."""
    text = stored.data.decode(errors="replace")
    try:
        return json.loads(text)
    except ValueError:
        return text
