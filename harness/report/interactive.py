"""What a script draws the charts with and from: uPlot, as its package brings it, and a timeline's numbers as JSON.

uPlot's files are found, not imported: its package draws by itself, with much else that no page needs.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from harness.errors import HarnessError
from harness.report._asked import ROWS, Cell
from harness.report.chart import KINDS, fault_name, recovery
from harness.report.shape import Scenario
from harness.report.timeline import Timeline


@cache
def library() -> tuple[str, str]:
    """uPlot's script, with its licence, and its style. Raises HarnessError where its package is not installed."""
    found = find_spec("uplot")
    for folder in (found.submodule_search_locations or ()) if found else ():
        script, style = (Path(folder, "static", name) for name in ("uPlot.iife.js", "uPlot.min.css"))
        if script.exists() and style.exists():
            return script.read_text("utf-8"), style.read_text("utf-8")
    raise HarnessError("uPlot, which draws the charts, is not installed", where="uplot-python", fix="make setup")


def numbers(line: Timeline, scenario: Scenario) -> Markup:
    """A timeline's numbers, for a data block of the page: nothing in them can end it.

    Times are seconds since the load began; a column is `step` seconds wide. `cells` has, by kind, a list for each row
    (one of `rows` of a power of ten of milliseconds; null: never answered): the row, then in turn how many columns
    further and how many operations. `rate` has stretches of `every` seconds: which, offered, ok. `backlog` (null: not
    known) has how many columns further and how many more, `again` how many columns further and how many. A bar is from,
    to, and whether it ended.
    """
    told = {
        "from": line.from_s,
        "to": line.to_s,
        "step": line.step_s,
        "rows": ROWS,
        "cells": {kind: _rows([cell for cell in line.cells if cell.kind == kind]) for kind in KINDS},
        "every": line.slice_s / 4,
        "rate": [n for one in line.rate for n in (one.x, one.offered, one.ok)],
        "backlog": _changes(line.backlog) if line.polled else None,
        "again": _gaps(line.again),
        "lanes": [{"name": lane.name, "bars": lane.bars, "closes": lane.closes} for lane in line.lanes],
        "recovery": recovery(line, scenario),
        "faults": [
            {
                "name": fault_name(fault),
                "from": fault["effective"],
                "to": fault["healed"],
                "asked": fault["asked"],
                "bit": fault["bit"],
            }
            for fault in scenario["faults"]
        ],
    }
    return htmlsafe_json_dumps(told, separators=(",", ":"), allow_nan=False)


def _rows(cells: Iterable[Cell]) -> list[list[int | None]]:
    rows: dict[int | None, list[tuple[int, int]]] = {}
    for cell in sorted(cells, key=lambda cell: cell.x):
        rows.setdefault(cell.y, []).append((cell.x, cell.n))
    return [[y, *_gaps(found)] for y, found in rows.items()]


def _gaps(found: Iterable[tuple[int, int]]) -> list[int]:
    told, last = list[int](), 0
    for x, n in found:
        told += (x - last, n)
        last = x
    return told


def _changes(steps: Iterable[tuple[int, int]]) -> list[int]:
    told, last, before = list[int](), 0, 0
    for x, n in steps:
        if n != before:
            told += (x - last, n - before)
            last, before = x, n
    return told
