"""A fault as it is typed at the prompt: `latency worker -> broker latency_ms=400`, in the words of an outage file."""

from __future__ import annotations

import inspect
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_type_hints

from harness.errors import UnknownName, UsageError
from harness.faults import bind, load_all
from harness.outage import Event
from harness.runtime.contract import Node
from harness.system import _toml

WORDS: Mapping[str, str] = {
    "over": "ends the fault that began last; over N the one of that number",
    "where": "tells where everything is, and what is on",
    "help": "lists faults and words",
    "end": "ends the recording, as Ctrl-D does",
}
Value = str | int | float | bool

_PART = re.compile(r"""(?P<name>[A-Za-z_]\w*)\s*=\s*(?P<value>(?:"(?:[^"\\]|\\.)*"|'[^']*')(?!\S)|\S*)|(?P<word>\S+)""")


@dataclass(frozen=True)
class Typed:
    """A fault, the words of its targets, and its parameters."""

    what: str
    targets: tuple[str, ...]
    parameters: Mapping[str, Value]

    @property
    def on(self) -> str:
        """The targets as an outage file has them."""
        return " -> ".join(self.targets)

    def __str__(self) -> str:
        given = (f"{name}={_shown(value)}" for name, value in self.parameters.items())
        return " ".join([self.what, *filter(None, [self.on]), *given])


def typed(line: str) -> Typed:
    """The fault that a line asks for. Raises UsageError for one that there is not, or that does not take these."""
    words: list[str] = []
    parameters: dict[str, Value] = {}
    for part in _PART.finditer(line):
        name = part["name"]
        if name is None:
            words.append(part["word"])
        elif name in Event.model_fields:
            fix = "a fault begins at once and lasts until you type over; its targets stand behind it"
            raise UsageError(f"{name} is not typed here", fix=fix)
        elif name in parameters:
            raise UsageError(f"{name} is given twice", fix="leave out one")
        else:
            parameters[name] = _value(name, part["value"])
    what, on = words[0] if words else "", " ".join(words[1:])
    registry = load_all()
    if what not in registry:
        raise UnknownName(what, {*registry, *WORDS}, kind="fault or word")
    targets = [target.strip() for target in on.split("->")] if on else []
    try:
        bind(what, registry[what], targets, parameters)
    except UnknownName:
        raise
    except UsageError as error:
        raise UsageError(error.what, fix=f"type {usage(what)}") from error
    return Typed(what, tuple(targets), parameters)


def usage(kind: str) -> str:
    """How a fault is typed: `silent SOURCE -> PROVIDER [way=both]`, what may be left out in brackets."""
    made = load_all()[kind]
    hints, targets, parameters = get_type_hints(made), [], []
    for one in inspect.signature(made).parameters.values():
        hint = hints[one.name]
        if one.name == "stage":
            continue
        if Node in (hint, *get_args(hint)):
            targets.append(one.name.upper())
        elif one.default is inspect.Parameter.empty:
            parameters.append(f"{one.name}=...")
        else:
            parameters.append(f"[{one.name}={'...' if one.default is None else _shown(one.default)}]")
    return " ".join([kind, *filter(None, [" -> ".join(targets)]), *parameters])


def _value(name: str, text: str) -> Value:
    """A number, true or false, a text in quotes, as TOML has them; anything else is a word."""
    quoted = text[:1] in ('"', "'")
    try:
        value: Any = tomllib.loads(f"value = {text}")["value"] if quoted or "#" not in text else text
    except ValueError as error:
        if quoted:
            raise UsageError(
                f"the text of {name} has no end, or an escape that there is not", fix=f'{name}="..."'
            ) from error
        return text
    if isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return text


def _shown(value: Value) -> str:
    if isinstance(value, str):
        return value if re.fullmatch(r"[\w.-]+", value) and _value("", value) == value else _toml.text(value)
    return _toml.plain(value)
