"""What the histories of a run's scenarios add to its verdict: a timeline each, and the stories of operations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, cast

from harness.report import stories, timeline
from harness.report.shape import Scenario
from harness.report.stories import Story
from harness.report.text import quantity
from harness.report.timeline import Timeline

PLACES = 60_000
"""Marks of all charts together, about: some ten bytes each, so that the page stays under 3 MB."""
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


def depths(run_folder: Path, verdict: Mapping[str, Any]) -> list[Depth]:
    """What the histories in `run_folder` add, one for each scenario of its valid verdict, in their order."""
    scenarios = cast("list[Scenario]", verdict["scenarios"])
    places = min(max(PLACES // max(1, len(scenarios)), FEWEST), MOST)
    slices = min(max(ROWS // max(1, len(scenarios)), 8), timeline.SLICES)
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda scenario: _depth(run_folder / "scenarios", scenario, places, slices), scenarios))


def _depth(folder: Path, scenario: Scenario, places: int, slices: int) -> Depth:
    name = scenario["id"].replace("[", "-").replace("]", "")
    if name in ("", ".", "..") or "/" in name or not name.isprintable() or len(name) > 200:
        return NO_DEPTH  # no folder of ours is called so
    if not (folder / name / "history").is_dir():
        return NO_DEPTH
    return Depth(timeline.read(folder / name, places, slices), stories.read(folder / name, scenario))


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
