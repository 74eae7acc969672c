"""What pages and the terminal are given by the policy of the folder that one works in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from harness.gate import here
from harness.report import markdown, page, terminal
from harness.report import night as night_page
from tests.gate.stories import recovering, run, write
from tests.report.test_page import Parsed

REPORTS = Path("reports")
SLOW = '[[gate.bounds]]\nclause = "reconnects.works"\nscenario = "crash"\nmost = 2\n'


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def verdict(**given: Any) -> dict[str, Any]:
    """Of a run that was as expected, whose recovery took three seconds."""
    return cast("dict[str, Any]", recovering("three", 3, **given))


def test_without_a_policy_there_is_no_decision() -> None:
    assert here.of_run(REPORTS, verdict()) is None


def test_a_policy_decides_otherwise_than_the_exit_of_the_run() -> None:
    Path("gate.toml").write_text(SLOW)
    decided = here.of_run(REPORTS, verdict())
    assert decided is not None
    assert (decided.answer, decided.exit, decided.policy) == ("NO-GO", 1, "gate.toml")
    [reason] = decided.reasons
    assert "3 s" in reason.text
    assert "the policy's bound is 2 s" in reason.text
    assert reason.scenario == "crash[hardened]"
    text = Parsed(page.render(verdict(), decided=decided)).text
    assert "NO-GO Something is so that the policy does not let pass By gate.toml , on" in text
    assert text.index(reason.text) < text.index("By itself, without the policy: As expected")
    assert Parsed(page.render(verdict(), decided=decided)).text.startswith("NO-GO: ours, run three")
    lines = terminal.summary_lines(verdict(), terminal.Look(), decided=decided)
    assert lines[-2:] == [
        "NO-GO by gate.toml. Something is so that the policy does not let pass",
        f"  {reason.text}",
    ]
    summary = markdown.run_lines(verdict(), decided)
    assert summary[0] == f"## NO-GO by `gate.toml` on {decided.day}"
    assert summary[4] == f"- {markdown.prose(reason.text)}"


def test_a_known_weakness_is_a_go_of_a_run_that_was_not_as_expected() -> None:
    known = {"clause": "reconnects.works", "owner": "Ada", "reason": "later", "expires": "2999-01-01"}
    Path("gate.toml").write_text("[[gate.known]]\n" + "".join(f'{key} = "{value}"\n' for key, value in known.items()))
    bad = verdict(verdict="violated")
    decided = here.of_run(REPORTS, bad)
    assert decided is not None
    assert (bad["exit"], decided.answer, decided.reasons) == (1, "GO", [])
    text = Parsed(page.render(bad, decided=decided)).text
    assert "GO All that the policy asks for is so" in text
    assert "1 more that decide nothing" in text
    assert "it is known until 2999-01-01 (Ada: later)" in text


@pytest.mark.parametrize(
    ("file", "broken", "told"),
    [
        ("gate.toml", "[gate]\nmust_hold = 3\n", "gate.toml:2: gate.must_hold"),
        ("pyproject.toml", "[gate\n", "not TOML"),
        ("reports/baseline/x/plan.json", "{", "reports/baseline/x: no plan can be read"),
    ],
)
def test_what_cannot_be_read_is_cannot_say(file: str, broken: str, told: str) -> None:
    Path("gate.toml").write_text(SLOW)
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Path(file).write_text(broken)
    decided = here.of_run(REPORTS, verdict())
    assert decided is not None
    assert decided.answer == "CANNOT SAY"
    assert told in decided.reasons[0].text
    assert told in Parsed(page.render(verdict(), decided=decided)).text


def test_a_night_is_decided_as_one() -> None:
    Path("gate.toml").write_text("[gate.least]\nscenarios = 3\n")
    write(REPORTS, run("one"), recovering("two", 1))
    told = {
        "schema": 1,
        "runs": [{"run": name, "system": "ours", "exit": 0} for name in ("one", "two")],
        "unproven": [],
        "exit": 0,
    }
    (REPORTS / "nightly.json").write_text(json.dumps(told))
    decided = here.of_night(REPORTS)
    assert decided is not None
    assert decided.answer == "CANNOT SAY"
    text = Parsed(night_page.write(REPORTS, decided).read_text()).text
    assert text.startswith("CANNOT SAY: the night")
    assert "2 scenarios judged, and the policy asks for 3" in text
    assert "By itself, without the policy: As expected" in text
    assert markdown.night_lines(told, [], decided)[0].startswith("## CANNOT SAY by `gate.toml` on ")
    assert "CANNOT SAY by gate.toml." in "\n".join(terminal.night_lines(told, terminal.Look(), decided))
