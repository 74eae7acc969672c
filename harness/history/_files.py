"""The files of a recorder: they only grow, by whole writes, and hold texts as JSON and UTF-8 can hold them."""

from __future__ import annotations

import errno
import fcntl
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import HistoryError
from harness.history import clock, rows
from harness.history.shown import REDACTED

if TYPE_CHECKING:
    from collections.abc import Callable

_json_text = json.encoder.encode_basestring_ascii


class GrowingFile:
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


class Texts:
    """A strings file: each text is in it before its number is used."""

    def __init__(self, path: Path, redact: Callable[[str], str]) -> None:
        self.file, self._redact = GrowingFile(path, os.O_APPEND), redact
        self.workloads: dict[str, int] = {}
        self.wheres: dict[tuple[str, str], int] = {}
        self.errors: dict[str, int] = {}
        self._refs = 0

    def ref(self, text: str) -> int:
        text = self._redact(text)
        line = _json_text(text)
        if "\\ud" in line:
            line = _json_text(utf8(text))
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
        self.file.append(json.dumps([table, *(utf8(self._redact(text)) for text in texts)]).encode() + b"\n")


def header(magic: bytes, nonce: str, writer: int) -> bytes:
    return rows.HEADER.pack(magic, rows.VERSION, 0, nonce.encode(), clock.boot_id(), clock.time_namespace(), writer)


def plain(value: Any) -> Any:
    """The same as a JSON tree, with text for what JSON has no words for."""
    if isinstance(value, Mapping):
        return {utf8(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, int | float | None) else utf8(as_text(value))


def as_text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return value if isinstance(value, str) else repr(value)


def utf8(text: str) -> str:
    """The same text; half of a character (what is left of bytes that were no UTF-8) as its escape."""
    return text.encode("utf-8", "backslashreplace").decode()
