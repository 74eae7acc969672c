"""Effects: what the work did to the world, enumerated by whoever keeps it, read page by page at its direct address.

The enumeration only grows, so that its ordinals name records; a record's `finished` may still come. Each record is one
sighting, EFFECT or (where the system itself recognised one) REPEAT, at its own time, and one FINISHED of the same seq.
"""

from __future__ import annotations

import asyncio
import json
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from time import monotonic, monotonic_ns

from harness.errors import UsageError
from harness.history.clock import parse_time, take_anchor
from harness.history.recorder import Recorder
from harness.history.rows import OpId, Step
from harness.observe import _http
from harness.observe._base import Gap, Json, Values, as_text, find_op, first, json_path, why
from harness.system.model import Effects as EffectsTable
from harness.system.placeholders import render

POLLS_EVERY_S = 0.25
ANSWERS_WITHIN_S = 2.0
READ_AGAIN_LIMIT = 2000
"""Where more records than this lie behind the oldest unfinished one, they are read again only every 2 s."""
READ_AGAIN_EVERY_S = 2.0
FINAL_READS_APART_S = 1.0
FINAL_WITHIN_S = 10.0
FIRST_CURSOR = "0"


@dataclass(slots=True)
class _Record:
    op: OpId | None
    ref: str
    by: str
    attempt: int
    repeat: bool
    finished: bool
    begun_ns: int


class Effects:
    """Reads one workload's `effects`. `direct` are the values of its placeholders: direct addresses, kept values.

    Raises UsageError for an enumeration that is no http URL, UnknownName for a placeholder without a value.
    """

    def __init__(self, recorder: Recorder, table: EffectsTable, direct: Mapping[str, str], *, where: str = "") -> None:
        if table.url is None:
            raise UsageError("effects are read from a url as yet", where=where, fix="give effects.url, or none")
        self.source = "effects"
        self._recorder, self._url, self._direct = recorder, table.url, dict(direct)
        _http.split(self._at(FIRST_CURSOR))
        self._gap = Gap(recorder, self.source)
        paths = {name: getattr(table, name) for name in ("each", "next", "op", "ref", "by", "begun", "finished")}
        paths |= {"attempt": table.attempt, "repeat": table.repeat}
        self._find: dict[str, Values | None] = {name: json_path(path) if path else None for name, path in paths.items()}
        self._records: list[_Record] = []
        self._unfinished: dict[int, None] = {}  # ordinals, oldest first
        self._bases, self._cursors = [0], [FIRST_CURSOR]  # where reading can begin: first ordinal and its cursor
        self._read_again_s = 0.0

    async def watch(self) -> None:
        """Reads what is new, and what was unfinished, every 0.25 s until cancelled."""
        read_ns = monotonic_ns()
        while True:
            asked_ns = monotonic_ns()
            try:
                await self._read(self._resume())
            except (OSError, ValueError) as error:
                self._gap.open(why(error), from_ns=read_ns)
            else:
                self._gap.close()
                read_ns = asked_ns
            await asyncio.sleep(POLLS_EVERY_S)

    def begun_by(self, by: str, *, before_ns: int) -> Iterator[OpId]:
        """The operations that this replica had begun by then, repeats included, as last read."""
        for record in self._records:
            if record.by == by and record.op is not None and record.begun_ns < before_ns:
                yield record.op

    async def final(self) -> None:
        """Reads everything, until two reads 1 s apart are equal or 10 s are over; only then is the read complete."""
        deadline = monotonic() + FINAL_WITHIN_S
        before: list[Json] | None = None
        complete, from_ns = False, monotonic_ns()
        while not complete and monotonic() < deadline:
            from_ns = monotonic_ns()
            try:
                records = await self._read(0)
            except (OSError, ValueError) as error:
                self._gap.open(why(error), from_ns=from_ns)
                before = None
            else:
                self._gap.close()
                complete = records == before and len(records) >= len(self._records)
                before = records
            if not complete:
                await asyncio.sleep(FINAL_READS_APART_S)
        self._recorder.line("read", source=self.source, complete=complete, count=len(self._records), from_ns=from_ns)

    def _resume(self) -> int:
        """Which page to begin with: that of the oldest unfinished record, or the last."""
        last = len(self._bases) - 1
        if not self._unfinished:
            return last
        oldest = next(iter(self._unfinished))
        if len(self._records) - oldest > READ_AGAIN_LIMIT:
            if monotonic() < self._read_again_s + READ_AGAIN_EVERY_S:
                return last
            self._read_again_s = monotonic()
        return bisect_right(self._bases, oldest) - 1

    async def _read(self, page: int) -> list[Json]:
        """Reads from that page to the end; the records as they were found."""
        ordinal, cursor = self._bases[page], self._cursors[page]
        found: list[Json] = []
        while True:
            answer = await _http.get(self._at(cursor), within_s=ANSWERS_WITHIN_S)
            if answer.status != 200:
                raise ConnectionError(f"status {answer.status}")
            document = json.loads(answer.body)
            each = self._find["each"]
            records = list(each(document)) if each else document
            if not isinstance(records, list):
                raise ValueError("the answer is no list, and effects.each does not say where one is in it")
            for record in records:
                self._take(ordinal, record)
                ordinal += 1
            found += records
            onward = as_text(first(self._find["next"], document))
            if not records or onward in ("", cursor):
                return found
            cursor = onward
            if ordinal > self._bases[-1]:
                self._bases.append(ordinal)
                self._cursors.append(cursor)

    def _at(self, cursor: str) -> str:
        return render(self._url, {**self._direct, "cursor": cursor})

    def _take(self, ordinal: int, found: Json) -> None:
        if ordinal == len(self._records):
            self._records.append(self._begin(ordinal, found))
        record = self._records[ordinal]
        if record.finished or (at := first(self._find["finished"], found)) is None:
            return
        record.finished = True
        self._unfinished.pop(ordinal, None)
        self._sight(Step.FINISHED, ordinal, record, _t_ns(at))

    def _begin(self, ordinal: int, found: Json) -> _Record:
        ref, value = as_text(first(self._find["ref"], found)), first(self._find["op"], found)
        op = None
        if not ref or self._find["op"]:
            op = find_op(self._recorder, as_text(value) if self._find["op"] else as_text(found), source=self.source)
        attempt = first(self._find["attempt"], found)
        record = _Record(
            op=op,
            ref=ref,
            by=as_text(first(self._find["by"], found)),
            attempt=attempt if isinstance(attempt, int) else 0,
            repeat=first(self._find["repeat"], found) is True,
            finished=self._find["finished"] is None,
            begun_ns=_t_ns(first(self._find["begun"], found)),
        )
        if not record.finished:
            self._unfinished[ordinal] = None
        self._sight(Step.REPEAT if record.repeat else Step.EFFECT, ordinal, record, record.begun_ns)
        return record

    def _sight(self, step: Step, ordinal: int, record: _Record, t_ns: int) -> None:
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
            seq=ordinal,
            attempt=record.attempt,
        )


def _t_ns(at: Json) -> int:
    """A record's own time on our clock, or that of reading where it tells none."""
    return monotonic_ns() if at is None else take_anchor(1).t_of_wall(parse_time(at))
