"""What the histories of a run's scenarios add to its verdict: a timeline each, and the stories of operations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, cast

from harness.report import stories, timeline
from harness.report.shape import Scenario
from harness.report.stories import Story
from harness.report.text import plain, quantity
from harness.report.timeline import Timeline

PLACES = 50_000
"""Marks of all charts together, about: some fifteen bytes each, drawn and told, so that the page stays under 3 MB."""
ROWS = 1500
"""Rows of all tables behind charts together, about."""
FEWEST, MOST = 150, 3000
"""Marks of one chart at least, where there are so many, and at most."""


@dataclass(frozen=True, slots=True)
class Depth:
    """What one scenario's history adds; `line` is None where there is no history, or none was asked for."""

    line: Timeline | None = None
    stories: Mapping[str, Story] = field(default_factory=dict)


NO_DEPTH = Depth()


class Cut(NamedTuple):
    """A planned scenario that left a history and no verdict: what a chart needs of it, and its timeline."""

    scenario: Scenario
    depth: Depth


def depths(run_folder: Path, verdict: Mapping[str, Any]) -> list[Depth]:
    """What the histories in `run_folder` add, one for each scenario of its valid verdict, in their order."""
    scenarios = cast("list[Scenario]", verdict["scenarios"])
    places, slices = _room(verdict)

    def read(scenario: Scenario) -> Depth:
        folder = _folder(run_folder, scenario["id"])
        if folder is None:
            return NO_DEPTH
        line, history = timeline.read(folder, places, slices)
        return Depth(line, stories.read(history, scenario) if history else {})

    return [read(scenario) for scenario in scenarios]


def cuts(run_folder: Path, verdict: Mapping[str, Any]) -> list[Cut]:
    """The planned scenarios that left no verdict, as far as they left a history: those under way at a run's end."""
    places, slices = _room(verdict)
    found = []
    for id_ in verdict["missing"]:
        folder = _folder(run_folder, id_)
        if folder is not None:
            line, _ = timeline.read(folder, places, slices)
            known = {"id": plain(id_), "faults": list(line.faults), "findings": []}
            found.append(Cut(cast(Scenario, known), Depth(line)))
    return found


def _room(verdict: Mapping[str, Any]) -> tuple[int, int]:
    """How many marks a chart may have, and how many rows the table behind it."""
    n = max(1, len(verdict["scenarios"]) + len(verdict["missing"]))
    return min(max(PLACES // n, FEWEST), MOST), min(max(ROWS // n, 8), timeline.SLICES)


def _folder(run_folder: Path, id_: str) -> Path | None:
    """The folder of a scenario with a history; None where there is none, or where the name leads elsewhere."""
    name = id_.replace("[", "-").replace("]", "")
    if name in ("", ".", "..") or "/" in name or not name.isprintable() or len(name) > 200:
        return None
    folder = run_folder / "scenarios" / name
    return folder if (folder / "history").is_dir() else None


class Row(NamedTuple):
    """A row of the table behind a chart: when it begins, and its cells in words."""

    from_s: float
    cells: Sequence[str]


def rows_of(line: Timeline) -> Iterator[Row]:
    """The table behind a chart, a row for each stretch of time in which anything was offered."""
    for one in line.slices:
        begun = line.from_s + one.x * line.slice_s
        end = (one.x + 1) * line.slice_s
        counts = [one.offered, one.ok, *([one.open] if line.traced else []), one.fail, one.unknown]
        cells = [f"{n:,}" for n in counts] + [quantity(ms, "ms") for ms in (one.median_ms, one.most_ms)]
        if line.polled:
            open_then = [n for x, n in line.backlog if (x + 1) * line.step_s <= end + line.step_s / 2]
            cells.append(f"{open_then[-1] if open_then else 0:,}")
        if line.again:
            within = (one.x * line.slice_s, end)
            cells.append(f"{sum(n for x, n in line.again if within[0] <= x * line.step_s < within[1]):,}")
        yield Row(begun, cells)
