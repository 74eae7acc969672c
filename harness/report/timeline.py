"""What happened in a scenario by time, out of its history: what a chart shows and the table behind it.

Operations are counted into places, columns of time by rows of latency; each lies in one, so that no violation and no
outlier is left out, however many there are. Times are seconds since the load began, as everywhere in a verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import HarnessError
from harness.history.reader import FaultSpan, History
from harness.report._asked import Asked, Cell, Slice
from harness.report.shape import Fault
from harness.report.text import plain, plain_tree

Since = Callable[[int], float]

NS = 1_000_000_000
COLUMNS = 500
"""Columns of time at the finest."""
LANES = 24
"""Links that have a lane each; of more, those with the most connections."""
SLICES = 24
"""Rows of the table behind a chart, at most and if nothing else is asked for."""


class Bar(NamedTuple):
    """A stretch of a lane; `ended` false: it went on beyond what was watched."""

    from_s: float
    to_s: float
    ended: bool = True


@dataclass(frozen=True, slots=True)
class Lane:
    """The connections of one link: when it had one, when one closed, and how many were opened and closed."""

    name: str
    bars: Sequence[Bar]
    closes: Sequence[float]
    opened: int
    closed: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """A scenario's course; empty where its history could not be read, with the reason in `why_not`."""

    from_s: float = 0.0
    to_s: float = 1.0
    step_s: float = 1 / COLUMNS
    cells: Sequence[Cell] = ()
    halved: int = 0
    """How often places were put together in twos so that their number is no more than was asked for."""
    rate: Sequence[Slice] = ()
    slice_s: float = 1.0
    slices: Sequence[Slice] = ()
    backlog: Sequence[tuple[int, int]] = ()
    """Column to how many accepted operations (polled ones) had come to no end by its end."""
    again: Sequence[tuple[int, int]] = ()
    lanes: Sequence[Lane] = ()
    more_lanes: int = 0
    recovery: Mapping[str, Sequence[Bar]] = field(default_factory=dict)
    gaps: Sequence[tuple[str, Bar]] = ()
    faults: Sequence[Fault] = ()
    """The faults as the history has them; a verdict has them too, where there is one."""
    late_ms: float = 0.0
    """The greatest lag of our own loops (p99 of a second)."""
    traced: bool = False
    """Whether any work has an end that can be seen; `polled`: as it comes, so that a backlog is known."""
    polled: bool = False
    whole: bool = True
    """Whether the scenario came to its end: one that was killed half way did not."""
    why_not: str = ""

    @property
    def operations(self) -> int:
        """How many there are."""
        return sum(cell.n for cell in self.cells)


def read(folder: Path, places: int, slices: int = SLICES) -> tuple[Timeline, History | None]:
    """The timeline of the scenario in `folder`, of at most about so many `places`; never raises for a bad history.

    With it the history, so that more can be asked of it; None where it could not be opened.
    """
    import duckdb

    history = None
    try:
        history = History.open(folder / "history", still=True)
        return of(history, places, slices), history
    except (HarnessError, OSError) as error:
        why_not = _told(error, folder)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, duckdb.Error) as error:
        why_not = f"its history is not what this version reads: {plain(repr(error), longest=200)}"
    return Timeline(why_not=why_not), history


def _told(error: HarnessError | OSError, folder: Path) -> str:
    """The error without the path of the machine that judged; the page travels."""
    return plain(str(error).replace(f"{folder}/", "").replace(str(folder), ""), longest=400)


def of(history: History, places: int, slices: int = SLICES) -> Timeline:
    """The timeline of a history. Raises HistoryError where it cannot be read."""
    workloads: Mapping[str, Mapping[str, Any]] = history.meta["workloads"]
    read_ones = [name for name, told in workloads.items() if told.get("read")]
    polled = [name for name, told in workloads.items() if told.get("polled")]
    lines = history.lines()
    start_ns = _start(lines, history)
    asked = Asked(history, [*polled, *read_ones], read_ones, polled)
    from_ns, to_ns = _span(asked.span(), lines, start_ns)
    step_ns, slice_ns = -(-(to_ns - from_ns) // COLUMNS), _slice_ns(to_ns - from_ns, slices)
    counted = asked.counted(from_ns, step_ns, slice_ns)
    cells, halved = coarsened(counted.cells, places)

    def since(t_ns: int) -> float:
        return round((t_ns - start_ns) / NS, 3)

    lanes = _lanes([line for line in lines if line["kind"] == "connection"], to_ns, since)
    return Timeline(
        from_s=since(from_ns),
        to_s=since(to_ns),
        step_s=step_ns / NS,
        cells=cells,
        halved=halved,
        slice_s=slice_ns / NS,
        slices=counted.slices,
        rate=counted.rate,
        backlog=_summed(counted.flow),
        again=counted.again,
        lanes=lanes[:LANES],
        more_lanes=max(0, len(lanes) - LANES),
        recovery=_recovery(lines, since),
        gaps=_gaps(lines, to_ns, since),
        faults=[_fault(span, since) for span in history.faults()],
        late_ms=max((line["lag_p99_ms"] for line in lines if line["kind"] == "noise"), default=0.0),
        traced=bool(polled or read_ones),
        polled=bool(polled),
        whole=any(line["kind"] == "phase" and line["name"] == "evidence" for line in lines),
    )


def coarsened(cells: Sequence[Cell], places: int) -> tuple[list[Cell], int]:
    """The same operations in at most `places` places, where halving columns and rows eight times can do that.

    A place keeps the first column and row of those that it took in.
    """
    found, halved, columns, rows = list(cells), 0, 1, 1
    while len(found) > places and halved < 8:
        columns, rows, halved = (columns, rows * 2, halved + 1) if halved % 3 == 2 else (columns * 2, rows, halved + 1)
        merged: dict[tuple[str, int, int | None], int] = {}
        for kind, x, y, n in cells:
            place = (kind, x // columns * columns, None if y is None else y // rows * rows)
            merged[place] = merged.get(place, 0) + n
        found = [Cell(kind, x, y, n) for (kind, x, y), n in merged.items()]
    return found, halved


def _start(lines: Sequence[Mapping[str, Any]], history: History) -> int:
    started = [line["t_ns"] for line in lines if line["kind"] == "load" and line["event"] == "started"]
    return int(started[0]) if started else int(history.meta["began_ns"])


def _span(operations: tuple[int, int] | None, lines: Sequence[Mapping[str, Any]], start_ns: int) -> tuple[int, int]:
    """From the load's beginning to the last end, fault or recovery; without any of them, to the last line."""
    told = [line["t_ns"] for line in lines if line["kind"] in ("load", "recovered")]
    told += [line["t_ns"] for line in lines if line["kind"] == "fault" and line["event"] in ("effective", "healed")]
    told += operations or ()
    first, last = min([start_ns, *(operations or ())]), max(told or [start_ns, *(line["t_ns"] for line in lines)])
    return first, max(last, first + NS // 10)


def _slice_ns(span_ns: int, slices: int) -> int:
    """A round stretch of time that cuts a span into so many slices or fewer."""
    return next((step for n in range(13) for m in (1, 2, 5) if (step := m * 10 ** (n + 6)) * slices >= span_ns), 10**19)


def _summed(changes: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    found, total = [], 0
    for x, change in changes:
        total += change
        found.append((x, total))
    return found


def _lanes(lines: Sequence[Mapping[str, Any]], to_ns: int, since: Since) -> list[Lane]:
    """A lane a link, those with the broker's clients first by name; our probes' connections are left out."""
    opened: dict[tuple[str, str], dict[str, list[int]]] = {}
    closed: dict[tuple[str, str], dict[str, list[int]]] = {}
    for line in lines:
        if line.get("probe") or line["event"] not in ("opened", "closed"):
            continue
        ends = opened if line["event"] == "opened" else closed
        ends.setdefault((line["source"], line["target"]), {}).setdefault(line["client"], []).append(line["t_ns"])
    return [
        _lane(f"{source} to {target}", told, closed.get((source, target), {}), to_ns, since)
        for (source, target), told in sorted(opened.items(), key=lambda item: item[0][::-1])
    ]


def _lane(
    name: str, opened: Mapping[str, Sequence[int]], closed: Mapping[str, Sequence[int]], to_ns: int, since: Since
) -> Lane:
    spans: list[tuple[int, int, bool]] = []
    for client, starts in opened.items():
        ends = sorted(closed.get(client, ()))
        for start in sorted(starts):
            end = next((one for one in ends if one >= start), None)
            spans.append((start, to_ns, False) if end is None else (start, end, True))
    bars: list[Bar] = []
    for start, end, ended in sorted(spans):
        if bars and since(start) <= bars[-1].to_s + 0.001:
            last = bars[-1]
            bars[-1] = Bar(last.from_s, max(last.to_s, since(end)), ended if since(end) >= last.to_s else last.ended)
        else:
            bars.append(Bar(since(start), since(end), ended))
    closes = sorted({since(t_ns) for ends in closed.values() for t_ns in ends})
    return Lane(
        plain(name, longest=80),
        bars,
        closes,
        sum(map(len, opened.values())),
        sum(len(ends) for client, ends in closed.items() if client in opened),
    )


def _recovery(lines: Sequence[Mapping[str, Any]], since: Since) -> dict[str, list[Bar]]:
    """From healing to: connections again, right answers, nothing open; as the run itself saw each come true."""
    found: dict[str, list[Bar]] = {"reconnects": [], "works": [], "drained": []}
    for line in lines:
        if line["kind"] == "recovered" and line.get("healed_ns"):
            for name, key in zip(found, ("connections_ns", "answers_ns", "drained_ns"), strict=True):
                end = line.get(key)
                begun = min(line["healed_ns"], end or line["healed_ns"])
                found[name].append(Bar(since(begun), since(end or line["t_ns"]), end is not None))
    return {name: bars for name, bars in found.items() if bars}


def _gaps(lines: Sequence[Mapping[str, Any]], to_ns: int, since: Since) -> list[tuple[str, Bar]]:
    """When an observer could not read; a gap is told when it opens and again when it closes."""
    ends: dict[tuple[str, int], int | None] = {}
    for line in lines:
        if line["kind"] == "gap":
            ends[line["source"], line["from_ns"]] = line.get("to_ns")
    return [
        (plain(source, longest=80), Bar(since(from_ns), since(to_ns if end is None else end), end is not None))
        for (source, from_ns), end in sorted(ends.items(), key=lambda item: item[0][1])
    ]


def _fault(span: FaultSpan, since: Since) -> Fault:
    told: Fault = {
        "id": span.id,
        "kind": span.kind,
        "target": span.target,
        "how": span.how,
        "asked": since(span.asked_ns),
        "effective": None if span.effective_ns is None else since(span.effective_ns),
        "healed": None if span.healed_ns is None else since(span.healed_ns),
        "bit": span.bit,
        "evidence": dict(span.evidence),
    }
    return plain_tree(told)
