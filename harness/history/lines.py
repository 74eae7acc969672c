"""The closed set of kinds of line, and what they add up to: faults, gaps, troubles.

Lines are JSON objects, one a line, each written by a single append; all have `kind` and `t_ns`. What follows the last
newline of a file is dropped: its writer died in the middle of it. In the table "?" marks a field that may be missing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.errors import HistoryError

KINDS: Mapping[str, str] = {
    "anchor": "wall_ns: the wall clock at t_ns",
    "phase": "name (start, ready, load, steady, stop, final ...), from_ns, to_ns; t_ns is to_ns",
    "node": (
        "node, event (started, ready, stopping, exited, paused, resumed, listening, not ready), pid?, code?, signal?,"
        " why?, from_ns? (stopping: when the asking began)"
    ),
    "link": (
        "source, target, event (made, open, refusing, cut, slowed, impaired, lost, mended, replaced), how?, way?,"
        " port?, seen?, dropped?"
    ),
    "bytes": "source, target, to_in, to_out, from_in, from_out: of living connections, at a proxy whose link is probed",
    "connection": (
        "source, target, client ('127.0.0.1:53312'), event (opened: the proxy accepted; reached: the broker's own start"
        " time; closed), by? (client, upstream, proxy), via (proxy, connz, close_wait), cid?, reason?, probe?"
    ),
    "output": "node, text: one line of a service, at its arrival",
    "fault": "id, fault, target, event (asked, effective, failed, healing, healed, evidence), how?, links?, nodes?,"
    " link?, asked?, evidence?, bit?",
    "probe": "fault, link [source, target], way (to, from, round, fresh, end), n, sent_ns, got_ns or null, error?",
    "gap": "source, from_ns, to_ns or null, why: the source was not being read",
    "trouble": "name (of verdict's closed list), detail, links?",
    "read": "source, complete, count, from_ns, stream?, why?: a final read, which ended at t_ns",
    "noise": (
        "what (runner, load), from_ns, lag_p99_ms, lag_max_ms, late_share (over 50 ms), cpu {group: cores}, others?"
        " (cores that others used), stretch? (how many times longer than it needed a process of the services' weight"
        " took for a piece of work, or null)"
    ),
    "load": "event (started, burst, stopping, stopped, totals), ...",
    "recovered": "connections_ns or null, answers_ns or null, drained_ns or null, settled, healed_ns",
    "phantom": "source, text: an enumerated record with no usable marker, or of no operation",
    "in_hand": "node, count, asked",
    "dead_letter": "subject, op? (as text), ref?, reason or null, payload (whether it carries what could not be done)",
    "expect": "guarantee, bounds",
    "health": "node, what (live, ready), answer (200, timeout ...), green, from_ns; when it changes, and each second",
    "metrics": "node, from_ns, values {lost, returned, failures: number or null}, at first and where changed; or error",
    "broker": "node, server, version, connections, slow_consumers, streams {name: {messages, consumers {name: {...}}}}",
}

NEVER_NS = 2**63 - 1
"""The end of a gap that was never closed."""


@dataclass(frozen=True, slots=True)
class FaultSpan:
    """A fault: asked for by us; `effective_ns` and `healed_ns` as its mechanism saw it, of several links the last.

    `healing_ns` is when we began to heal it. `link_times` has effect and healing for each link that told its own. `bit`
    is whether the evidence says that it took effect.
    """

    id: int
    kind: str
    target: str
    asked_ns: int
    effective_ns: int | None = None
    healed_ns: int | None = None
    evidence: Mapping[str, float] = field(default_factory=dict)
    bit: bool = False
    links: tuple[tuple[str, str], ...] = ()
    nodes: tuple[str, ...] = ()
    how: str = ""
    link_times: Mapping[tuple[str, str], tuple[int | None, int | None]] = field(default_factory=dict)
    healing_ns: int | None = None


def parse_lines(data: bytes, where: str, first: int = 1) -> list[dict[str, Any]]:
    """The lines of a file's bytes, in the order written; what follows the last newline is dropped.

    `first` is the number of the first of them in their file, for messages. Raises HistoryError where a whole line is
    no JSON object with kind and t_ns.
    """
    found = []
    try:
        text = data[: data.rfind(b"\n") + 1].decode("utf-8", "surrogatepass")  # once, since there are thousands
    except UnicodeDecodeError as error:
        number = first + data.count(b"\n", 0, error.start)
        raise HistoryError(f"a line is no JSON: {error}", where=f"{where}:{number}", fix=DAMAGED) from error
    for number, raw in enumerate(text.split("\n")[:-1], start=first):
        try:
            line = json.loads(raw)
        except ValueError as error:
            raise HistoryError(f"a line is no JSON: {error}", where=f"{where}:{number}", fix=DAMAGED) from error
        if not isinstance(line, dict) or not isinstance(line.get("t_ns"), int) or "kind" not in line:
            raise HistoryError("a line lacks kind or t_ns", where=f"{where}:{number}", fix=DAMAGED)
        found.append(line)
    return found


DAMAGED = "the history was changed after it was written; run the scenario again, or judge an undamaged copy"


def fault_spans(lines: Iterable[Mapping[str, Any]]) -> list[FaultSpan]:
    """The faults that the lines of kind "fault" tell of, by id."""
    by_id: dict[int, list[Mapping[str, Any]]] = {}
    for line in lines:
        by_id.setdefault(line["id"], []).append(line)
    return [_span(id_, events) for id_, events in sorted(by_id.items())]


def _span(id_: int, events: list[Mapping[str, Any]]) -> FaultSpan:
    fields: dict[str, Any] = {}
    evidence: dict[str, float] = {}
    for event in events:  # what a later event tells replaces what an earlier one did
        fields.update(
            {name: event[name] for name in ("fault", "target", "how", "links", "nodes", "bit") if name in event}
        )
        evidence.update(event.get("evidence") or {})
    asked = [event["t_ns"] for event in events if event["event"] == "asked"]
    links = [(source, target) for source, target in fields.get("links") or ()]
    own = {(source, target) for source, target in (event["link"] for event in events if "link" in event)}
    times = {link: (_last(events, "effective", link), _last(events, "healed", link)) for link in (*links, *own)}
    return FaultSpan(
        id=id_,
        kind=str(fields.get("fault", "")),
        target=str(fields.get("target", "")),
        asked_ns=asked[0] if asked else events[0]["t_ns"],
        effective_ns=_last(events, "effective"),
        healed_ns=_last(events, "healed"),
        evidence=evidence,
        bit=bool(fields.get("bit", False)),
        links=tuple(times),
        nodes=tuple(fields.get("nodes") or ()),
        how=str(fields.get("how") or ""),
        link_times=times,
        healing_ns=_last(events, "healing"),
    )


def _last(events: Iterable[Mapping[str, Any]], event: str, link: tuple[str, str] | None = None) -> int | None:
    """When the last such event was; with a link: of those that name it, or else of those that name none."""
    told = [line for line in events if line["event"] == event]
    if link is not None:
        told = [line for line in told if tuple(line.get("link", ())) == link] or [
            line for line in told if "link" not in line
        ]
    return max((line["t_ns"] for line in told), default=None)


def gap_spans(lines: Iterable[Mapping[str, Any]], source: str) -> list[tuple[int, int]]:
    """When a source was not being read, as (from_ns, to_ns), by time; NEVER_NS where it never was again.

    A gap may be told twice, when it opens (to_ns null) and when it closes.
    """
    ends: dict[int, int] = {}
    for line in lines:
        if line["source"] == source:
            to_ns = line.get("to_ns")
            ends[line["from_ns"]] = NEVER_NS if to_ns is None else to_ns
    return sorted(ends.items())
