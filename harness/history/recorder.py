"""Writes a history. Nothing is buffered: what a call has returned from is in the file, whoever is killed next.

One Recorder a process and name; it is used from one thread. Only the harness writes, never a system under test.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from harness.errors import HistoryError
from harness.history import clock, rows
from harness.history.lines import KINDS
from harness.history.rows import CODE_OF_OUTCOME, OpId, Outcome, Step

if TYPE_CHECKING:
    from collections.abc import Callable

REDACTED = "[redacted]"
META = "meta.json"
_DISK_FULL = "free some space and run again; what was recorded so far can be judged, and is marked incomplete"
_REFS_KEPT = 65_536  # a ref that is polled again and again is written once, as long as so few others came between
_ROW_BEGUN, _ROW_END, _SIGHT = rows.ROW_BEGUN.pack, rows.ROW_END.pack, rows.SIGHT.pack
_pwrite, _now_ns, _json_text = os.pwrite, time.monotonic_ns, json.encoder.encode_basestring_ascii
_OK, _UNKNOWN = Outcome.OK, CODE_OF_OUTCOME[Outcome.UNKNOWN]
_ROW_SIZE, _END_AT = rows.ROW.size, rows.HEADER.size + rows.ROW_END_AT
_U32 = 0xFFFF_FFFF


class Recorder:
    """Writes the files of one `name` ("runner", "load-0") of the history in `folder`.

    With `writer` it may also begin operations, as that writer's. Raises HistoryError where the name or the writer is
    taken, and where the disk is full: `begin` at a row boundary, while `finish` goes on for what was begun. After
    that `full` is True, and the reader tells a trouble.
    """

    def __init__(self, folder: Path, *, name: str, nonce: str, writer: int | None = None) -> None:
        if len(nonce) != rows.NONCE_LENGTH:
            raise HistoryError(f"a nonce has {rows.NONCE_LENGTH} characters, not {nonce!r}", where=name)
        self.folder, self.name, self.nonce, self.writer = folder, name, nonce, writer
        self.full = False
        self._secrets: list[str] = []
        folder.mkdir(parents=True, exist_ok=True)
        self._lines = _File(folder / f"lines-{name}.jsonl", os.O_APPEND)
        self._sights = _File(folder / f"sights-{name}.rows")
        self._sights.append(_header(rows.SIGHTS_MAGIC, nonce, rows.NO_WRITER))
        self._sight_texts = _Texts(folder / f"sights-{name}.strings", self._redact)
        self._refs: dict[str, int] = {}
        self._next = 0
        self._workloads: dict[str, int] = {}
        self._begun: dict[int, tuple[int, int]] = {}  # n of what is in flight: workload, size
        self._ops = self._op_texts = None
        if writer is not None:
            self._ops = _File(folder / f"ops-{writer}.rows")
            self._ops.append(_header(rows.OPS_MAGIC, nonce, writer))
            self._op_texts = _Texts(folder / f"ops-{writer}.strings", self._redact)
        self._fd = self._ops.fd if self._ops else -1
        self.anchor()

    def begin(self, workload: str, intended_ns: int, *, size: int = 0) -> int:
        """Begins an operation: it is in the file as unknown before this returns its n. Nothing was sent yet.

        The clock is read here, as its start. Raises HistoryError where the disk is full: do not send it.
        """
        n = self._next
        try:
            code = self._workloads.get(workload) or self._workload(workload)
            row = _ROW_BEGUN(intended_ns, _now_ns(), size, self.writer, code, _UNKNOWN)
            written = _pwrite(self._fd, row, _ROW_SIZE * (n + 1))
        except OSError as error:
            raise self._failed(error) from error
        if written != _ROW_SIZE:
            os.ftruncate(self._fd, _ROW_SIZE * (n + 1))
            raise self._failed(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        self._begun[n] = code, size
        self._next = n + 1
        return n

    def finish(
        self,
        n: int,
        outcome: Outcome,
        *,
        ref: str = "",
        seq: int = 0,
        status: int = 0,
        error: str = "",
        duplicate: bool = False,
    ) -> None:
        """Finishes operation n, once. The clock is read here, as its end; `error` is text for people, with few values.

        On a full disk the outcome is still written, without `ref` and `error`, and `full` is set.
        """
        end_ns = _now_ns()
        try:
            workload, size = self._begun.pop(n)
        except KeyError:
            raise HistoryError(f"operation {n} was not begun here, or is finished", where=self.name) from None
        key = reason = flags = 0
        if ref or error:
            key, reason = self._texts_of(ref, error)
        if duplicate:
            flags = rows.DUPLICATE
        code = 2 if outcome is _OK else CODE_OF_OUTCOME[outcome]  # hashing an Enum is slow
        row = _ROW_END(end_ns, seq, key, size, self.writer, reason, status, workload, flags, code)
        _pwrite(self._fd, row, _ROW_SIZE * n + _END_AT)

    def whole(
        self,
        workload: str,
        *,
        start_ns: int,
        end_ns: int,
        outcome: Outcome,
        ref: str = "",
        status: int = 0,
        error: str = "",
        size: int = 0,
    ) -> int:
        """Records an operation of which we hear when it is over: begun, and finished, by whoever offers it. Its n.

        While it was under way it was not in the file. Raises HistoryError where the disk is full.
        """
        n = self._next
        try:
            code = self._workloads.get(workload) or self._workload(workload)
            key, reason = self._texts_of(ref, error)
            values = (start_ns, start_ns, end_ns, 0, key, size, self.writer, reason, status, code, 0, 0, 0)
            written = _pwrite(self._fd, rows.ROW.pack(*values, CODE_OF_OUTCOME[outcome]), _ROW_SIZE * (n + 1))
        except OSError as problem:
            raise self._failed(problem) from problem
        if written != _ROW_SIZE:
            os.ftruncate(self._fd, _ROW_SIZE * (n + 1))
            raise self._failed(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        self._next = n + 1
        return n

    def sight(
        self,
        step: Step,
        *,
        t_ns: int,
        source: str,
        op: OpId | None = None,
        ref: str = "",
        by: str = "",
        seq: int = 0,
        attempt: int = 0,
        proved: bool = False,
    ) -> None:
        """Records that an operation was seen; see Sighting. A marker beyond 32 bits is kept as the largest id."""
        texts = self._sight_texts
        try:
            key = (self._refs.get(ref) or self._sighted_ref(ref)) if ref else 0
            where = texts.wheres.get((source, by)) or texts.where(source, by)
            n, writer = (0, rows.NO_WRITER) if op is None else (min(op.n, _U32), min(op.writer, _U32 - 1))
            kind = step | rows.PROVED if proved else step
            attempts = attempt if 0 <= attempt < 256 else 255 if attempt > 0 else 0
            self._sights.append(_SIGHT(n, key, t_ns, seq if seq > 0 else 0, writer, where, attempts, kind))
        except OSError as error:
            raise self._failed(error) from error

    def line(self, kind: str, /, *, t_ns: int | None = None, **fields: Any) -> None:
        """Appends a line of one of lines.KINDS; t_ns is now unless given. What is no JSON is written as its repr."""
        if kind not in KINDS:
            raise HistoryError(
                f"no kind of line is called {kind!r}", where=self.name, fix="see harness/history/lines.py"
            )
        line = {"kind": kind, "t_ns": _now_ns() if t_ns is None else t_ns, **fields}
        if self._secrets:
            line = self._redact_tree(line)
        try:
            text = json.dumps(line, allow_nan=False, default=_text)
        except (TypeError, ValueError):  # keys that are no strings, nan
            text = json.dumps(_plain(line))
        if "\\ud" in text:
            text = json.dumps(_plain(line))
        try:
            self._lines.append(text.encode() + b"\n")
        except OSError as error:
            raise self._failed(error) from error

    def secret(self, text: str) -> None:
        """`text` is "[redacted]" in every string and line from now on, also in its JSON and URL forms.

        In the lines of before, which may have it from somebody who said it too early, it is overwritten.
        """
        if text:
            forms = {text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], quote(text, safe="")}
            self._secrets = sorted({*self._secrets, *forms}, key=len, reverse=True)
            for form in sorted(forms, key=len, reverse=True):
                self._lines.blank(json.dumps(form)[1:-1].encode())

    def anchor(self) -> None:
        """Writes a line with both clocks; to be called at the start, each second or so, and at the end."""
        anchor = clock.take_anchor()
        self.line("anchor", t_ns=anchor.t_ns, wall_ns=anchor.wall_ns)

    def close(self) -> None:
        """Marks the files as closed by their writer. What is in flight stays unknown. Can be called twice."""
        if self._lines.fd < 0:
            return
        with contextlib.suppress(HistoryError):  # a full disk must not keep the files open
            self.anchor()
        self._flag(rows.CLOSED | (rows.FULL if self.full else 0))
        for file in (self._ops, self._sights, self._lines):
            if file is not None:
                file.close()
        for texts in (self._op_texts, self._sight_texts):
            if texts is not None:
                texts.file.close()
        self._fd = -1

    def _workload(self, name: str) -> int:
        if self._op_texts is None:
            raise HistoryError("this recorder has no writer, so it begins no operations", where=self.name)
        code = self._workloads[name] = self._op_texts.workload(name)
        return code

    def _texts_of(self, ref: str, error: str) -> tuple[int, int]:
        texts = self._op_texts
        assert texts is not None
        try:
            return texts.ref(ref) if ref else 0, texts.error(error) if error else 0
        except OSError as problem:
            self._failed(problem)
            return 0, 0

    def _sighted_ref(self, ref: str) -> int:
        if len(self._refs) >= _REFS_KEPT:
            self._refs.clear()
        key = self._refs[ref] = self._sight_texts.ref(ref)
        return key

    def _failed(self, error: OSError) -> HistoryError:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            self.full = True
            self._flag(rows.FULL)  # the header's block exists, so that this much can still be written
        return HistoryError(f"cannot write: {error.strerror}", where=str(self.folder), fix=_DISK_FULL)

    def _flag(self, flags: int) -> None:
        for file in (self._ops, self._sights):
            if file is not None:
                os.pwrite(file.fd, flags.to_bytes(2, "little"), rows.FLAGS_AT)

    def _redact(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        return text

    def _redact_tree(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._redact(value)
        if isinstance(value, Mapping):
            return {
                self._redact(key) if isinstance(key, str) else key: self._redact_tree(v) for key, v in value.items()
            }
        if isinstance(value, list | tuple):
            return [self._redact_tree(item) for item in value]
        return value if isinstance(value, int | float | None) else self._redact(_text(value))


def write_meta(folder: Path, meta: Mapping[str, Any]) -> None:
    """Writes the history's meta.json, whole or not at all; again whenever more is known."""
    folder.mkdir(parents=True, exist_ok=True)
    write_synced(folder / META, (json.dumps(meta, indent=1, sort_keys=True) + "\n").encode())


def write_synced(path: Path, data: bytes) -> None:
    """Replaces a file, so that after a crash it is the old one or the new one, and whole."""
    beside = path.with_name(f".{path.name}.new")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Makes what was created, renamed or removed in a folder survive a power loss."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class _File:
    """A file that only grows, by whole writes; our lock on it tells the reader that its writer lives."""

    def __init__(self, path: Path, flags: int = 0) -> None:
        try:
            self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | flags, 0o644)
        except FileExistsError as error:
            raise HistoryError(
                "is there already: another recorder has this name", where=str(path), fix="give each its own name"
            ) from error
        fcntl.flock(self.fd, fcntl.LOCK_EX)
        self.path, self._size = path, 0

    def append(self, data: bytes) -> None:
        written = os.pwrite(self.fd, data, self._size)  # with O_APPEND, Linux ignores the offset
        if written != len(data):  # the disk is full: nothing of it shall stay, lest the next one be glued to it
            os.ftruncate(self.fd, self._size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size += written

    def blank(self, text: bytes) -> None:
        """Overwrites a text wherever it is in the file, with one of the same length."""
        data = self.path.read_bytes()
        blank = REDACTED.encode()[: len(text)].ljust(len(text), b"*")
        with self.path.open("r+b") as file:  # on a descriptor with O_APPEND, a write at a place appends
            at = data.find(text)
            while at >= 0:
                file.seek(at)
                file.write(blank)
                at = data.find(text, at + len(text))

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class _Texts:
    """A strings file: each text is in it before its number is used."""

    def __init__(self, path: Path, redact: Callable[[str], str]) -> None:
        self.file, self._redact = _File(path, os.O_APPEND), redact
        self.workloads: dict[str, int] = {}
        self.wheres: dict[tuple[str, str], int] = {}
        self.errors: dict[str, int] = {}
        self._refs = 0

    def ref(self, text: str) -> int:
        text = self._redact(text)
        line = _json_text(text)
        if "\\ud" in line:
            line = _json_text(_utf8(text))
        self.file.append(line.encode() + b"\n")
        self._refs += 1
        return self._refs

    def workload(self, name: str) -> int:
        if name not in self.workloads:
            if len(self.workloads) >= rows.MAX_WORKLOADS:
                raise HistoryError(f"more than {rows.MAX_WORKLOADS} workloads", where=str(self.file.path))
            self._write("workload", name)
            self.workloads[name] = len(self.workloads) + 1
        return self.workloads[name]

    def error(self, text: str) -> int:
        if text not in self.errors:
            if len(self.errors) >= rows.MAX_SHORT - 1:
                text = rows.OTHERS
            if text not in self.errors:
                self._write("error", text)
                self.errors[text] = len(self.errors) + 1
        return self.errors[text]

    def where(self, source: str, by: str) -> int:
        if (source, by) not in self.wheres:
            if len(self.wheres) >= rows.MAX_SHORT - 1:
                source = by = rows.OTHERS
            if (source, by) not in self.wheres:
                self._write("where", source, by)
                self.wheres[source, by] = len(self.wheres) + 1
        return self.wheres[source, by]

    def _write(self, table: str, *texts: str) -> None:
        self.file.append(json.dumps([table, *(_utf8(self._redact(text)) for text in texts)]).encode() + b"\n")


def _header(magic: bytes, nonce: str, writer: int) -> bytes:
    return rows.HEADER.pack(magic, rows.VERSION, 0, nonce.encode(), clock.boot_id(), clock.time_namespace(), writer)


def _plain(value: Any) -> Any:
    """The same as a JSON tree, with text for what JSON has no words for."""
    if isinstance(value, Mapping):
        return {_utf8(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, int | float | None) else _utf8(_text(value))


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return value if isinstance(value, str) else repr(value)


def _utf8(text: str) -> str:
    """The same text; half of a character (what is left of bytes that were no UTF-8) as its escape."""
    return text.encode("utf-8", "backslashreplace").decode()
