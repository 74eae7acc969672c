"""Reads a history in rows: while it is being written, after its writers were killed, and whenever it was not compacted.

A look takes the files' lengths first and the strings after: a text is written before the row that uses it.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from array import array
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.errors import HistoryError
from harness.history import rows
from harness.history.lines import DAMAGED, parse_lines
from harness.history.rows import NO_WRITER, OUTCOME_OF_CODE, PROVED, ROW, SIGHT, Operation, OpId, Sighting, Step

if TYPE_CHECKING:
    import numpy as np

_OPS_NAME = re.compile(r"ops-(\d+)\.rows$")
_BLOCK = 65_536  # slots read at once
_STEPS = {int(step): step for step in Step}


class Header(NamedTuple):
    """What stands at the beginning of a file of slots."""

    flags: int
    nonce: str
    boot_id: bytes
    time_namespace: int
    writer: int


@dataclass(frozen=True, slots=True)
class SlotFile:
    """A file of slots as it was at one moment: `count` slots of `size` bytes after the header."""

    path: Path
    header: Header
    count: int
    size: int

    def blocks(self) -> Iterator[bytes]:
        """The slots' bytes, some thousands at a time."""
        with self.path.open("rb", buffering=0) as file:
            for first in range(0, self.count, _BLOCK):
                wanted = min(_BLOCK, self.count - first) * self.size
                data = os.pread(file.fileno(), wanted, rows.HEADER.size + first * self.size)
                if len(data) != wanted:
                    raise HistoryError("became shorter while it was read", where=str(self.path), fix=DAMAGED)
                yield data


class Texts:
    """The texts of a strings file, by table and number; grows with the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.refs: list[bytes] = []  # as JSON, since most are never asked for
        self.tables: dict[str, list[Any]] = {"workload": [""], "error": [""], "where": [("", "")]}
        self._read = 0

    def load(self) -> None:
        """Reads what was added since."""
        with self.path.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        end = data.rfind(b"\n") + 1
        self._read += end
        for raw in data[:end].splitlines():
            if raw[:1] == b'"':
                self.refs.append(raw)
            else:
                table, *texts = json.loads(raw)
                self.tables[table].append(texts[0] if len(texts) == 1 else tuple(texts))

    def ref(self, key: int) -> str | None:
        """The ref with that number; None for 0."""
        return text_of(self.refs[key - 1]) if key else None


def text_of(raw: bytes) -> str:
    """The text of a line `"..."`; UTF-8 of what has no backslash needs no JSON reader."""
    text: str = json.loads(raw) if b"\\" in raw else raw[1:-1].decode()
    return text


class RowForm:
    """The rows, strings and lines of a folder. Every call looks at the files anew."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._texts: dict[Path, Texts] = {}
        self._lines: dict[Path, tuple[int, list[dict[str, Any]]]] = {}  # bytes read, and what they held

    def ops_files(self) -> list[SlotFile]:
        """The files of operations, by writer."""
        found = []
        for path in self.folder.glob("ops-*.rows"):
            if _OPS_NAME.fullmatch(path.name) and (file := read_slot_file(path, rows.OPS_MAGIC, ROW.size)):
                if path.name != f"ops-{file.header.writer}.rows":
                    raise HistoryError(f"holds writer {file.header.writer}", where=str(path), fix=DAMAGED)
                found.append(file)
        return sorted(found, key=lambda file: file.header.writer)

    def sights_files(self) -> list[SlotFile]:
        """The files of sightings, by name."""
        paths = sorted(self.folder.glob("sights-*.rows"))
        return [file for path in paths if (file := read_slot_file(path, rows.SIGHTS_MAGIC, SIGHT.size))]

    def texts(self, path: Path) -> Texts:
        """The strings beside a file of slots, up to date."""
        texts = self._texts.setdefault(path, Texts(path.with_suffix(".strings")))
        texts.load()
        return texts

    def operations(self) -> Iterator[Operation]:
        """All, by writer and n."""
        for file in self.ops_files():
            yield from self._operations_of(file)

    def _operations_of(self, file: SlotFile) -> Iterator[Operation]:
        n, writer = 0, file.header.writer
        for data in file.blocks():
            texts = self.texts(file.path)
            workloads, errors = texts.tables["workload"], texts.tables["error"]
            for row in ROW.iter_unpack(data):
                intended, start, end, seq, key, size, _, error, status, workload, _, flags, _, outcome = row
                try:
                    yield Operation(
                        OpId(writer, n), workloads[workload], intended, start, end or None, OUTCOME_OF_CODE[outcome],
                        texts.ref(key), seq, status, errors[error], bool(flags & rows.DUPLICATE), size,
                    )  # fmt: skip
                except (KeyError, IndexError) as problem:
                    raise HistoryError(f"row {n} makes no sense", where=str(file.path), fix=DAMAGED) from problem
                n += 1

    def sightings(self, steps: Collection[Step]) -> Iterator[Sighting]:
        """Those of some steps, by t_ns; of one moment by file and place in it."""
        files, datas, tables = self.sights_files(), [], []
        times, places = array("q"), array("q")
        wanted = {step | proved for step in steps for proved in (0, PROVED)}
        for number, file in enumerate(files):
            data = b"".join(file.blocks())
            for place, slot in enumerate(SIGHT.iter_unpack(data)):
                if slot[7] in wanted:
                    times.append(slot[2])
                    places.append(number << 40 | place)
                elif slot[7] & ~PROVED not in _STEPS:
                    raise HistoryError(f"row {place} makes no sense", where=str(file.path), fix=DAMAGED)
            datas.append(data)
            tables.append(self.texts(file.path))
        order: Iterator[int] | list[int] = sorted(range(len(times)), key=times.__getitem__)
        for index in order:
            number, place = places[index] >> 40, places[index] & (1 << 40) - 1
            slot = SIGHT.unpack_from(datas[number], place * SIGHT.size)
            try:
                yield sighting_of(slot, tables[number])
            except (KeyError, IndexError) as problem:
                where = str(files[number].path)
                raise HistoryError(f"row {place} makes no sense", where=where, fix=DAMAGED) from problem

    def lines(self) -> list[dict[str, Any]]:
        """All lines, by t_ns; of one moment by file and place in it."""
        found = []
        for path in sorted(self.folder.glob("lines-*.jsonl")):
            read, lines = self._lines.get(path, (0, []))
            with path.open("rb") as file:
                file.seek(read)
                data = file.read()
            data = data[: data.rfind(b"\n") + 1]
            lines += parse_lines(data, str(path), first=len(lines) + 1)
            self._lines[path] = read + len(data), lines
            found += lines
        return sorted(found, key=lambda line: int(line["t_ns"]))

    def incomplete(self) -> list[str]:
        """Why something may be missing: writers that met a full disk, or died without closing their files."""
        found = []
        for file in (*self.ops_files(), *self.sights_files()):
            if file.header.flags & rows.FULL:
                found.append(f"{file.path.name}: the disk was full")
            elif not file.header.flags & rows.CLOSED and not _is_held(file.path):
                found.append(f"{file.path.name}: its writer died")
        return found

    def held(self) -> list[str]:
        """The files whose writers live and have not closed them."""
        return [file.path.name for file in (*self.ops_files(), *self.sights_files()) if _is_held(file.path)]

    def counts(self) -> dict[int, int]:
        """How many operations each writer began."""
        return {file.header.writer: file.count for file in self.ops_files()}


def read_slot_file(path: Path, magic: bytes, size: int) -> SlotFile | None:
    """A file's header and length; None where its writer is just making it. Raises HistoryError if it is not one."""
    with path.open("rb") as file:
        length = os.fstat(file.fileno()).st_size
        data = file.read(rows.HEADER.size)
    if length == 0:
        return None
    found, version, flags, nonce, boot_id, namespace, writer = (
        rows.HEADER.unpack(data) if len(data) == rows.HEADER.size else (b"", 0, 0, b"", b"", 0, 0)
    )
    if found != magic:
        raise HistoryError("is no file of a history", where=str(path), fix=DAMAGED)
    if version != rows.VERSION:
        raise HistoryError(
            f"was written in format {version}, this reads {rows.VERSION}",
            where=str(path),
            fix="judge it with the version of nats-harness that wrote it",
        )
    count, rest = divmod(length - rows.HEADER.size, size)
    if rest:
        raise HistoryError(f"ends {rest} bytes into row {count}", where=str(path), fix=DAMAGED)
    return SlotFile(path, Header(flags, nonce.decode("ascii", "replace"), boot_id, namespace, writer), count, size)


def sighting_of(slot: tuple[int, ...], texts: Texts) -> Sighting:
    """A slot's sighting."""
    n, key, t_ns, seq, writer, where, attempt, kind = slot
    source, by = texts.tables["where"][where]
    op = None if writer == NO_WRITER else OpId(writer, n)
    step = _STEPS[kind & ~PROVED]
    return Sighting(t_ns, source, op, texts.ref(key), seq, attempt, by, bool(kind & PROVED), step)


def row_dtype() -> np.dtype[np.void]:
    """A row of operations as numpy sees it; needs numpy."""
    return _dtype(
        "intended_ns:i8 start_ns:i8 end_ns:i8 seq:u8 key:u4 size:u4 writer:u4 error:u2 status:u2"
        " workload:u1 kind:u1 flags:u1 stream:u1 pad:V11 outcome:u1"
    )


def sight_dtype(where: str = "u2") -> np.dtype[np.void]:
    """A sighting as numpy sees it, with `where` as wide as given."""
    return _dtype(f"n:u4 key:u4 t_ns:i8 seq:u8 writer:u4 where:{where} attempt:u1 kind:u1")


def _dtype(fields: str) -> np.dtype[np.void]:
    import numpy as np

    pairs = (field.split(":") for field in fields.split())
    return np.dtype([(name, f"<{type_}") for name, type_ in pairs])


def mapped(file: SlotFile, dtype: np.dtype[np.void]) -> np.ndarray[Any, np.dtype[np.void]]:
    """A file's slots as an array that is read as it is used."""
    import numpy as np

    if not file.count:
        return np.empty(0, dtype)
    return np.memmap(file.path, dtype, "r", rows.HEADER.size, (file.count,))


def _is_held(path: Path) -> bool:
    """Whether the writer of a file lives: it holds a lock on it."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False
