"""What a system file asks of a JSON answer: values at JSONPaths, compiled once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from harness.load._config import OP, PAD

_PLAIN = re.compile(r"\$(\.[A-Za-z_][A-Za-z0-9_-]*)+")
_ONE = re.compile(r"\$(\.[A-Za-z_][A-Za-z0-9_-]*|\[\d+\]|\['[^']*'\]|\[\"[^\"]*\"\])+")
"""A path to one value at most; others may lead to a list that rightly tells of several operations."""

Finder = Callable[[Any], list[Any]]
"""All values at a path of a JSON document; none where it does not lead anywhere."""


def finder(path: str) -> Finder:
    """Compiles a JSONPath (RFC 9535). Plain ones like $.a.b need no engine, and no import of it."""
    if _PLAIN.fullmatch(path):
        return _plain(tuple(path.split(".")[1:]))
    import jsonpath

    return jsonpath.compile(path).findall


def _plain(keys: tuple[str, ...]) -> Finder:
    def find(document: Any) -> list[Any]:
        for key in keys:
            if not isinstance(document, dict) or key not in document:
                return []
            document = document[key]
        return [document]

    return find


class Condition:
    """A table of paths, each with the values that will do; it is met when every path leads to one of its values."""

    def __init__(self, table: Mapping[str, Iterable[Any]]) -> None:
        self._paths = [(finder(path), list(values)) for path, values in table.items()]

    def met(self, document: Any) -> bool:
        """Whether the document meets it. An empty table is never met."""
        return bool(self._paths) and all(
            any(value in values for value in find(document)) for find, values in self._paths
        )


class Proof:
    """Where a result must carry its operation's own marker; with no such place, every result is taken as proved."""

    def __init__(self, table: Mapping[str, str]) -> None:
        self._paths = [(finder(path), text) for path, text in table.items()]
        self._ones = [finder(path) for path in table if _ONE.fullmatch(path)]

    def holds(self, document: Any, marker: str, padding: str = "") -> bool:
        """Whether the result is that operation's: it has its marker, and with it what it was padded with."""
        return all(text.replace(OP, marker).replace(PAD, padding) in find(document) for find, text in self._paths)

    def found(self, document: Any) -> list[str]:
        """The texts in the places of proof that hold one value each."""
        return [value for find in self._ones for value in find(document) if isinstance(value, str)]
