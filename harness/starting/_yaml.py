"""YAML as a tree of texts, each with its line.

Values keep the text that stands in the file: `22:22` is no number in base 60, and `DEBUG: yes` stays `yes`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import yaml

from harness.errors import UsageError

Value: TypeAlias = "str | list[Item] | dict[str, Item] | None"

_MERGE = "tag:yaml.org,2002:merge"
_NULL = "tag:yaml.org,2002:null"


@dataclass(frozen=True, slots=True)
class Item:
    """A value and the line, counted from 1, where it (or its key) stands. None is YAML's null, or an empty value."""

    value: Value
    line: int


def read(text: str, file: str) -> Item:
    """The tree of a YAML text, with aliases and merge keys resolved. Raises UsageError with file and line."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{file}:{mark.line + 1}" if mark else file
        raise UsageError(f"not YAML: {error.problem}", where=where, fix="correct the file") from None
    except yaml.YAMLError as error:
        raise UsageError(f"not YAML: {error}", where=file, fix="save it as YAML in UTF-8") from None
    return Item(None, 1) if node is None else _Tree(file).item(node, ())


class _Tree:
    def __init__(self, file: str) -> None:
        self._file = file

    def item(self, node: yaml.Node, around: tuple[yaml.Node, ...]) -> Item:
        line = node.start_mark.line + 1
        if any(node is outer for outer in around):
            raise UsageError("an alias stands inside what it repeats", where=f"{self._file}:{line}", fix="write it out")
        around = (*around, node)
        if isinstance(node, yaml.MappingNode):
            return Item(self._mapping(node, around), line)
        if isinstance(node, yaml.SequenceNode):
            return Item([self.item(child, around) for child in node.value], line)
        return Item(None if node.tag == _NULL else str(node.value), line)

    def _mapping(self, node: yaml.MappingNode, around: tuple[yaml.Node, ...]) -> dict[str, Item]:
        own: dict[str, Item] = {}
        merged: dict[str, Item] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.tag == _MERGE:
                for name, item in self._merged(value, around).items():
                    merged.setdefault(name, item)
                continue
            if not isinstance(key, yaml.ScalarNode):
                raise UsageError("a key should be a text", where=f"{self._file}:{line}", fix="correct the file")
            if key.value in own:
                raise UsageError(f"{key.value} is there twice", where=f"{self._file}:{line}", fix="leave one")
            own[key.value] = Item(self.item(value, around).value, line)
        return {**merged, **own}

    def _merged(self, node: yaml.Node, around: tuple[yaml.Node, ...]) -> dict[str, Item]:
        """What `<<` brings in: a mapping, or a list of them of which an earlier one wins."""
        item = self.item(node, around)
        found: dict[str, Item] = {}
        for one in item.value if isinstance(item.value, list) else [item]:
            if not isinstance(one.value, dict):
                where = f"{self._file}:{node.start_mark.line + 1}"
                raise UsageError("<< merges mappings alone", where=where, fix="name an anchor of a mapping")
            for name, value in one.value.items():
                found.setdefault(name, value)
        return found
