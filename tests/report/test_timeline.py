from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.history.rows import Outcome, Step
from harness.report import timeline
from harness.report._asked import Cell
from harness.report.depth import rows_of
from harness.report.timeline import Bar, Timeline

from ..guarantees.synthetic import ENTRY_LINK, HEALED, HIT, Story, story, t

PLACES = 10_000


def read(told: Story, until: float = 60_000, places: int = PLACES) -> Timeline:
    return timeline.of(told.ended(until), places)


def kinds(line: Timeline) -> Counter[str]:
    found: Counter[str] = Counter()
    for cell in line.cells:
        found[cell.kind] += cell.n
    return found


def test_each_operation_lies_where_it_was_offered_and_as_high_as_its_answer_was_late() -> None:
    with story() as told:
        told.load(0, 10_000)
        told.done(told.op(1_000, took=100), 1_100)
        told.op(9_000, Outcome.FAIL, took=1)
        told.op(9_500, None)
        line = read(told)
    assert kinds(line) == {"ok": 1, "fail": 1, "unknown": 1}
    at = {cell.kind: (line.from_s + cell.x * line.step_s, cell.y) for cell in line.cells}
    assert {kind: y for kind, (_, y) in at.items()} == {"ok": 2 * 24, "fail": 0, "unknown": None}
    assert [at[kind][0] for kind in ("ok", "fail", "unknown")] == pytest.approx([1.0, 9.0, 9.5], abs=0.03)


def test_what_was_accepted_and_came_to_no_end_is_a_kind_of_its_own() -> None:
    with story() as told:
        told.load(0, 10_000)
        told.done(told.op(1_000), 1_000)
        told.op(2_000)
        told.result(told.op(3_000), 3_500, proved=False)
        told.end(Step.DEAD_LETTER, told.op(4_000), 4_500)
        told.effect(told.op(5_000), 5_100)
        line = read(told)
    assert kinds(line) == {"ok": 2, "open": 3}


def test_an_end_that_names_the_answer_s_own_id_is_one() -> None:
    with story() as told:
        told.load(0, 10_000)
        told.op(1_000, ref="their-1")
        told.recorder.sight(Step.DEAD_LETTER, t_ns=told.clock.now, source="dead letters", op=None, ref="their-1")
        line = read(told)
    assert kinds(line) == {"ok": 1}


def test_late_is_counted_from_the_moment_intended() -> None:
    with story() as told:
        told.load(0, 10_000)
        told.op(1_900, took=100, intended=1_000, outcome=Outcome.FAIL)
        line = read(told)
    assert line.from_s + line.cells[0].x * line.step_s == pytest.approx(1.0, abs=0.03)
    assert line.slices[0].most_ms == pytest.approx(1_000)


def test_backlog_grows_by_what_is_accepted_and_shrinks_by_what_ends() -> None:
    with story() as told:
        told.load(0, 10_000)
        for n in range(5):
            told.result(told.op(1_000 + n), 8_000)
        told.op(2_000)
        line = read(told)
    assert max(n for _, n in line.backlog) == 6
    assert line.backlog[-1][1] == 1


def test_what_is_seen_once_more_is_told() -> None:
    with story() as told:
        told.load(0, 10_000)
        op = told.op(1_000)
        told.effect(op, 1_100)
        told.effect(op, 2_000, attempt=2)
        told.effect(op, 3_000, step=Step.REPEAT)
        line = read(told)
    assert [line.from_s + x * line.step_s for x, _ in line.again] == pytest.approx([2.0, 3.0], abs=0.03)


def test_lanes_tell_when_a_link_had_a_connection_and_leave_our_probes_out() -> None:
    with story() as told:
        told.load(0, 10_000)
        told.connection(ENTRY_LINK, "127.0.0.1:1", 0, closed=5_000)
        told.connection(ENTRY_LINK, "127.0.0.1:2", 4_000, closed=6_000)
        told.connection(ENTRY_LINK, "127.0.0.1:3", 8_000)
        link: dict[str, Any] = {"source": ENTRY_LINK[0], "target": ENTRY_LINK[1]}
        told.line("connection", 7_000, event="opened", client="127.0.0.1:9", probe=True, **link)
        line = read(told)
    [lane] = line.lanes
    assert lane.bars == [Bar(0.0, 6.0), Bar(8.0, 10.0, ended=False)]
    assert lane.closes == [5.0, 6.0]
    assert (lane.opened, lane.closed) == (3, 2)


def test_recovery_is_told_in_its_parts_and_what_never_came_has_no_end() -> None:
    with story() as told:
        told.load(0, 20_000)
        told.fault(HIT, HEALED)
        moments: dict[str, Any] = {"connections_ns": t(HEALED + 300), "answers_ns": t(HEALED + 500), "drained_ns": None}
        told.line("recovered", 12_000, settled=True, healed_ns=t(HEALED), **moments)
        line = read(told)
    assert line.recovery == {
        "reconnects": [Bar(8.0, 8.3)],
        "works": [Bar(8.0, 8.5)],
        "drained": [Bar(8.0, 12.0, ended=False)],
    }


def test_a_history_without_an_operation_is_one() -> None:
    with story() as told:
        told.load(0, 3_000)
        line = read(told)
    assert (line.operations, line.slices, line.backlog) == (0, [], [])
    assert line.to_s >= 3.0


def test_a_scenario_that_was_killed_half_way_is_told_as_far_as_it_came() -> None:
    with story() as told:
        told.load(0, 10_000)
        told.op(1_000)
        told.line("phase", 1_500, name="steady", from_ns=0)
        cut = timeline.of(told.ended(2_000), PLACES)
    with story() as told:
        told.load(0, 10_000)
        told.line("phase", 11_000, name="evidence", from_ns=0)
        whole = read(told)
    assert (cut.whole, cut.operations) == (False, 1)
    assert whole.whole


@pytest.mark.parametrize("damage", ["gone", "meta", "line"])
def test_what_cannot_be_read_says_why_and_names_no_path(damage: str, tmp_path: Path) -> None:
    with story() as told:
        told.load(0, 10_000)
        told.op(1_000)
        told.ended()
        folder = told.folder
        if damage == "gone":
            folder.rename(folder.with_name("elsewhere"))
        elif damage == "meta":
            (folder / "meta.json").write_text("{}")
        else:
            for file in folder.glob("*.jsonl"):
                file.write_text("no json\n" + file.read_text())
        line, _ = timeline.read(folder.parent, PLACES)
    assert line.why_not
    assert str(folder.parent) not in line.why_not


def test_moments_that_cannot_be_cost_no_more_than_a_timeline() -> None:
    with story() as told:
        told.load(0, 10_000)
        told.op(1_000)
        told.op(2_000, intended=10**12)
        assert read(told).operations == 2
    with story() as told:
        told.load(0, 10_000)
        told.op(1_000)
        told.line("load", 11_000, event="stopped")
        told.ended()
        for file in told.folder.glob("*.jsonl"):
            file.write_text(file.read_text().replace(f'"t_ns": {t(11_000)}', f'"t_ns": {10**30}'))
        line, _ = timeline.read(told.folder.parent, PLACES)
    assert "OverflowError" in line.why_not


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["ok", "open", "fail", "unknown"]),
            st.integers(0, timeline.COLUMNS - 1),
            st.none() | st.integers(-72, 120),
            st.integers(1, 10**6),
        ),
        unique_by=lambda cell: cell[:3],
        max_size=300,
    ),
    st.integers(1, 300),
)
def test_fewer_places_hold_the_same_operations(drawn: list[tuple[str, int, int | None, int]], places: int) -> None:
    cells = [Cell(*one) for one in drawn]
    found, halved = timeline.coarsened(cells, places)
    assert len(found) <= places or halved == 8
    assert kinds(Timeline(cells=found)) == kinds(Timeline(cells=cells))
    assert {(c.kind, c.y is None) for c in found} == {(c.kind, c.y is None) for c in cells}
    for cell in found:
        near = [c for c in cells if c.kind == cell.kind and 0 <= c.x - cell.x < 2**6]
        assert near


def test_ten_thousand_lost_ones_are_all_there_in_few_marks() -> None:
    with story() as told:
        told.load(0, 10_000)
        for n in range(10_000):
            told.op(n, took=1 + n % 300)
        line = read(told, places=200)
    assert kinds(line) == {"open": 10_000}
    assert len(line.cells) <= 200
    assert sum(one.open for one in line.slices) == 10_000


def test_the_table_behind_a_chart_adds_up_to_the_same() -> None:
    with story() as told:
        told.load(0, 10_000)
        told.work(0, 5_000)
        told.op(6_000)
        told.op(7_000, Outcome.FAIL)
        line = read(told)
    rows = list(rows_of(line))
    assert [sum(int(row.cells[n].replace(",", "")) for row in rows) for n in range(5)] == [102, 100, 1, 1, 0]
    assert rows[-1].cells[-1] == "1"
    assert rows[0].from_s == 0.0
