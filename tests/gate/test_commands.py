"""`gate`, `baseline accept` and `trend`, as they are typed: what they print, where they write, how they exit."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click.testing
import pytest

from harness import cli, launching
from harness.gate import store
from tests.gate.stories import recovering, repeated, run, write
from tests.report import verdicts

Nats = Callable[..., click.testing.Result]
REPORTS = Path("reports")


@pytest.fixture
def nats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Nats:
    """The command, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *words: click.testing.CliRunner().invoke(cli.main, [str(word) for word in words])


def ran(name: str, exit_: int, **more: Any) -> dict[str, Any]:
    """A run as nightly.json has it."""
    return {"run": name, "system": "ours", "exit": exit_, **more}


def night(*runs: dict[str, Any], unproven: Sequence[str] = (), exit_: int = 0) -> None:
    """Writes a nightly.json of these runs."""
    told = {"schema": 1, "runs": runs, "unproven": unproven, "exit": exit_}
    (REPORTS / "nightly.json").write_text(json.dumps(told))


def test_the_exit_is_that_of_the_answer(nats: Nats) -> None:
    late = recovering("late", 8, verdict="violated")
    write(REPORTS, run("good"), late, run("half", missing=["x"]))
    for names, answer, code in ((["good"], "GO", 0), (["late"], "NO-GO", 1), (["half"], "CANNOT SAY", 2)):
        done = nats("gate", *names)
        assert (done.exit_code, done.output.startswith(f"{answer} (exit {code})")) == (code, True), done.output
        assert json.loads(nats("gate", "--json", *names).output)["answer"] == answer
    Path("gate.toml").write_text("[gate.least]\nscenarios = 99\n")
    assert nats("gate", "good").exit_code == 2
    assert "policy: gate.toml" in nats("gate", "good").output


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["godo"], "did you mean 'good'?"),
        (["good", "reports/good"], "good is named twice"),
        (["broken"], "no verdict can be read"),
        (["other"], "verdict.schema.json"),
        (["night"], "no night can be read"),
        (["--policy", "none.toml"], "cannot be read"),
    ],
)
def test_wrong_usage_exits_with_64(nats: Nats, names: list[str], told: str) -> None:
    write(REPORTS, run("good"), run("broken"), run("other"))
    (REPORTS / "broken/verdict.json").write_text("{")
    (REPORTS / "other/verdict.json").write_text('{"schema": 1}')
    done = nats("gate", *names)
    assert (done.exit_code, told in done.stderr) == (64, True), done.stderr


def test_the_night_is_all_its_runs(nats: Nats) -> None:
    write(REPORTS, run("one"), recovering("two", 9, verdict="violated"))
    night(ran("one", 0), ran("two", 1), exit_=1)
    done = nats("gate", "night")
    assert (done.exit_code, "2 runs" in done.output) == (1, True), done.output


def test_what_a_night_asked_again_counts_as_it_came_out_then(nats: Nats) -> None:
    noisy = recovering("one", None, verdict="inconclusive", reason="noise: our loop was late")
    write(REPORTS, noisy, recovering("again", 1))
    night(ran("one", 2, again={"run": "again", "scenarios": ["crash[hardened]"], "exit": 0}))
    assert nats("gate", "one").exit_code == 2
    done = nats("gate", "night")
    assert (done.exit_code, "1 scenario judged" in done.output) == (0, True), done.output


@pytest.mark.parametrize(
    ("runs", "unproven", "told"),
    [
        ([("one", 0)], ["the fault pause of ours's x never had evidence"], "the fault pause of ours's x never had"),
        ([("one", 0), ("", 2)], [], "a run of ours left no verdict (exit 2)"),
        ([("one", 130)], [], "the run one of ours was interrupted (exit 130)"),
    ],
)
def test_what_a_night_left_open_is_open(
    nats: Nats, runs: list[tuple[str, int]], unproven: list[str], told: str
) -> None:
    write(REPORTS, run("one"))
    night(*(ran(*one) for one in runs), unproven=unproven, exit_=2)
    done = nats("gate", "night")
    assert (done.exit_code, f"CANNOT SAY  {told}" in done.output) == (2, True), done.output


def test_what_is_accepted_is_kept_and_compared_with(nats: Nats) -> None:
    before, now = repeated(0.8, 0.8, 0.8, 0.8, 0.8, name="before"), repeated(2, 2, 2, 2, 2)
    write(REPORTS, *before, *now)
    Path("gate.toml").write_text("[gate.regression]\n")
    names = [one["run"] for one in now]
    assert "there is no baseline" in nats("gate", *names).output
    done = nats("baseline", "accept", *(one["run"] for one in before))
    assert (done.exit_code, done.output.count("accepted: reports/baseline/before-")) == (0, 5)
    kept = REPORTS / "baseline/before-0"
    assert json.loads((kept / "verdict.json").read_text()) == before[0]
    assert sorted(path.name for path in kept.iterdir()) == ["plan.json", "verdict.json"]
    assert "is worse than in the baseline" in nats("gate", *names).output
    replaced = nats("baseline", "accept", "--replace", *names)
    assert (replaced.exit_code, replaced.output.count("removed: ")) == (0, 5)
    assert sorted(path.name for path in (REPORTS / "baseline").iterdir()) == sorted(names)


def test_another_system_is_not_replaced(nats: Nats) -> None:
    write(REPORTS, run("a", system="ours"), run("b", system="theirs"))
    nats("baseline", "accept", "a")
    assert "removed" not in nats("baseline", "accept", "--replace", "b").output
    assert (REPORTS / "baseline/a").exists()


@pytest.mark.parametrize("says", ["old", "../../outside", "new"])
def test_what_is_replaced_is_the_folder_that_is_there_and_no_other(nats: Nats, says: str) -> None:
    """Whatever the verdict in it says of its name: it may have been renamed, or written to deceive."""
    write(REPORTS, run("new"))
    write(REPORTS / "baseline", run("old"))
    verdict = REPORTS / "baseline/old/verdict.json"
    verdict.write_text(verdict.read_text().replace('"run": "old"', f'"run": "{says}"'))
    verdict.parent.rename(REPORTS / "baseline/renamed")
    Path("outside").mkdir()
    done = nats("baseline", "accept", "--replace", "new")
    assert (done.exit_code, "removed: reports/baseline/renamed" in done.output) == (0, True), done.output
    assert [path.name for path in (REPORTS / "baseline").iterdir()] == ["new"]
    assert Path("outside").exists()


def test_a_baseline_that_is_a_link_is_removed_without_what_it_leads_to(nats: Nats) -> None:
    write(REPORTS, run("new"), run("old"))
    (REPORTS / "baseline").mkdir()
    (REPORTS / "baseline/old").symlink_to("../old")
    assert nats("baseline", "accept", "--replace", "new").exit_code == 0
    assert [path.name for path in (REPORTS / "baseline").iterdir()] == ["new"]
    assert (REPORTS / "old/verdict.json").exists()


def test_a_baseline_that_is_no_folder_is_told(nats: Nats) -> None:
    write(REPORTS, run("new"))
    (REPORTS / "baseline").write_text("mine")
    done = nats("baseline", "accept", "new")
    assert (done.exit_code, "reports/baseline: it is no folder" in done.stderr) == (64, True), done.output


@pytest.mark.parametrize(("flag", "code"), [([], 64), (["--anyway"], 0)])
def test_what_was_not_as_expected_is_accepted_only_anyway(nats: Nats, flag: list[str], code: int) -> None:
    write(REPORTS, run("good"), recovering("late", 8, verdict="violated"))
    done = nats("baseline", "accept", *flag, "good", "late")
    assert done.exit_code == code
    assert (REPORTS / "baseline/good").exists() == (code == 0), "all or none"
    assert "late was not as expected" in done.stderr or not code


def test_a_verdict_of_another_run_is_not_accepted(nats: Nats) -> None:
    write(REPORTS, run("good"))
    verdict = REPORTS / "good/verdict.json"
    verdict.write_text(verdict.read_text().replace('"run": "good"', '"run": "../../escaped"'))
    assert nats("baseline", "accept", "good").exit_code == 64
    assert not Path("escaped").exists()


def test_what_a_run_says_begins_no_line_of_an_error(nats: Nats) -> None:
    evil = "\x1b[2J\n::error::mine"
    late = recovering("late", 8, verdict="violated")
    late["reasons"] = [evil]
    write(REPORTS, late)
    done = nats("baseline", "accept", "late")
    assert (done.exit_code, "not as expected: \\x1b[2J\\n::error::mine" in done.stderr) == (64, True), done.stderr
    assert "\n::" not in done.stderr
    late["run"] = evil
    (REPORTS / "late/verdict.json").write_text(json.dumps(late))
    assert "\n::" not in nats("baseline", "accept", "late").stderr


def test_a_folder_of_any_name_is_told_on_one_line(nats: Nats) -> None:
    write(REPORTS, run("good"), run("x\n::error::mine"))
    write(REPORTS / "baseline", run("old\n::error::mine"))
    (REPORTS / "x\n::error::mine/verdict.json").write_text("{")
    for words in (["trend"], ["baseline", "accept", "--replace", "good"]):
        done = nats(*words)
        assert (done.exit_code, "\\n::error::mine" in done.output) == (0, True), done.output
        assert "\n::" not in done.output


def test_nothing_judged_is_no_baseline(nats: Nats) -> None:
    (empty := verdicts.empty())["run"] = "empty"
    write(REPORTS, empty)  # type: ignore[arg-type]
    assert "nothing was judged in empty" in nats("baseline", "accept", "--anyway", "empty").stderr


def courses(nats: Nats, *words: str) -> dict[str, dict[str, object]]:
    found = json.loads(nats("trend", "--json", *words).stdout)
    return {f"{one['scenario']} {one['clause']}": one for one in found}


def test_the_trend_shows_margins_times_and_flakiness(nats: Nats) -> None:
    write(REPORTS, *repeated(1, 4, 2), recovering("now-9", 8, verdict="violated"))
    done = nats("trend")
    assert done.exit_code == 0, done.stderr
    one = courses(nats)["crash[hardened] reconnects.works"]
    assert (one["runs"], one["holds"], one["violated"], one["flaky"]) == (4, 3, 1, True)
    assert (one["values"], one["left"]) == ([1, 4, 2, 8], pytest.approx(-0.6))
    margin, time, flaky = (line for line in done.stdout.splitlines() if "reconnects.works" in line)
    assert "-60 %" in margin
    assert "worst 8 s, bound 5 s, 4 runs" in margin
    assert "6 s" in time
    assert "last 8 s, before 2 s" in time
    assert "3 of 4" in flaky
    assert courses(nats, "--last", "2")["crash[hardened] reconnects.works"]["values"] == [2, 8]


def test_the_trend_outlives_its_runs_and_takes_what_was_judged_again(nats: Nats) -> None:
    write(REPORTS, *repeated(1, 2))
    nats("trend")
    (REPORTS / "now-0/verdict.json").unlink()
    write(REPORTS, recovering("now-1", 3))
    assert courses(nats)["crash[hardened] reconnects.works"]["values"] == [1, 3]


def test_a_run_that_cannot_be_read_is_left_out_and_told(nats: Nats) -> None:
    write(REPORTS, *repeated(1, 2))
    (REPORTS / "now-0/verdict.json").write_text("{")
    done = nats("trend")
    assert (done.exit_code, "left out: now-0" in done.stderr) == (0, True)
    assert courses(nats)["crash[hardened] reconnects.works"]["values"] == [2]


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 100_000, "1" * 5000, '{"seconds": 1' + "0" * 400 + "}"], ids=range(4)
)
def test_what_no_reader_takes_is_left_out_and_told(nats: Nats, text: str) -> None:
    write(REPORTS, *repeated(1, 2))
    (REPORTS / "now-0/verdict.json").write_text(text)
    done = nats("trend")
    assert (done.exit_code, "left out: now-0" in done.stderr) == (0, True), done.output
    assert (nats("gate", "now-0").exit_code, nats("baseline", "accept", "now-0").exit_code) == (64, 64)
    (REPORTS / "nightly.json").write_text(text)
    assert nats("gate", "night").exit_code == 64


@pytest.mark.parametrize("words", [[], ["--json"], ["--rebuild"]])
def test_names_that_no_file_can_hold_are_in_the_trend_as_they_are_shown(nats: Nats, words: list[str]) -> None:
    """A lone surrogate is no text; a service can answer with one."""
    (evil := verdicts.hostile())["run"] = "evil"
    huge = recovering("huge", 10**30, verdict="violated")
    write(REPORTS, *repeated(1, 2), evil, huge)  # type: ignore[arg-type]
    done = nats("trend", *words)
    assert (done.exit_code, "left out" in done.stderr) == (0, False), done.output
    found = courses(nats)
    assert found["crash[hardened] reconnects.works"]["values"] == [1e30, 1, 2]
    assert any("\\ud800 lone" in name for name in found)


def _older(path: Path) -> None:
    with sqlite3.connect(path) as file:
        file.execute("pragma user_version = 0")


def _newer(path: Path) -> None:
    with sqlite3.connect(path) as file:
        file.execute("pragma user_version = 99")


def _elses(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as file:
        file.execute("create table songs (name text)")


def _no_verdict(path: Path) -> None:
    with sqlite3.connect(path) as file:
        file.execute("update findings set verdict = 'perhaps'")


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda path: path.write_bytes(b"not a database, " * 500), "is damaged: file is not a database"),
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), "is damaged"),
        (lambda path: path.unlink() or path.mkdir(), "cannot be used"),
        (_older, "was written by an older harness (version 0, this one reads 1)"),
        (_newer, "was written by a newer harness (version 99, this one reads 1)"),
        (_elses, "was written by something else"),
        (_no_verdict, "it holds a verdict that is none"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_with_a_way_on(nats: Nats, harm: Callable[[Path], None], told: str) -> None:
    write(REPORTS, *repeated(1, 2))
    nats("trend")
    harm(REPORTS / store.FILE)
    done = nats("trend")
    assert (done.exit_code, told in done.stderr, "trend --rebuild" in done.stderr) == (2, True, True), done.stderr
    again = nats("trend", "--rebuild")
    assert (again.exit_code, "set aside: reports/trend-old-1.sqlite" in again.stderr) == (0, True), again.stderr
    assert nats("trend").exit_code == 0
    assert (REPORTS / "trend-old-1.sqlite").exists()


def test_without_a_run_there_is_no_trend(nats: Nats) -> None:
    assert nats("trend").exit_code == 64
    write(REPORTS, run("a"))
    assert "no judged run of theirs" in nats("trend", "--system", "theirs").stderr


def test_a_run_is_in_the_trend_as_soon_as_it_ends(nats: Nats, capsys: pytest.CaptureFixture[str]) -> None:
    """And a file that cannot be used is no matter of the run."""
    write(REPORTS, *repeated(1, 2))
    launching._into_trend(REPORTS, REPORTS / "now-1")
    assert {row.run for row in store.rows(REPORTS, 9)} == {"now-1"}
    (REPORTS / store.FILE).write_bytes(b"not a database, " * 500)
    launching._into_trend(REPORTS, REPORTS / "now-0")
    assert "not in the trend: reports/trend.sqlite: is damaged" in capsys.readouterr().err
