"""What a whole night left unproven is told, and makes it exit 2, however green its runs are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from harness import launching, plan
from harness.guarantees import REGISTRY, judged_clauses
from harness.report.terminal import Look, night_lines
from harness.series import nightly

from ..report import verdicts

JSON = dict[str, Any]
RUNS = [{"run": "one", "system": "telhawk", "exit": 0}]
ALL = [{"clause": name, "verdict": "holds", "bound": 0, "counted": 5} for name in sorted(judged_clauses())]


def scenario(id_: str, *, bit: bool = True, findings: list[JSON] = ALL) -> JSON:
    return {"id": id_, "faults": [{"kind": "kill", "bit": bit}], "findings": findings}


def written(folder: Path, *scenarios: JSON) -> JSON:
    code = nightly.write(folder, RUNS, [{"system": "telhawk", "scenarios": list(scenarios)}])
    night: JSON = json.loads((folder / "nightly.json").read_text())
    assert night["exit"] == code
    return night


def test_a_night_that_proved_everything_is_green(tmp_path: Path) -> None:
    night = written(tmp_path, scenario("crash[hardened]"), scenario("crash[documented]", bit=False))
    assert (night["unproven"], night["exit"]) == ([], 0)


def test_a_fault_that_never_bit_is_told(tmp_path: Path) -> None:
    night = written(tmp_path, scenario("crash[hardened]", bit=False), scenario("other[hardened]"))
    assert night["unproven"] == ["the fault kill of telhawk's crash never had evidence"]
    assert night["exit"] == 2
    shown = "\n".join(night_lines(night, Look()))
    assert "unproven: the fault kill of telhawk's crash never had evidence" in shown


def test_a_clause_that_was_judged_on_nothing_is_told(tmp_path: Path) -> None:
    spoilt = [dict(finding) for finding in ALL]
    spoilt[0]["verdict"], spoilt[1]["counted"], spoilt[2]["bound"] = "inconclusive", 0, None
    del spoilt[3]
    night = written(tmp_path, scenario("crash[hardened]", findings=spoilt))
    assert night["unproven"] == [f"{found['clause']} was never judged on anything" for found in ALL[:4]]
    assert night["exit"] == 2
    assert not written(tmp_path, scenario("crash[hardened]", findings=spoilt), scenario("calm[hardened]"))["unproven"]


@pytest.mark.parametrize(
    ("worst", "bit", "exit_"),
    [(1, True, 1), (1, False, 2), (130, False, 2), (2, False, 2), (64, True, 64), (64, False, 64)],
)
def test_the_worst_run_decides_and_what_is_unproven_makes_it_two_at_least(
    tmp_path: Path, worst: int, bit: bool, exit_: int
) -> None:
    """nightly.json tells both: which run broke a promise, and what the night never proved."""
    runs = [*RUNS, {"run": "two", "system": "bare", "exit": worst}]
    judged = [{"system": "telhawk", "scenarios": [scenario("crash[hardened]", bit=bit)]}]
    assert nightly.write(tmp_path, runs, judged) == exit_
    night = json.loads((tmp_path / "nightly.json").read_text())
    assert (night["exit"], [run["exit"] for run in night["runs"]]) == (exit_, [0, worst])
    assert bool(night["unproven"]) == (not bit)


def judged(id_: str, *reasons: str, as_expected: bool = False) -> JSON:
    findings = [{"verdict": "holds", "reason": "all is well"}]
    findings += [{"verdict": "inconclusive", "reason": reason} for reason in reasons]
    return {"id": id_, "as_expected": as_expected, "findings": findings}


NOISY = judged("crash[hardened]", "noise: the runner was late")
OTHERS = [
    pytest.param({"scenarios": [NOISY, judged("other[hardened]", "gap: nobody looked")]}, id="another doubt"),
    pytest.param({"scenarios": [judged("crash[hardened]", "noise: late", "gap: nobody looked")]}, id="and another"),
    pytest.param({"scenarios": [NOISY, judged("other[hardened]")]}, id="no doubt at all"),
    pytest.param({"scenarios": [NOISY], "missing": ["other[hardened]"]}, id="one that was not run"),
    pytest.param({"scenarios": [NOISY], "exit": 1}, id="a promise that broke"),
    pytest.param({"scenarios": [judged("crash[documented]", "noise: late", as_expected=True)]}, id="as expected"),
]


def test_what_noise_alone_kept_from_being_judged_is_asked_again() -> None:
    fine = judged("calm[hardened]", "gap: in what decides nothing", as_expected=True)
    assert nightly.too_busy_for({"exit": 2, "missing": [], "scenarios": [fine, NOISY]}) == ["crash[hardened]"]


@pytest.mark.parametrize("verdict", OTHERS)
def test_nothing_else_is_asked_again(verdict: JSON) -> None:
    assert nightly.too_busy_for({"exit": 2, "missing": [], **verdict}) == []


@pytest.mark.parametrize("exit_", [0, 1, 2])
def test_what_is_asked_again_counts_and_both_are_told(tmp_path: Path, exit_: int) -> None:
    again = {"run": "two", "scenarios": ["crash[hardened]"], "exit": exit_}
    runs = [{"run": "one", "system": "telhawk", "exit": 2, "again": again}]
    assert nightly.write(tmp_path, runs, [{"system": "telhawk", "scenarios": [scenario("crash[hardened]")]}]) == exit_
    shown = "\n".join(night_lines(json.loads((tmp_path / "nightly.json").read_text()), Look()))
    assert "telhawk  one  exit 2" in shown
    assert f"again, alone: crash[hardened]  two  exit {exit_}" in shown


def test_the_night_writes_what_came_of_each_weakness(tmp_path: Path) -> None:
    where = [{"scenario": "worker_killed", "state": "documented", "clause": "no_loss", "verdict": "violated"}]
    nightly.weaknesses(tmp_path, [{"system": "telhawk", "weaknesses": {"C5": {"where": where}}}])
    text = (tmp_path / "weaknesses.md").read_text()
    assert text.startswith("# Weaknesses of telhawk\n\n| weakness |")
    [row] = [line for line in text.splitlines() if line.startswith("| C5 |")]
    assert "| `worker_killed` | `no_loss` | violated | not judged |" in row


def test_the_scenarios_of_the_night_ask_for_every_clause() -> None:
    """What none of them asks for could never be judged: by its bounds, or as what is always asked."""
    source = "".join(path.read_text() for path in plan.scenarios_folder().glob("test_*.py"))
    asked = {name for name in REGISTRY if f"{name}(" in source} | {"no_loss", "no_phantoms", "effects"}
    unasked = {name.partition(".")[0] for name in judged_clauses()} - asked
    assert unasked == set(), "a scenario must expect it: run.expect(...) in scenarios/"
    bounds = set(re.findall(r"available\((.*?)\)", source))
    assert {word for words in bounds for word in re.findall(r"(\w+)=", words)} >= {"failed", "latency_ms", "silence_s"}


def test_a_night_leaves_its_page_beside_nightly_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def judged(_asked: object, reports: Path) -> tuple[Path, int]:
        (reports / "one").mkdir()
        (reports / "one" / "verdict.json").write_text(json.dumps(verdicts.green()))
        return reports / "one", 0

    monkeypatch.setattr("harness.launching.launch", judged)
    monkeypatch.setattr(nightly, "NIGHT", (launching.Asked("bare"),))
    assert nightly.nightly(tmp_path, None) == 2
    html = (tmp_path / "nightly.html").read_text()
    assert "<title>CANNOT SAY: the night</title>" in html
    assert '<a href="one/index.html">' in html
