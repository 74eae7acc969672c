from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.report import night

from . import verdicts
from .test_page import Parsed
from .verdicts import HOSTILE, JSON


def reports(folder: Path, runs: list[JSON], exit_: int, **verdict_of: JSON) -> Path:
    told = {"schema": 1, "runs": runs, "unproven": [], "exit": exit_}
    (folder / "nightly.json").write_text(json.dumps(told))
    for name, verdict in verdict_of.items():
        (folder / name).mkdir()
        (folder / name / "verdict.json").write_text(json.dumps(verdict))
    return folder


def ran(run: str, exit_: int, **more: object) -> JSON:
    return {"run": run, "system": "telhawk", "exit": exit_, **more}


@pytest.mark.parametrize(
    ("exit_", "says"), [(0, "GO As expected"), (1, "NO-GO Not as expected"), (2, "CANNOT SAY Inconclusive")]
)
def test_has_the_night_s_one_decision(exit_: int, says: str, tmp_path: Path) -> None:
    reports(tmp_path, [ran("one", exit_)], exit_, one=verdicts.green())
    assert says in Parsed(night.write(tmp_path).read_text()).text


def test_each_run_leads_to_its_page_and_says_why(tmp_path: Path) -> None:
    reports(tmp_path, [ran("one", 0), ran("two", 1)], 1, one=verdicts.green(), two=verdicts.red())
    parsed = Parsed(night.write(tmp_path).read_text())
    assert [link["href"] for link in parsed.all("a")] == ["#runs", "one/index.html", "two/index.html"]
    assert "3 of 3" in parsed.text
    assert "4 of 4" in parsed.text
    assert "no_loss violated: 1204 of 12431 accepted have no result" in parsed.text
    assert parsed.open == []


def test_a_run_that_was_asked_again_stands_beside_its_second(tmp_path: Path) -> None:
    again = {"run": "two", "scenarios": ["broker_crash[hardened]"], "exit": 0}
    reports(tmp_path, [ran("one", 2, again=again)], 0, one=verdicts.inconclusive(), two=verdicts.green())
    parsed = Parsed(night.write(tmp_path).read_text())
    assert "telhawk CANNOT SAY one 2 of 4" in parsed.text
    assert re.search(r"asked again, one at a time: our own noise .* GO two 3 of 3", parsed.text)


@pytest.mark.parametrize(
    ("verdict", "says"), [(None, "CANNOT SAY Inconclusive"), (verdicts.red(), "NO-GO Not as expected")]
)
def test_a_run_that_is_not_what_the_night_says_has_the_last_word(
    verdict: JSON | None, says: str, tmp_path: Path
) -> None:
    reports(tmp_path, [ran("one", 0)], 0, **({"one": verdict} if verdict else {}))
    parsed = Parsed(night.write(tmp_path).read_text())
    assert says in parsed.text
    assert "telhawk GO" not in parsed.text


@pytest.mark.parametrize("content", [None, "{", "[]", '{"schema": 1}'])
def test_a_run_without_a_verdict_is_told_as_that(content: str | None, tmp_path: Path) -> None:
    reports(tmp_path, [ran("one", 130)], 1)
    if content is not None:
        (tmp_path / "one").mkdir()
        (tmp_path / "one" / "verdict.json").write_text(content)
    text = Parsed(night.write(tmp_path).read_text()).text
    assert "It left no verdict that can be read." in text
    assert "exit 130" in text


def test_what_stayed_unproven_is_told() -> None:
    told = {"runs": [], "unproven": ["no_loss was never judged on anything"], "exit": 2}
    assert "unproven: no_loss was never judged on anything" in Parsed(night.render(told, {})).text


def test_a_night_that_broke_a_promise_and_left_something_unproven_cannot_say(tmp_path: Path) -> None:
    reports(tmp_path, [ran("one", 1)], 2, one=verdicts.red())
    path = tmp_path / "nightly.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "unproven": ["the fault kill never had evidence"]}))
    text = Parsed(night.write(tmp_path).read_text()).text
    assert "CANNOT SAY Inconclusive" in text
    assert "telhawk NO-GO one" in text
    assert "unproven: the fault kill never had evidence" in text


def test_hostile_names_do_nothing(tmp_path: Path) -> None:
    evil = " ".join(HOSTILE)
    runs = [{"run": name, "system": evil, "exit": 0} for name in (evil, "..", "../../etc", "/etc")]
    reports(tmp_path, runs, 0)
    html = night.write(tmp_path).read_text()
    assert html.count("<script") == 1
    assert "<img" not in html
    assert [link["href"] for link in Parsed(html).all("a")] == ["#runs"]


@pytest.mark.parametrize("content", [None, "{", "[]", "{}", '{"runs": [1], "exit": 0}', '{"runs": [], "exit": 7}'])
def test_refuses_what_is_no_night(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "nightly.json").write_text(content)
    with pytest.raises(HarnessError, match=r"nightly\.json"):
        night.write(tmp_path)
    assert not (tmp_path / "nightly.html").exists()
