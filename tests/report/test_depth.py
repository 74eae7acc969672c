"""The page with histories beside its verdict."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from harness.history import _columnar
from harness.history.compact import compact
from harness.history.lines import parse_lines
from harness.report import page

from ..guarantees.synthetic import Story, story
from . import runs, verdicts
from .test_page import Parsed

MB = 1_000_000


def written(folder: Path) -> str:
    return page.write(folder).read_text("utf-8")


def test_each_scenario_has_one_timeline_with_a_table_behind_it(tmp_path: Path) -> None:
    runs.written(tmp_path, ["broker_crash", "entry_frozen"])
    html = written(tmp_path)
    parsed = Parsed(html)
    assert parsed.open == []
    charts = [tag for tag in parsed.all("svg") if tag.get("class") == "timeline"]
    assert [str(chart["aria-label"]).split(" from ")[0] for chart in charts] == [
        f"Timeline of {name}[hardened]" for name in ("broker_crash", "entry_frozen")
    ]
    assert len([table for table in parsed.all("table") if table.get("class") == "figures slices"]) == 2
    for words in ("latency", "offered", "backlog", "web-0 to broker-0", "reconnects", "drained", "1 kill broker-0"):
        assert f">{words}</text>" in html
    assert "drained never in 3.0 s" in parsed.text
    assert re.search(r"\d+ operations in \d+ marks, none left out", parsed.text)


def test_rows_and_columns_draw_the_same(tmp_path: Path) -> None:
    runs.written(tmp_path, columnar=False)
    before = written(tmp_path)
    compact(tmp_path / "scenarios" / "broker_crash-hardened" / "history")
    assert written(tmp_path) == before


def test_every_kind_is_drawn_and_every_lost_one_is_in_a_mark(tmp_path: Path) -> None:
    runs.written(tmp_path)
    html = written(tmp_path)
    for kind in ("ok", "open", "fail", "unknown"):
        assert re.search(rf'<path class="mark {kind} size-\d" d="M', html)
    assert "40 accepted, no end seen" in html
    ticks = "".join(re.findall(r'<path class="mark open size-\d" d="([^"]*)"', html.split("<figcaption>")[0]))
    assert 20 <= ticks.count("M") <= 40


def test_a_story_stands_in_its_finding_with_what_was_printed(tmp_path: Path) -> None:
    runs.written(tmp_path)
    parsed = Parsed(written(tmp_path))
    assert "effect : missing never seen, though it was watched for" in parsed.text
    assert "delivered : not to be seen nothing in this run could see it" in parsed.text
    assert "NATS disconnected: nats: unexpected EOF" in parsed.text


def test_hostile_texts_of_a_history_are_shown_and_do_nothing(tmp_path: Path) -> None:
    runs.written(tmp_path)
    html = written(tmp_path)
    assert html.count("<script>") == 3
    assert html.count("<script") == html.count("</script>") == 4
    assert "<img" not in html
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]", html)
    parsed = Parsed(html)
    assert parsed.open == []
    assert "<script>alert(1)</script>" in parsed.text
    assert not [tag for tag in parsed.tags if any(name.startswith("on") or name == "style" for name in tag[1])]


def test_the_policy_allows_the_page_s_scripts_the_library_and_nothing_else(tmp_path: Path) -> None:
    runs.written(tmp_path)
    html = written(tmp_path)
    parsed = Parsed(html)
    assert parsed.all("script") == [{"type": "application/json"}, {}, {}, {}]
    [policy] = [str(tag["content"]) for tag in parsed.all("meta") if tag.get("http-equiv")]
    scripts = [within.partition("</script>")[0] for within in html.split("<script>")[1:]]
    [style] = [within.partition("</style>")[0] for within in html.split("<style>")[1:]]
    assert policy == (
        f"default-src 'none'; style-src '{page.hashed(style)}'; script-src "
        + " ".join(f"'{page.hashed(script)}'" for script in scripts)
        + "; base-uri 'none'; form-action 'none'"
    )
    assert "MIT Licensed" in scripts[1]
    assert "url(" not in style


def test_a_page_without_a_timeline_carries_no_library(tmp_path: Path) -> None:
    runs.written(tmp_path, keep=False)
    html = written(tmp_path)
    assert html.count("<script") == 1
    assert "uPlot" not in html


def test_a_run_killed_half_way_is_marked_and_shown_as_far_as_it_came(tmp_path: Path) -> None:
    def cut(told: Story) -> list[str]:
        told.load(0, 20_000)
        told.work(0, 3_000)
        return []

    run = runs.written(tmp_path, make=cut, columnar=False)
    (tmp_path / "verdict.json").write_text(
        json.dumps(verdicts.run(run["scenarios"], missing=["broker_paused[hardened]"]))
    )
    parsed = Parsed(written(tmp_path))
    assert "Incomplete: 1 of 2 planned scenarios left no verdict" in parsed.text
    assert "Cut short." in parsed.text
    assert "60 operations in" in parsed.text


def test_a_scenario_that_was_under_way_when_the_run_was_killed_is_shown(tmp_path: Path) -> None:
    runs.written(tmp_path, columnar=False)
    (tmp_path / "verdict.json").write_text(
        json.dumps(verdicts.run([], missing=["broker_crash[hardened]", "../..", "other[hardened]"]))
    )
    html = written(tmp_path)
    parsed = Parsed(html)
    assert parsed.open == []
    assert "broker_crash[hardened] left a history and no verdict" in parsed.text
    assert html.count('class="timeline"') == 1
    assert "1 kill of broker-0, effective +5.000 s, healed +8.000 s, with evidence" in parsed.text


def test_a_history_that_cannot_be_read_costs_its_timeline_alone(tmp_path: Path) -> None:
    runs.written(tmp_path, ["broker_crash", "entry_frozen"])
    (tmp_path / "scenarios" / "broker_crash-hardened" / "history" / "meta.json").write_text("{}")
    html = written(tmp_path)
    text = Parsed(html).text
    assert html.count('class="timeline"') == 1
    assert "No timeline: " in text
    assert str(tmp_path) not in html
    assert "offered accepted" in text


@pytest.mark.parametrize("damage", ["no parquet", "other columns", "gone"])
def test_damaged_columns_cost_no_page(damage: str, tmp_path: Path) -> None:
    runs.written(tmp_path)
    for table in ("operations", "sightings"):
        for file in (tmp_path / "scenarios" / "broker_crash-hardened" / "history" / table).iterdir():
            if damage == "no parquet":
                file.write_bytes(b"PAR1 and nothing of it")
            elif damage == "other columns":
                duckdb.connect().execute(f"COPY (SELECT 1 AS other) TO '{file}' (FORMAT parquet)")
            else:
                file.unlink()
    text = Parsed(written(tmp_path)).text
    assert "No timeline: " in text
    assert str(tmp_path) not in text
    assert "offered accepted" in text


def test_a_scenario_without_a_history_has_no_timeline(tmp_path: Path) -> None:
    runs.written(tmp_path, keep=False)
    html = written(tmp_path)
    assert 'class="timeline"' not in html
    assert "No timeline" not in html


@pytest.mark.parametrize("name", ["../../elsewhere", "..", "/etc", "a/../..", "x" * 300, "a\nb"])
def test_no_name_leads_out_of_the_run_s_folder(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "a" / "run"
    folder.mkdir(parents=True)
    with story() as told:
        told.load(0, 1_000)
        told.op(0)
        told.ended()
        for elsewhere in (tmp_path / "a" / "elsewhere", folder, folder / "scenarios" / "a"):
            shutil.copytree(told.folder, elsewhere / "history", dirs_exist_ok=True)
    scenario = verdicts.scenario("x") | {"id": name}
    (folder / "verdict.json").write_text(json.dumps(verdicts.run([scenario])))
    assert 'class="timeline"' not in written(folder)


def test_each_history_is_read_once_for_its_timeline_and_its_stories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def counted(data: bytes, where: str) -> list[dict[str, Any]]:
        read.append(where)
        return parse_lines(data, where)

    monkeypatch.setattr(_columnar, "parse_lines", counted)
    runs.written(tmp_path, ["broker_crash", "entry_frozen"])
    html = written(tmp_path)
    assert html.count('class="timeline"') == 2
    assert html.count("NATS disconnected: nats: unexpected EOF") >= 2
    assert len(read) == len(set(read)) == 2


def test_a_verdict_at_hand_makes_the_same_page(tmp_path: Path) -> None:
    run = runs.written(tmp_path)
    before = written(tmp_path)
    (tmp_path / "verdict.json").unlink()
    assert page.put(tmp_path, run).read_text("utf-8") == before


def test_no_operation_at_all(tmp_path: Path) -> None:
    def nothing(told: Story) -> list[str]:
        told.load(0, 5_000)
        return []

    runs.written(tmp_path, make=nothing)
    text = Parsed(written(tmp_path)).text
    assert "0 operations in 0 marks" in text
    assert "No operation was offered." in text


def test_ten_thousand_lost_ones_make_no_large_page(tmp_path: Path) -> None:
    runs.written(tmp_path, make=lambda told: runs.lossy(told, 10_000))
    html = written(tmp_path)
    assert "10,000 accepted, no end seen" in html
    assert "20 of 10,000 shown" in Parsed(html).text
    assert len(html) < 0.35 * MB


@pytest.mark.parametrize("make", [runs.calm, runs.busy])
def test_two_hundred_scenarios_make_a_page_under_3_mb(make: Callable[[Story], list[str]], tmp_path: Path) -> None:
    runs.written(tmp_path, [f"scenario_{n}" for n in range(200)], make)
    html = written(tmp_path)
    assert html.count('class="timeline"') == 200
    assert len(html.encode()) < 3 * MB
    marks = [int(found) for found in re.findall(r"1,000 operations in (\d+) marks", html)]
    assert len(marks) == 200
    assert max(marks) <= 300
    assert html.count('<tr><th scope="row">+') <= 200 * 8
