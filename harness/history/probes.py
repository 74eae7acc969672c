"""What the probe saw of a link under fault: its records, read out of a history. Pure.

A record was sent at `sent_ns` and arrived at `got_ns`, or never. Its way: over one old connection `to` the link's
target or `from` it, or `round` where only answers can be seen (HTTP); `fresh`: a connection of its own, answered.
`end` is none of these: the connection through the link ended, and `error` says how.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Literal

from harness.history.reader import History

LinkKey = tuple[str, str]
Way = Literal["to", "from", "round", "fresh", "end"]


@dataclass(frozen=True, slots=True)
class Record:
    """One record; `old`: on the connections that stood before the fault. `error` says why it was never answered."""

    way: Way
    n: int
    sent_ns: int
    got_ns: int | None
    old: bool
    error: str


def records(history: History, fault: int, link: LinkKey, *ways: Way) -> Iterator[Record]:
    """The records of a fault's link in the order of sending, of these ways (none: all)."""
    for line in history.lines("probe"):
        if line["fault"] == fault and tuple(line["link"]) == link and (not ways or line["way"] in ways):
            old, error = bool(line.get("old")), str(line.get("error", ""))
            yield Record(line["way"], line["n"], line["sent_ns"], line["got_ns"], old, error)


def seen(history: History, fault: int, link: LinkKey, way: Way, from_ns: int, to_ns: int) -> tuple[int, int]:
    """How many records were sent in that time, and how many of them had arrived by its end."""
    sent = [record for record in records(history, fault, link, way) if from_ns <= record.sent_ns <= to_ns]
    return len(sent), sum(record.got_ns is not None and record.got_ns <= to_ns for record in sent)


def counts(history: History, fault: int, link: LinkKey, from_ns: int, to_ns: int) -> dict[Way, tuple[int, int]]:
    """What `seen` says of every way in which anything was sent, in one reading of the history."""
    found: dict[Way, tuple[int, int]] = {}
    for record in records(history, fault, link):
        if from_ns <= record.sent_ns <= to_ns:
            sent, got = found.get(record.way, (0, 0))
            found[record.way] = (sent + 1, got + (record.got_ns is not None and record.got_ns <= to_ns))
    return found


def median_rtt_ms(history: History, fault: int, link: LinkKey, from_ns: int, to_ns: int) -> tuple[float, int]:
    """The median round trip of what was sent in that time and has arrived since, and of how many records.

    On a broker's link it is the sum of the medians of both ways, and the number the smaller one. 0.0 of 0 where there
    are none.
    """
    times: dict[Way, list[int]] = {"to": [], "from": [], "round": []}
    for record in records(history, fault, link, "to", "from", "round"):
        if record.got_ns is not None and from_ns <= record.sent_ns <= to_ns:
            times[record.way].append(record.got_ns - record.sent_ns)
    if times["round"]:
        return median(times["round"]) / 1e6, len(times["round"])
    if not times["to"] or not times["from"]:
        return 0.0, 0
    return (median(times["to"]) + median(times["from"])) / 1e6, min(len(times["to"]), len(times["from"]))


def spread_ms(history: History, fault: int, link: LinkKey, way: Way, from_ns: int, to_ns: int) -> float:
    """How far apart the times of records sent in that time lie: the middle four fifths of those that have arrived."""
    times = [
        record.got_ns - record.sent_ns
        for record in records(history, fault, link, way)
        if record.got_ns is not None and from_ns <= record.sent_ns <= to_ns
    ]
    if len(times) < 2:
        return 0.0
    tenths = quantiles(times, n=10)
    return (tenths[-1] - tenths[0]) / 1e6


def first_silent(history: History, fault: int, link: LinkKey, way: Way, after_ns: int, to_ns: int) -> int | None:
    """When the first record of that time was sent that had not arrived by its end; None where all had."""
    for record in records(history, fault, link, way):
        if after_ns <= record.sent_ns <= to_ns and (record.got_ns is None or record.got_ns > to_ns):
            return record.sent_ns
    return None


def first_answer_after(history: History, fault: int, link: LinkKey, after_ns: int, *ways: Way) -> int | None:
    """When something arrived first after that moment, however long before it was sent; None where nothing did."""
    arrived = (record.got_ns for record in records(history, fault, link, *ways))
    return min((got_ns for got_ns in arrived if got_ns is not None and got_ns > after_ns), default=None)


def ends(history: History, fault: int, link: LinkKey, from_ns: int, to_ns: int) -> list[str]:
    """How the probe's connections through the link ended in that time, in order: "ECONNRESET", "EOF" ..."""
    return [record.error for record in records(history, fault, link, "end") if from_ns <= record.sent_ns <= to_ns]


def errors(history: History, fault: int, link: LinkKey, way: Way, from_ns: int, to_ns: int) -> dict[str, int]:
    """Why records sent in that time were never answered: the probe's words ("ECONNREFUSED", "EOF") and how often."""
    counts: dict[str, int] = {}
    for record in records(history, fault, link, way):
        if from_ns <= record.sent_ns <= to_ns and record.got_ns is None:
            counts[record.error] = counts.get(record.error, 0) + 1
    return counts
