"""Which line of a TOML text holds which key. tomllib tells no lines, so the keys are walked once more.

The text has been read by tomllib before, so that nothing here needs to be an error: only the shape is followed.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from collections.abc import Sequence

Path = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*'""")
_TEXT = re.compile(r'"""(?:[^\\]|\\.)*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:[^"\\]|\\.)*"|\'[^\']*\'', re.DOTALL)
_PLAIN = re.compile(r"[^,\]}#\n]*")


class Lines:
    """The line, counted from 1, of each table, key and list item of a TOML text."""

    def __init__(self, text: str) -> None:
        self._text = text.replace("\r\n", "\n")
        self._breaks = [match.start() for match in re.finditer("\n", self._text)]
        self._lines: dict[Path, int] = {(): 1}
        self._items: dict[Path, int] = {}
        self._walk()

    def of(self, path: Sequence[str | int]) -> int:
        """The line of `path`, or of the nearest table around it that the text has."""
        end = next(end for end in range(len(path), -1, -1) if tuple(path[:end]) in self._lines)
        return self._lines[tuple(path[:end])]

    def _walk(self) -> None:
        table: Path = ()
        at = self._blank(0)
        while at < len(self._text):
            if self._text.startswith("[[", at):
                key, end = self._key(at + 2)
                table = self._resolve(key[:-1]) + key[-1:]
                self._items[table] = self._items.get(table, -1) + 1
                self._note(table, at)
                table = (*table, self._items[table])
                self._note(table, at)
                at = end + 2
            elif self._text[at] == "[":
                key, end = self._key(at + 1)
                table = self._resolve(key)
                self._note(table, at)
                at = end + 1
            else:
                at = self._pair(table, at)
            at = self._blank(at)

    def _resolve(self, key: Path) -> Path:
        """A header's key with the number of the latest item put in after each list of tables."""
        path: Path = ()
        for part in key:
            path = (*path, part)
            if path in self._items:
                path = (*path, self._items[path])
        return path

    def _note(self, path: Path, at: int) -> None:
        # Parents come into being with their first child: [services.web] makes `services` too.
        for end in range(1, len(path) + 1):
            self._lines.setdefault(path[:end], bisect_right(self._breaks, at) + 1)

    def _blank(self, at: int) -> int:
        return self._match(_BLANK, at).end()

    def _match(self, pattern: re.Pattern[str], at: int) -> re.Match[str]:
        match = pattern.match(self._text, at)
        assert match is not None, f"tomllib read this text, and the walk is lost at offset {at}"
        return match

    def _key(self, at: int) -> tuple[Path, int]:
        """A key, dotted or not, and the offset behind it and its blanks."""
        parts: list[str] = []
        while True:
            match = self._match(_KEY, self._blank(at))
            written = match.group()
            # A quoted key's escapes are undone by the one who read them first.
            parts.append(next(iter(tomllib.loads(f"{written} = 0"))) if written[0] in "\"'" else written)
            at = self._blank(match.end())
            if self._text[at] != ".":
                return tuple(parts), at
            at += 1

    def _pair(self, table: Path, at: int) -> int:
        key, equals = self._key(at)
        path = table + key
        self._note(path, at)
        return self._value(path, self._blank(equals + 1))

    def _value(self, path: Path, at: int) -> int:
        if self._text[at] == "[":
            return self._list(path, at)
        if self._text[at] == "{":
            return self._table(path, at)
        if self._text[at] in "\"'":
            return self._match(_TEXT, at).end()
        return self._match(_PLAIN, at).end()

    def _list(self, path: Path, at: int) -> int:
        at = self._blank(at + 1)
        item = 0
        while self._text[at] != "]":
            self._note((*path, item), at)
            at = self._blank(self._value((*path, item), at))
            item += 1
            if self._text[at] == ",":
                at = self._blank(at + 1)
        return at + 1

    def _table(self, path: Path, at: int) -> int:
        at = self._blank(at + 1)
        while self._text[at] != "}":
            at = self._blank(self._pair(path, at))
            if self._text[at] == ",":
                at = self._blank(at + 1)
        return at + 1
