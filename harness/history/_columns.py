"""Rows as columns that a person can read: the one place that knows how a slot becomes a line of a table.

Needs numpy; DuckDB scans the arrays as they are, views into the mapped rows included.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.errors import HistoryError
from harness.history import rows
from harness.history._rowform import RowForm, SlotFile, Texts, mapped, row_dtype, sight_dtype, text_of
from harness.history.lines import DAMAGED
from harness.history.rows import CODE_OF_OUTCOME, NO_WRITER, PROVED, Step

Array = np.ndarray[Any, np.dtype[Any]]
FILE_ROWS = 1_000_000  # of a Parquet file, and of whatever is held in memory at once
OPERATIONS = {
    "writer": "UINTEGER",
    "n": "UINTEGER",
    "workload": "VARCHAR",
    "intended_ns": "BIGINT",
    "start_ns": "BIGINT",
    "end_ns": "BIGINT",
    "outcome": "VARCHAR",
    "ref": "VARCHAR",
    "seq": "UBIGINT",
    "status": "USMALLINT",
    "error": "VARCHAR",
    "size": "UINTEGER",
    "duplicate": "BOOLEAN",
}
SIGHTINGS = {
    "t_ns": "BIGINT",
    "step": "VARCHAR",
    "source": "VARCHAR",
    "by": "VARCHAR",
    "writer": "UINTEGER",
    "n": "UINTEGER",
    "ref": "VARCHAR",
    "seq": "UBIGINT",
    "attempt": "UTINYINT",
    "proved": "BOOLEAN",
}
OUTCOME_NAMES = ["", *(str(outcome) for outcome in CODE_OF_OUTCOME)]
STEP_NAMES = ["", *(str(step) for step in Step)]
_CASE_MOST = 8


@dataclass(frozen=True, slots=True)
class Chunk:
    """Up to FILE_ROWS rows: `select` reads the table `chunk`, which is `arrays`."""

    select: str
    arrays: Mapping[str, Array]
    first: int
    count: int


class _Select:
    """Builds the select of a chunk, column by column."""

    def __init__(self, columns: Mapping[str, str], where: str) -> None:
        self._columns, self._where = columns, where
        self._sql: dict[str, str] = {}
        self._arrays: dict[str, Array] = {}

    def add(self, name: str, array: Array, sql: str = "$") -> None:
        """A column out of an array, which stands as $ in `sql`."""
        self._arrays[name] = array
        self._sql[name] = sql.replace("$", f'"{name}"')

    def text(self, name: str, codes: Array, names: Sequence[str]) -> None:
        """A column of few texts, given by number."""
        present = np.flatnonzero(np.bincount(codes)).tolist()
        if present[-1] >= len(names):
            raise HistoryError(f"a row names {name} {present[-1]}, which is not there", where=self._where, fix=DAMAGED)
        if any("\0" in names[code] for code in present) or len(present) > _CASE_MOST:
            self.add(name, np.array(names, dtype=object)[codes])
        elif len(present) == 1:
            self._sql[name] = _literal(names[present[0]])
        else:
            self._arrays[name] = codes
            cases = " ".join(f"WHEN {code} THEN {_literal(names[code])}" for code in present)
            self._sql[name] = f'CASE "{name}" {cases} END'

    def refs(self, keys: Array, texts: Texts) -> None:
        """The column `ref`: texts of which most occur once."""
        used = np.flatnonzero(keys)
        if not len(used):
            self._sql["ref"] = "NULL"
            return
        if int(keys.max()) > len(texts.refs):
            raise HistoryError("a row names a ref that is not there", where=self._where, fix=DAMAGED)
        column = np.full(len(keys), None, dtype=object)
        column[used] = [text_of(texts.refs[key - 1]) for key in keys[used].tolist()]
        self.add("ref", column)

    def chunk(self, first: int, count: int) -> Chunk:
        columns = (f'CAST({self._sql[name]} AS {type_}) AS "{name}"' for name, type_ in self._columns.items())
        return Chunk(f"SELECT {', '.join(columns)} FROM chunk", self._arrays, first, count)


def operation_chunks(form: RowForm, file: SlotFile, size: int = FILE_ROWS) -> Iterator[Chunk]:
    """A writer's operations, in the columns OPERATIONS, by ranges of n."""
    slots, texts = mapped(file, row_dtype()), form.texts(file.path)
    for first in range(0, file.count, size):
        part = slots[first : first + size]
        if int(part["outcome"].min()) < 1:
            raise HistoryError("a row was never begun", where=str(file.path), fix=DAMAGED)
        select = _Select(OPERATIONS, str(file.path))
        select.text("writer", np.zeros(1, np.uint8), [str(file.header.writer)])
        select.add("n", np.arange(first, first + len(part), dtype=np.uint32))
        select.text("workload", part["workload"], texts.tables["workload"])
        select.add("intended_ns", part["intended_ns"])
        select.add("start_ns", part["start_ns"])
        select.add("end_ns", part["end_ns"], "nullif($, 0)")
        select.text("outcome", part["outcome"], OUTCOME_NAMES)
        select.refs(part["key"], texts)
        select.add("seq", part["seq"])
        select.add("status", part["status"])
        select.text("error", part["error"], texts.tables["error"])
        select.add("size", part["size"])
        select.add("duplicate", part["flags"], f"($ & {rows.DUPLICATE}) > 0")
        yield select.chunk(first, len(part))


def sighting_chunks(form: RowForm, size: int = FILE_ROWS) -> Iterator[Chunk]:
    """All sightings, in the columns SIGHTINGS, by t_ns; of one moment by file and place in it."""
    files = form.sights_files()
    slots, texts = _joined(form, files)
    times = slots["t_ns"]
    order = None if bool(np.all(times[1:] >= times[:-1])) else np.argsort(times, kind="stable")
    where = str(form.folder / "sights-*.rows")
    for first in range(0, len(slots), size):
        part = slots[first : first + size] if order is None else slots[order[first : first + size]]
        select = _Select(SIGHTINGS, where)
        select.add("t_ns", part["t_ns"])
        select.text("step", part["kind"] & np.uint8(0xFF ^ PROVED), STEP_NAMES)
        select.text("source", part["where"], [source for source, _ in texts.tables["where"]])
        select.text("by", part["where"], [by for _, by in texts.tables["where"]])
        select.add("writer", part["writer"], f"nullif($, {NO_WRITER})")
        select.add("n", part["n"], f"CASE WHEN writer < {NO_WRITER} THEN $ END")
        select.refs(part["key"], texts)
        select.add("seq", part["seq"])
        select.add("attempt", part["attempt"])
        select.add("proved", part["kind"], f"$ >= {PROVED}")
        yield select.chunk(first, len(part))


def _joined(form: RowForm, files: Sequence[SlotFile]) -> tuple[Array, Texts]:
    """The sightings of all files, with the numbers of one common set of texts."""
    if len(files) == 1:
        return mapped(files[0], sight_dtype()), form.texts(files[0].path)
    all_texts = Texts(form.folder)
    parts = [np.empty(0, sight_dtype("u4"))]  # so many files may name more than 65535 places
    for file in files:
        part = mapped(file, sight_dtype()).astype(parts[0].dtype)
        texts = form.texts(file.path)
        part["key"][part["key"] > 0] += len(all_texts.refs)
        part["where"] += len(all_texts.tables["where"]) - 1
        all_texts.refs += texts.refs
        all_texts.tables["where"] += texts.tables["where"][1:]
        parts.append(part)
    return np.concatenate(parts), all_texts


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
