"""What observers share: their shape, gaps, markers in what they read, JSONPath, how our own connections are known."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from time import monotonic_ns
from typing import Any, Protocol

from harness.history.recorder import Recorder
from harness.history.rows import OpId, find_markers
from harness.verdict import Doubt

OWN_NAME = "nats-harness-"
"""How the names of the observers' own NATS connections begin."""
OWN_NAMES = ("nats-harness", "harness-")
"""How those of the whole harness do (readiness, the load's final read); none of them is a client of the system."""
SHOWN_BYTES = 300
"""How much of a record without a marker is kept."""

Json = Any
"""A JSON document: None, bool, int, float, str, or a list or dict of them."""


class Observer(Protocol):
    """A small reader that never crosses a proxy."""

    source: str
    """Its name in gaps, sightings and final reads."""

    async def watch(self) -> None:
        """Reads until cancelled; what it could not read is recorded as gaps."""
        ...

    async def final(self) -> None:
        """The last complete read once the system has settled; records a line `read`. Never raises."""
        ...


class Gap:
    """The time in which one source was not being read. Recorded when it opens and again when it closes."""

    def __init__(self, recorder: Recorder, source: str) -> None:
        self._recorder, self._source = recorder, source
        self._from_ns: int | None = None
        self._why = ""

    @property
    def is_open(self) -> bool:
        """Is the source not being read now?"""
        return self._from_ns is not None

    def open(self, why: str, *, from_ns: int) -> None:
        """From `from_ns` on nothing was read; nothing happens where the gap is open already."""
        if self._from_ns is None:
            self._from_ns, self._why = from_ns, why
            self._recorder.line("gap", source=self._source, from_ns=from_ns, to_ns=None, why=why)

    def close(self) -> None:
        """It is being read again."""
        if self._from_ns is not None:
            now = monotonic_ns()
            self._recorder.line("gap", t_ns=now, source=self._source, from_ns=self._from_ns, to_ns=now, why=self._why)
            self._from_ns = None


def find_op(recorder: Recorder, text: str, *, source: str) -> OpId | None:
    """The one operation that a record's text names.

    None where it names none (a line of kind phantom), several, or another run's (a trouble).
    """
    ours, foreign = find_markers(recorder.nonce, text)
    if len(ours) == 1 and not foreign:
        return ours[0]
    if ours or foreign:
        named = ", ".join([*(f"{op.writer}-{op.n}" for op in ours), *foreign])
        recorder.line("trouble", name=Doubt.IDS_UNCLEAR, detail=f"a record of {source} names {named}")
    else:
        recorder.line("phantom", source=source, text=text[:SHOWN_BYTES])
    return None


Values = Callable[[Json], Sequence[Json]]
"""Finds values in a JSON document."""

_PLAIN = re.compile(r"\.([A-Za-z_]\w*)|\[(\d+)\]|(\[\*\]|\.\*)", re.ASCII)


def json_path(path: str) -> Values:
    """What finds the values at a JSONPath. The compiler for those beyond `$.a[0].*` costs 0.2 s when first needed."""
    steps: list[tuple[str, str, str]] = _PLAIN.findall(path)
    if "$" + "".join(f".{name}" if name else f"[{at}]" if at else star for name, at, star in steps) != path:
        import jsonpath

        compiled = jsonpath.compile(path)
        return compiled.findall

    def find(document: Json) -> Sequence[Json]:
        found: list[Json] = [document]
        for name, at, _ in steps:
            found = [child for value in found for child in _children(value, name, at)]
        return found

    return find


def _children(value: Json, name: str, at: str) -> Sequence[Json]:
    if name:
        return [value[name]] if isinstance(value, dict) and name in value else []
    if at:
        return [value[int(at)]] if isinstance(value, list) and int(at) < len(value) else []
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def first(find: Values | None, document: Json) -> Json:
    """The first value that `find` finds, or None where it finds nothing."""
    values = find(document) if find is not None else ()
    return values[0] if values else None


def as_text(value: Json) -> str:
    """A value to search for markers in: a text as it is, anything else as JSON, nothing as ""."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def as_number(value: Json) -> int:
    """A whole number as it is, anything else as 0."""
    return value if isinstance(value, int) else 0


def login_of(connect: Mapping[str, str | None] | None, environment: Mapping[str, str]) -> dict[str, str]:
    """The system file's `broker.connect` with `{env:NAME}` filled in: what `_nats.connect` takes."""
    from harness.system.placeholders import render

    values = {f"env:{name}": value for name, value in environment.items()}
    return {name: render(text, values) for name, text in (connect or {}).items() if text}
