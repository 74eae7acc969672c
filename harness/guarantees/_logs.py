"""A service's log lines, and whether one of them tells of an event as it should."""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from harness.guarantees._base import NS
from harness.guarantees._events import Event, Word
from harness.history.clock import parse_time
from harness.history.reader import History
from harness.history.rows import find_markers
from harness.verdict import Doubt

WITHIN_NS = 2 * NS
"""How long after an event its line may come, and how far the line's own time may be from ours."""
BEFORE_NS = NS // 2
"""How long before: who closes a connection may say so first."""
_SHOWN = 60
_INFO, _WARNING, _ERROR = 1, 2, 3
LEVELS = {
    **dict.fromkeys(("trace", "debug", "verbose"), 0),
    **dict.fromkeys(("info", "information", "informational", "notice"), _INFO),
    **dict.fromkeys(("warn", "warning"), _WARNING),
    **dict.fromkeys(("err", "error", "severe", "crit", "critical", "fatal", "panic", "dpanic", "alert"), _ERROR),
    **dict.fromkeys(("emerg", "emergency"), _ERROR),
}
"""What levels are called, in whatever case; slog's "WARN+1" counts as "WARN"."""
WANTED: Mapping[Word, tuple[range, str]] = {
    "lost": (range(_WARNING, _ERROR + 1), "warning or more"),
    "returned": (range(_INFO, _INFO + 1), "info"),
    "failures": (range(_ERROR, _ERROR + 1), "error"),
}
_PAIR = re.compile(r'([^\s="]+)=("(?:[^"\\]|\\.)*"|\S*)')


class Logs:
    """The lines of the replicas whose `output` the system file describes."""

    def __init__(self, history: History) -> None:
        observed: Mapping[str, Mapping[str, Any]] = history.meta["observed"]
        self.output = {node: told["output"] for node, told in observed.items() if told["output"]}
        self._history = history
        self._lines: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for line in history.lines("output"):
            if line["node"] in self.output:
                self._lines[line["node"]].append((line["t_ns"], line["text"]))
        self._clock_stepped = any(trouble["name"] == Doubt.CLOCK_STEPPED for trouble in history.troubles())
        self._used: set[tuple[str, int]] = set()

    def lacks(self, event: Event) -> str:
        """What is missing for the event to be told of; empty where a line tells of it.

        A line can tell of several connections, but of one message alone.
        """
        lack = ""
        for node in event.nodes:
            pattern = self.output[node][event.word]
            lines = self._lines[node]
            first = bisect_left(lines, (event.t_ns - BEFORE_NS, ""))
            for at, (t_ns, text) in enumerate(lines[first:], start=first):
                if t_ns > event.t_ns + WITHIN_NS:
                    break
                about_it = pattern is None or re.search(pattern, text, re.IGNORECASE)
                if not about_it or self._of_another(event, text) or (event.marker and (node, at) in self._used):
                    continue
                problem = self._problem(node, event.word, t_ns, text)
                if not problem:
                    if event.marker:
                        self._used.add((node, at))
                    return ""
                lack = lack or f"the line {text[:_SHOWN]!r} {problem}"
            says = f" that says {pattern!r}" if pattern else ""
            nothing = f"no line{says} in {WITHIN_NS / NS:g} s"
        return lack or nothing

    def _of_another(self, event: Event, text: str) -> bool:
        named = find_markers(self._history.nonce, text)[0] if event.marker else ()
        return bool(named) and event.marker not in map(self._history.marker, named)

    def _problem(self, node: str, word: Word, t_ns: int, text: str) -> str:
        output = self.output[node]
        fields = _fields(text, output["format"])
        if fields is None:
            return f"is no {'JSON' if output['format'] == 'json' else output['format']}"
        try:
            own_ns = self._history.t_of_wall(parse_time(fields.get(output["time"], "")))
        except ValueError:
            return f"has no time of its own in {output['time']!r}"
        if abs(own_ns - t_ns) > WITHIN_NS and not self._clock_stepped:
            return f"has a time of its own that is {(own_ns - t_ns) / NS:+.1f} s from ours"
        level = str(fields.get(output["level"], "")).lower()
        ranks, wanted = WANTED[word]
        if LEVELS.get(re.split(r"[+-]", level)[0], -1) not in ranks:
            return f"has level {level[:_SHOWN]!r}, not {wanted}"
        return ""


def _fields(text: str, form: str) -> Mapping[str, Any] | None:
    """The keys and values of a line, None where it has none in that form."""
    if form == "json":
        try:
            found = json.loads(text)
        except ValueError:
            return None
        return found if isinstance(found, dict) else None
    return {key: value.strip('"') for key, value in _PAIR.findall(text)} or None
