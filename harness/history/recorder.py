"""Writes a history. Nothing is buffered: what a call has returned from is in the file, whoever is killed next.

One Recorder a process and name; it is used from one thread. Only the harness writes, never a system under test.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import time
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

from harness import whole
from harness.errors import HistoryError
from harness.history import clock, rows
from harness.history._files import GrowingFile, Texts, as_text, header, plain
from harness.history.lines import KINDS
from harness.history.rows import CODE_OF_OUTCOME, OpId, Outcome, Step
from harness.history.shown import REDACTED, without_credentials

META = "meta.json"
_DISK_FULL = "free some space and run again; what was recorded so far can be judged, and is marked incomplete"
_REFS_KEPT = 65_536  # a ref that is polled again and again is written once, as long as so few others came between
_ROW_BEGUN, _ROW_END, _SIGHT = rows.ROW_BEGUN.pack, rows.ROW_END.pack, rows.SIGHT.pack
_pwrite, _now_ns = os.pwrite, time.monotonic_ns
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
        self._lines = GrowingFile(folder / f"lines-{name}.jsonl", os.O_APPEND)
        self._sights = GrowingFile(folder / f"sights-{name}.rows")
        self._sights.append(header(rows.SIGHTS_MAGIC, nonce, rows.NO_WRITER))
        self._sight_texts = Texts(folder / f"sights-{name}.strings", self._redact)
        self._refs: dict[str, int] = {}
        self._next = 0
        self._workloads: dict[str, int] = {}
        self._begun: dict[int, tuple[int, int]] = {}  # n of what is in flight: workload, size
        self._ops = self._op_texts = None
        if writer is not None:
            self._ops = GrowingFile(folder / f"ops-{writer}.rows")
            self._ops.append(header(rows.OPS_MAGIC, nonce, writer))
            self._op_texts = Texts(folder / f"ops-{writer}.strings", self._redact)
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
        line = self._redact_tree({"kind": kind, "t_ns": _now_ns() if t_ns is None else t_ns, **fields})
        try:
            text = json.dumps(line, allow_nan=False, default=as_text)
        except (TypeError, ValueError):  # keys that are no strings, nan
            text = json.dumps(plain(line))
        if "\\ud" in text:
            text = json.dumps(plain(line))
        try:
            self._lines.append(text.encode() + b"\n")
        except OSError as error:
            raise self._failed(error) from error

    def secret(self, text: str) -> None:
        """`text` is "[redacted]" in every string and line from now on, also in its JSON, URL and base64 forms.

        In the lines of before, which may have it from somebody who said it too early, it is overwritten.
        """
        if text:
            forms = {text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
            forms |= {quote(text, safe=""), quote_plus(text), b64encode(text.encode("utf-8", "replace")).decode()}
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
        if error.errno in whole.FULL:
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
        return without_credentials(text)

    def _redact_tree(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._redact(value)
        if isinstance(value, Mapping):
            return {
                self._redact(key) if isinstance(key, str) else key: self._redact_tree(v) for key, v in value.items()
            }
        if isinstance(value, list | tuple):
            return [self._redact_tree(item) for item in value]
        return value if isinstance(value, int | float | None) else self._redact(as_text(value))


def write_meta(folder: Path, meta: Mapping[str, Any]) -> None:
    """Writes the history's meta.json, whole or not at all; again whenever more is known."""
    folder.mkdir(parents=True, exist_ok=True)
    whole.write_text(folder / META, json.dumps(meta, indent=1, sort_keys=True) + "\n", synced=True)
