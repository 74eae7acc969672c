"""Effects: what the work did to the world, enumerated by whoever keeps it, read at its direct address.

The enumeration only grows, so that its numbers name records; a record's `finished` may still come. Each record is one
sighting, EFFECT or (where the system itself recognised one) REPEAT, at its own time, and one FINISHED of the same seq.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, monotonic_ns

from harness.errors import UsageError, why
from harness.history.clock import parse_time, take_anchor
from harness.history.recorder import Recorder
from harness.history.rows import OpId, Step
from harness.observe._base import Gap, Json, Values, as_number, as_text, find_op, first, json_path
from harness.observe._enumerations import Enumeration, Messages, Pages, by_command, by_url
from harness.system.model import Effects as EffectsTable

POLLS_EVERY_S = 0.25
RUNS_EVERY_S = 1.0
"""How often a command is run while the load lasts."""
READ_WITHIN_S = 30.0
READ_AGAIN_LIMIT = 2000
"""Where more records than this lie behind the oldest unfinished one, they are read again only every 2 s."""
READ_AGAIN_EVERY_S = 2.0
FINAL_READS_APART_S = 1.0
FINAL_WITHIN_S = 10.0


@dataclass(frozen=True)
class Direct:
    """Where effects are read: past every proxy.

    `values` are what placeholders stand for: direct addresses, kept values. `folder` is where commands run. `host` and
    `port` are the broker's, `login` as `_nats.connect` takes it.
    """

    values: Mapping[str, str] = field(repr=False)
    folder: Path = Path()
    host: str = ""
    port: int = 0
    login: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(slots=True)
class _Record:
    name: str  # what it says of its operation, which never changes
    op: OpId | None
    ref: str
    by: str
    attempt: int
    repeat: bool
    finished: bool
    begun_ns: int


class Effects:
    """Reads one `effects` table. Raises UsageError for one without a source or whose url is no http URL.

    Raises UnknownName for a placeholder without a value.
    """

    def __init__(self, recorder: Recorder, table: EffectsTable, direct: Direct, *, where: str = "") -> None:
        self.source = "effects"
        self._recorder = recorder
        self._gap = Gap(recorder, self.source)
        paths = {name: getattr(table, name) for name in ("op", "ref", "by", "begun", "finished", "attempt", "repeat")}
        self._find: dict[str, Values | None] = {name: json_path(path) if path else None for name, path in paths.items()}
        self._enumeration = _enumeration(table, direct, where)
        self._reading = asyncio.Lock()
        self._records: dict[int, _Record] = {}
        self._unfinished: dict[int, None] = {}  # numbers, oldest first
        self._read_again_s = 0.0

    async def watch(self) -> None:
        """Reads what is new, and what was unfinished, again and again until cancelled."""
        read_ns = monotonic_ns()
        try:
            while True:
                asked_ns = monotonic_ns()
                try:
                    await self._read(self._resume())
                except (OSError, ValueError) as error:
                    self._gap.open(why(error), from_ns=read_ns)
                else:
                    self._gap.close()
                    read_ns = asked_ns
                await asyncio.sleep(self._enumeration.every_s)
        finally:
            self._enumeration.close()

    def begun_by(self, by: str, *, before_ns: int) -> Iterator[OpId]:
        """The operations that this replica had begun by then, repeats included, as last read."""
        for record in self._records.values():
            if record.by == by and record.op is not None and record.begun_ns < before_ns:
                yield record.op

    async def final(self) -> None:
        """Reads everything, until two reads 1 s apart are equal or 10 s are over; only then is the read complete."""
        deadline = monotonic() + FINAL_WITHIN_S
        before: object = None
        complete, from_ns, reason = False, monotonic_ns(), ""
        while not complete and monotonic() < deadline:
            from_ns = monotonic_ns()
            try:
                found = await self._read(0)
            except (OSError, ValueError) as error:
                reason = why(error)
                self._gap.open(reason, from_ns=from_ns)
                before = None
            else:
                self._gap.close()
                complete, reason = found == before, "it still changes"
                before = found
            if not complete:
                await asyncio.sleep(FINAL_READS_APART_S)
        count, reason = len(self._records), "" if complete else reason
        self._recorder.line("read", source=self.source, complete=complete, count=count, from_ns=from_ns, why=reason)

    def _resume(self) -> int:
        """The number to read from: that of the oldest unfinished record, or of the first that is not known."""
        following = len(self._records)
        if not self._unfinished:
            return following
        oldest = next(iter(self._unfinished))
        if following - oldest > READ_AGAIN_LIMIT:
            if monotonic() < self._read_again_s + READ_AGAIN_EVERY_S:
                return following
            self._read_again_s = monotonic()
        return oldest

    async def _read(self, since: int) -> object:
        async with self._reading, asyncio.timeout(READ_WITHIN_S):
            return await self._enumeration.read(since, self._take)

    def _take(self, number: int, found: Json, stored_at: str | None) -> None:
        if number not in self._records:
            self._records[number] = self._begin(number, found, stored_at)
        record = self._records[number]
        if self._name(found) != record.name:
            raise ValueError(f"record {number} is not the one that it was: the enumeration must only grow")
        if record.finished or (at := first(self._find["finished"], found)) is None:
            return
        record.finished = True
        self._unfinished.pop(number, None)
        self._sight(Step.FINISHED, number, record, _t_ns(at))

    def _name(self, found: Json) -> str:
        return f"{as_text(first(self._find['op'], found))} {as_text(first(self._find['ref'], found))}"

    def _begin(self, number: int, found: Json, stored_at: str | None) -> _Record:
        ref, value = as_text(first(self._find["ref"], found)), first(self._find["op"], found)
        op = None
        if not ref or self._find["op"]:
            op = find_op(self._recorder, as_text(value) if self._find["op"] else as_text(found), source=self.source)
        begun = first(self._find["begun"], found)
        record = _Record(
            name=self._name(found),
            op=op,
            ref=ref,
            by=as_text(first(self._find["by"], found)),
            attempt=as_number(first(self._find["attempt"], found)),
            repeat=first(self._find["repeat"], found) is True,
            finished=self._find["finished"] is None,
            begun_ns=_t_ns(stored_at if begun is None else begun),
        )
        if not record.finished:
            self._unfinished[number] = None
        self._sight(Step.REPEAT if record.repeat else Step.EFFECT, number, record, record.begun_ns)
        return record

    def _sight(self, step: Step, number: int, record: _Record, t_ns: int) -> None:
        """One sighting; nothing for what names nobody."""
        if record.op is None and not record.ref:
            return
        self._recorder.sight(
            step,
            t_ns=t_ns,
            source=self.source,
            op=record.op,
            ref=record.ref,
            by=record.by,
            seq=number,
            attempt=record.attempt,
        )


def _t_ns(at: Json) -> int:
    """A record's own time on our clock, or that of reading where it tells none."""
    return monotonic_ns() if at is None else take_anchor(1).t_of_wall(parse_time(at))


def _enumeration(table: EffectsTable, direct: Direct, where: str) -> Enumeration:
    onward = json_path(table.next) if table.next else None
    if table.url is not None and table.each is not None:
        return Pages(by_url(table.url, direct.values, json_path(table.each), onward), every_s=POLLS_EVERY_S)
    if table.command is not None:
        values = {**direct.values, "python": sys.executable}
        return Pages(by_command(table.command, values, direct.folder, onward), every_s=RUNS_EVERY_S)
    if table.stream is not None:
        return Messages(table.stream, direct.host, direct.port, direct.login)
    raise UsageError("effects are read from a url (with each), a command or a stream", where=where, fix="give one")
