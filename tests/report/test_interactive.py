"""What a script draws the charts from is the timeline, whole, and cannot end its data block."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, cast

import pytest

from harness.errors import HarnessError
from harness.report import interactive, timeline
from harness.report._asked import Cell, Slice
from harness.report.chart import fault_name
from harness.report.shape import Scenario
from harness.report.timeline import Bar, Lane, Timeline

from ..guarantees.synthetic import story
from . import runs, verdicts
from .verdicts import HOSTILE, KILL

EVIL = " ".join(HOSTILE) + "</script><!--<script>\u2028"


def told(line: Timeline, **more: Any) -> Mapping[str, Any]:
    scenario = cast(Scenario, verdicts.scenario("broker_crash", **more))
    found: Mapping[str, Any] = json.loads(interactive.numbers(line, scenario))
    return found


def test_every_number_of_a_timeline_is_there_and_no_other() -> None:
    with story() as made:
        runs.lossy(made)
        line = timeline.of(made.ended(), 10_000)
    found = told(line, faults=[KILL], findings=[])
    at = [
        Cell(kind, x, y, n)
        for kind, rows in found["cells"].items()
        for y, *flat in rows
        for x, n in zip(accumulate(flat[::2]), flat[1::2], strict=True)
    ]
    assert len(at) == len(line.cells) > 300
    assert set(at) == set(line.cells)
    assert {cell.kind for cell in at} == {"ok", "open", "fail", "unknown"}
    assert (found["from"], found["to"], found["step"]) == (line.from_s, line.to_s, line.step_s)
    rate = found["rate"]
    assert [rate[n : n + 3] for n in range(0, len(rate), 3)] == [[one.x, one.offered, one.ok] for one in line.rate]
    assert found["every"] == line.slice_s / 4
    backlog = dict(zip(accumulate(found["backlog"][::2]), accumulate(found["backlog"][1::2]), strict=True))
    changes = {x: n for (_, before), (x, n) in pairwise([(0, 0), *line.backlog]) if n != before}
    assert backlog == changes
    assert max(backlog.values()) == 41
    assert [one["name"] for one in found["lanes"]] == [lane.name for lane in line.lanes]
    assert [Bar(*bar) for one in found["lanes"] for bar in one["bars"]] == [b for lane in line.lanes for b in lane.bars]
    assert [one["closes"] for one in found["lanes"]] == [lane.closes for lane in line.lanes]
    assert {name: [Bar(*bar) for bar in bars] for name, bars in found["recovery"].items()} == line.recovery
    [fault] = found["faults"]
    assert fault["name"] == fault_name(cast(Any, KILL))
    assert (fault["from"], fault["to"], fault["bit"]) == (KILL["effective"], KILL["healed"], True)


def test_what_is_seen_again_and_what_nobody_knows_is_told() -> None:
    line = Timeline(again=[(3, 2), (7, 1)], rate=[Slice(0, 1, 1, 1, 1, None, None)])
    found = told(line)
    assert found["again"] == [3, 2, 4, 1]
    assert found["backlog"] is None
    assert found["rate"] == [0, 4, 1]


def test_the_parts_of_recovery_begin_with_what_was_noticed() -> None:
    noticed = verdicts.finding("reconnects.notices", measured=3.0, bound=5, unit="s", faults=[1])
    line = Timeline(recovery={"works": [Bar(5.0, 6.0)]})
    found = told(line, faults=[KILL | {"effective": 2.0}], findings=[noticed])
    assert found["recovery"] == {"notices": [[2.0, 5.0, True]], "works": [[5.0, 6.0, True]]}


@pytest.mark.parametrize("place", ["kind", "target", "how"])
def test_hostile_names_cannot_end_the_data_block(place: str) -> None:
    line = Timeline(lanes=[Lane(EVIL, [], [], 0, 0)])
    block = interactive.numbers(line, cast(Scenario, verdicts.scenario("x", faults=[KILL | {place: EVIL}])))
    assert not set("<>&'\u2028\n") & set(block)
    found = json.loads(block)
    assert found["lanes"][0]["name"] == EVIL
    assert found["faults"][0]["name"].startswith(f"1 {EVIL}"[:60] if place == "kind" else "1 kill")


def test_the_library_is_found_with_its_licence_and_not_imported() -> None:
    script, style = interactive.library()
    assert "MIT Licensed" in script[:400]
    assert "var uPlot" in script
    assert ".u-over" in style
    forbidden = ("eval(", "new Function", "</script", "innerHTML", "setAttribute", "url(")
    assert [words for words in forbidden if words in script + style] == []
    assert "uplot" not in sys.modules
    assert "IPython" not in sys.modules


def test_a_library_that_is_not_installed_is_an_error_that_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "uplot").mkdir()
    (tmp_path / "uplot" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    interactive.library.cache_clear()
    with pytest.raises(HarnessError, match="uPlot"):
        interactive.library()
    interactive.library.cache_clear()
