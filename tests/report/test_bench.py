"""What the bench of the page measures is the page that it says."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from bench import page as bench
from harness.report import page

from .browser import CHROMIUM


def test_a_run_shaped_as_a_nightly_has_its_timelines_stories_and_lines(tmp_path: Path) -> None:
    total = bench.make_nightly(tmp_path, scenarios=6, operations=40)
    html = page.write(tmp_path).read_text("utf-8")
    assert total == 240
    assert 0 < bench.checked(tmp_path, total) < bench.MOST_MB
    assert html.count('<div class="story">') == 2 * 3
    assert html.count("never seen, though it was watched for") == 2 * 3 * 2
    assert "line 2 of what a service prints" in html
    assert len(re.findall(r"<td>95</td><td>95</td>", html)) == 6
    lines = (tmp_path / "scenarios" / "scenario_0-hardened" / "history" / "lines.jsonl").read_text().splitlines()
    assert 1_000 < len(lines) < 1_300


def test_a_page_that_lacks_operations_or_a_timeline_is_told(tmp_path: Path) -> None:
    total = bench.make_nightly(tmp_path, scenarios=2, operations=40)
    page.write(tmp_path)
    with pytest.raises(AssertionError, match="80 of 81 operations"):
        bench.checked(tmp_path, total + 1)
    shutil.rmtree(tmp_path / "scenarios" / "scenario_1-hardened")
    page.write(tmp_path)
    with pytest.raises(AssertionError, match="a timeline is missing"):
        bench.checked(tmp_path, total)


def test_a_history_of_very_many_operations_is_counted_whole(tmp_path: Path) -> None:
    total = bench.make_million(tmp_path, 40_000)
    html = page.write(tmp_path).read_text("utf-8")
    assert bench.checked(tmp_path, total) < 0.25
    assert "40,000 operations in" in html
    assert re.search(r"400 refused \(fail\)", html)


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (apt-get install chromium)")
def test_a_browser_is_asked_until_it_has_a_chart_drawn(tmp_path: Path) -> None:
    bench.make_nightly(tmp_path, scenarios=2, operations=40)
    interactive, chart = bench.opening(page.write(tmp_path), 1)
    assert 0 < interactive.value < 60
    assert 0 < chart.value < 60
