from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.gate import baseline
from harness.report import changes, page
from harness.report.changes import Changes, Shifted, Turned

from . import verdicts
from .test_page import Parsed
from .verdicts import JSON, finding

WORKS = "reconnects.works"


def took(measured: float | None, verdict: str = "holds", unit: str = "s", name: str = "crash", **given: Any) -> JSON:
    """A run of one scenario in which a client worked again after so long."""
    one = finding(WORKS, verdict, measured=measured, bound=5, unit=unit)
    return verdicts.run([verdicts.scenario(name, findings=[one, finding("no_loss")])], **given)


def before(*runs: JSON) -> list[JSON]:
    return [one | {"run": f"2026010{n}-000000-aaaa", "started": f"2026-01-0{n}"} for n, one in enumerate(runs, start=1)]


def since(run: JSON, *runs: JSON) -> Changes:
    return changes.since(run, before(*runs))  # type: ignore[arg-type]


def test_where_nothing_was_accepted_there_is_nothing_to_compare_with() -> None:
    assert since(took(1)) == Changes()
    assert since(took(1), took(9, system="another"), took(9, runtime="containers")) == Changes()
    run = took(1)
    assert changes.since(run, [run]) == Changes()  # type: ignore[arg-type,list-item]  # itself


def test_the_same_again_is_no_change() -> None:
    found = since(took(1), took(1.1), took(0.9))
    assert found.none
    assert found.runs == ["20260101-000000-aaaa", "20260102-000000-aaaa"]


# What it takes now, what it took in the baseline's three runs, and by how much that is another.
@pytest.mark.parametrize(
    ("now", "was", "unit", "by"),
    [
        (1.26, (1.0, 0.2, 9.0), "s", "+0.26 s"),
        (1.25, (1.0, 0.2, 9.0), "s", ""),
        (0.74, (1.0, 0.2, 9.0), "s", "-0.26 s"),
        (0.15, (0.06, 0.06, 0.06), "s", ""),  # by much more than a quarter, and by less than 0.1 s
        (0.17, (0.06, 0.06, 0.06), "s", "+0.11 s"),
        (150, (60, 60, 60), "ms", ""),
        (170, (60, 60, 60), "ms", "+110 ms"),
        (9, (1, 1, 1), "operations", ""),  # a count is judged, and not compared
    ],
)
def test_a_time_is_another_by_a_quarter_and_a_tenth_of_a_second(
    now: float, was: tuple[float, ...], unit: str, by: str
) -> None:
    found = since(took(now, unit=unit), *(took(one, unit=unit) for one in was))
    assert [one.by for one in found.shifted] == [by] * bool(by)
    assert [one.later for one in found.shifted] == [by.startswith("+")] * bool(by)


def test_what_did_not_hold_is_no_time_to_compare_with() -> None:
    assert not since(took(1), took(1), took(9, "violated"), took(None, "inconclusive")).shifted
    found = since(took(9, "violated"), took(1), took(1))
    assert (found.turned, found.shifted) == ([Turned("crash[hardened]", WORKS, "holds in 2 of 2", "violated")], [])


def test_what_came_out_so_at_least_once_is_no_change() -> None:
    assert not since(took(9, "violated"), took(1), took(9, "violated")).turned


def test_what_is_slower_stands_first() -> None:
    def two(first: float, second: float) -> JSON:
        times = (finding("a.b", measured=first, unit="s"), finding("c.d", measured=second, unit="s"))
        return verdicts.run([verdicts.scenario("crash", findings=list(times))])

    found = since(two(1, 3), two(2, 2))
    assert found.shifted == [
        Shifted("crash[hardened]", "c.d", "2 s", "3 s", "+1 s", True),
        Shifted("crash[hardened]", "a.b", "2 s", "1 s", "-1 s", False),
    ]


def test_scenarios_come_and_go_and_versions_change() -> None:
    found = since(took(1, name="new", versions={"nats-py": "3"}), took(1, name="gone", versions={"nats-py": "2"}))
    assert (found.new, found.gone, found.versions) == (["new[hardened]"], ["gone[hardened]"], [("nats-py", "2", "3")])


def test_versions_are_compared_with_the_last_that_was_accepted() -> None:
    assert not since(took(1), took(1, versions={"nats-py": "1"}), took(1)).versions


def test_the_page_shows_them() -> None:
    html = page.render(took(3), baseline=before(took(1, versions={"nats-py": "1"}), took(1)))  # type: ignore[arg-type]
    text = Parsed(html).text
    assert "crash[hardened] reconnects.works 1 s 3 s +2 s, slower" in text
    assert "Beside 2 accepted runs, the last of them 20260102-000000-aaaa" in text
    assert "Nothing to compare with: no run of telhawk, processes was accepted" in Parsed(page.render(took(1))).text
    alike = page.render(took(1), baseline=before(took(1)))  # type: ignore[arg-type]
    assert "Nothing: the same scenarios with the same verdicts" in Parsed(alike).text


def test_a_hostile_baseline_is_no_markup() -> None:
    html = page.render(took(1), baseline=before(verdicts.hostile() | {"system": "telhawk"}))  # type: ignore[arg-type]
    assert Parsed(html).all("script") == [{}]


def test_a_baseline_that_cannot_be_read_costs_no_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "baseline" / "one").mkdir(parents=True)
    (tmp_path / "baseline" / "one" / "plan.json").write_text("{")
    assert baseline.known(tmp_path) == []
    assert "not compared with the baseline: " in capsys.readouterr().err
