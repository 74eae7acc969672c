from __future__ import annotations

import re
from itertools import pairwise
from typing import Any, cast

import pytest

from harness.report import chart, timeline
from harness.report._asked import Cell
from harness.report.shape import Scenario
from harness.report.timeline import Timeline

from . import verdicts
from .verdicts import HOSTILE, KILL

EVIL = " ".join(HOSTILE)
TEN = Timeline(from_s=0.0, to_s=10.0, step_s=0.02)


def drawn(line: Timeline = TEN, *faults: dict[str, Any], findings: list[Any] | None = None) -> str:
    scenario = verdicts.scenario("broker_crash", faults=faults, findings=findings or [])
    return str(chart.draw(line, cast(Scenario, scenario)))


def test_a_fault_is_a_band_from_effective_to_healed_with_its_evidence() -> None:
    svg = drawn(TEN, KILL | {"effective": 2.0, "healed": 5.0})
    assert '<rect class="band" x="200.0" y="0" width="300.0"' in svg
    assert "effective +2.000 s, healed +5.000 s, with evidence: connections_lost 3, pidfd_readable 1" in svg


def test_a_fault_that_was_never_healed_goes_on_to_the_end() -> None:
    assert '<rect class="band" x="200.0" y="0" width="800.0"' in drawn(TEN, KILL | {"effective": 2.0, "healed": None})


def test_a_fault_without_evidence_looks_and_says_so() -> None:
    svg = drawn(TEN, KILL | {"bit": False, "effective": None, "healed": None, "asked": 1.0, "evidence": {}})
    assert '<path class="edge doubted" d="M100.0 0v' in svg
    assert "1 kill broker-0 (no evidence)</text>" in svg


def test_names_of_faults_do_not_lie_on_one_another() -> None:
    faults = [KILL | {"id": n, "effective": 1.0 + n * 0.4, "healed": 9.5} for n in range(20)]
    names = re.findall(r'class="fault-name" text-anchor="(\w+)" x="([\d.]+)" y="(\d+)">([^<]*)<', drawn(TEN, *faults))
    assert 8 <= len(names) < 20
    rows: dict[str, list[tuple[float, float]]] = {}
    for anchor, x, y, words in names:
        left = float(x) - (6.5 * len(words) if anchor == "end" else 0)
        rows.setdefault(y, []).append((left, left + 6.5 * len(words)))
    assert len(rows) == 4
    for row in rows.values():
        assert all(one[1] <= other[0] for one, other in pairwise(sorted(row)))


def test_a_backlog_is_as_high_as_it_was_between_two_steps() -> None:
    svg = drawn(Timeline(to_s=10.0, step_s=0.02, polled=True, backlog=[(10, 1), (20, 9), (21, 8), (22, 2), (400, 0)]))
    [path] = re.findall(r'class="backlog" d="([^"]*)"', svg)
    assert path == "M0 43H20V39H40V11H44V36H800V43H1000V43z"


def test_hostile_names_do_nothing() -> None:
    for place in ("kind", "target", "how"):
        svg = drawn(TEN, KILL | {place: EVIL})
        assert "<script" not in svg
        assert "<img" not in svg
        assert "&lt;script&gt;" in svg


def test_what_was_noticed_is_a_bar_from_the_fault_s_effect() -> None:
    noticed = verdicts.finding("reconnects.notices", measured=3.0, bound=5, unit="s", faults=[1])
    svg = drawn(TEN, KILL | {"effective": 2.0}, findings=[noticed])
    assert ">notices</text>" in svg
    assert '<path class="back" d="M200 7h300"/>' in svg
    assert ">notices</text>" not in drawn(TEN, KILL, findings=[noticed | {"faults": [1, 2]}])


@pytest.mark.parametrize("kind", ["ok", "open", "fail", "unknown"])
def test_every_place_is_in_a_mark(kind: str) -> None:
    places = [(x, y) for y in (0, 24, 50) for x in (0, 1, 2, 7, 100, 101, 499)]
    cells = [Cell(kind, x, y, 1 + 60 * (x % 3)) for x, y in places] + [Cell(kind, 42, None, 1)]
    svg = drawn(Timeline(from_s=0.0, to_s=10.0, step_s=0.02, cells=cells))
    covered = set()
    for path in re.findall(rf'<path class="mark {kind} size-\d" d="([^"]*)"', svg):
        for x, y, wide in re.findall(r"M(\d+) (\d+)(?:v6m0-3)?h(\d+)", path):
            covered |= {(at, int(y)) for at in range(int(x), int(x) + int(wide) + 1, 2)}
    rows = {y for _, y in covered}
    assert len(rows) == 4
    assert {x for x, _ in covered} == {2 * x for x, _ in places} | {84}
    assert len(covered) == len(cells)


def test_more_operations_make_a_larger_mark() -> None:
    sizes = [
        re.findall(r'<path class="mark ok size-(\d)"', drawn(Timeline(to_s=10.0, cells=[Cell("ok", 1, 1, n)])))
        for n in (1, 9, 10, 99, 100, 10**6)
    ]
    assert sizes == [["0"], ["0"], ["1"], ["1"], ["2"], ["2"]]


def test_no_more_lanes_are_drawn_than_can_be_read() -> None:
    lane = timeline.Lane("a" * 80, [timeline.Bar(0.0, 1.0)], [1.0], 1, 1)
    svg = drawn(Timeline(to_s=10.0, lanes=[lane] * timeline.LANES))
    assert svg.count('class="lane"') == timeline.LANES
    assert "a" * 31 not in svg


def test_what_has_no_timeline_has_no_chart() -> None:
    assert drawn(Timeline(why_not="gone")) == ""
