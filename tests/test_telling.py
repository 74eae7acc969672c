"""What a run says to GitHub, and only there; and that every way in writes what stands beside the page."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click.testing
import pytest

from harness import cli, launching, plan, plugin, telling
from harness.plan import Plan, Planned, Skipped
from harness.report.markdown import LONGEST
from harness.series import nightly
from harness.session import Session
from tests.report.verdicts import JSON, calm, finding, lost_finding, scenario

ON_GITHUB = {"GITHUB_ACTIONS": "true"}
BESIDE = {"junit.xml", "summary.md", "metrics.txt", "index.html"}
LOST = scenario("crash", findings=[lost_finding()], repro="nats-harness replay one 'crash[hardened]'")


def made(reports: Path, name: str, *scenarios: JSON, root: Path | None = None) -> Path:
    """A run's folder with its plan and its scenarios' own verdicts, as if they had just ended; no history."""
    folder = reports / name
    entries = [
        Planned(
            **{key: one[key] for key in ("id", "scenario", "state", "expect", "exposes")},
            file=f"test_{one['scenario']}.py",
            line=7,
            needs=[],
            calm=False,
            nodeid=f"test_{one['scenario']}.py::x",
        )
        for one in scenarios
    ]
    for entry, one in zip(entries, scenarios, strict=True):
        (folder / "scenarios" / entry.folder).mkdir(parents=True)
        own = {"schema": 1, "versions": {"nats-server": "2.12.8"}, "unexpected": one["verdict"], **one}
        plan.write_json(folder / "scenarios" / entry.folder / "verdict.json", own)
    planned = Plan(name, "bare", "bare", "processes", 1, None, str(root or reports.parent / "scenarios"), {},
                   entries, [Skipped("x[hardened]", "it cannot")], "2026-11-25T15:12:00+00:00")  # fmt: skip
    plan.write_plan(folder, planned)
    return folder


def judged(reports: Path, name: str, *scenarios: JSON) -> Path:
    folder = made(reports, name, *scenarios)
    launching.judge_again(reports, str(folder), quiet=True)
    return folder


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In no CI system, whoever runs these tests."""
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_judging_again_writes_them_again_and_to_the_byte(tmp_path: Path) -> None:
    folder = judged(tmp_path / "reports", "one", calm(), LOST)
    assert {path.name for path in folder.iterdir() if path.is_file()} >= BESIDE
    before = {name: (folder / name).read_bytes() for name in BESIDE}
    for name in BESIDE:
        (folder / name).write_text("spoiled")
    done = click.testing.CliRunner().invoke(cli.main, ["judge", "one"])
    assert (done.exit_code, "NOT AS EXPECTED" in done.output) == (1, True), done.output
    assert {name: (folder / name).read_bytes() for name in BESIDE} == before


def test_a_run_writes_them_at_its_end(tmp_path: Path) -> None:
    folder = made(tmp_path / "reports", "one", calm())
    asked = dict.fromkeys(("states", "hardening", "runtime", "reports"), None)
    session = Session.open({**asked, "system": "bare", "seed": "1", "folder": str(folder)}, tmp_path)
    session.finish()
    assert {path.name for path in folder.iterdir() if path.is_file()} == {*BESIDE, "plan.json", "verdict.json"}
    assert "it cannot" in (folder / "junit.xml").read_text("utf-8")


def told(folders: list[Path], environ: Mapping[str, str]) -> list[str]:
    lines: list[str] = []
    telling.tell(folders, environ, lines.append)
    return lines


def test_elsewhere_nothing_is_said(tmp_path: Path) -> None:
    folder = judged(tmp_path / "reports", "one", LOST)
    before = sorted(tmp_path.rglob("*"))
    assert told([folder], {"GITHUB_ACTIONS": "false", "CI": "true", "GITHUB_STEP_SUMMARY": ""}) == []
    assert sorted(tmp_path.rglob("*")) == before


def test_on_github_it_is_said_at_the_scenarios_line(tmp_path: Path) -> None:
    folder = judged(tmp_path / "reports", "one", calm(), LOST)
    [line] = told([folder], {**ON_GITHUB, "GITHUB_WORKSPACE": str(tmp_path)})
    assert line.startswith("::error file=scenarios/test_crash.py,line=7,title=bare%3A crash[hardened] violated")
    [elsewhere] = told([folder], {**ON_GITHUB, "GITHUB_WORKSPACE": str(tmp_path / "another")})
    assert elsewhere.startswith("::error title=")


def test_the_summary_is_appended(tmp_path: Path) -> None:
    one, two = judged(tmp_path / "reports", "one", LOST), judged(tmp_path / "reports", "two", calm())
    target = tmp_path / "summary"
    target.write_text("# theirs\n")
    assert told([one, two], {"GITHUB_STEP_SUMMARY": str(target)}) == []
    parts = [(folder / "summary.md").read_text("utf-8") for folder in (one, two)]
    assert target.read_text("utf-8") == f"# theirs\n{parts[0]}\n{parts[1]}\n"


def test_the_step_is_never_over_its_limit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = judged(tmp_path / "reports", "one", LOST)
    target = tmp_path / "summary"
    target.write_text("x" * (LONGEST - 600))
    for _ in range(3):
        told([folder], {"GITHUB_STEP_SUMMARY": str(target)})
    assert LONGEST - 600 < target.stat().st_size <= LONGEST
    assert "**Cut here: " in target.read_text("utf-8")
    assert f"the summary of this step is full; see {folder / 'summary.md'}" in capsys.readouterr().err


def test_a_summary_that_cannot_be_written_fails_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = judged(tmp_path / "reports", "one", LOST)
    told([folder], {"GITHUB_STEP_SUMMARY": str(tmp_path / "no" / "where")})
    assert "the summary of this step was not written" in capsys.readouterr().err


def test_while_a_system_speaks_no_line_is_a_command() -> None:
    said: list[str] = []

    def speaks() -> None:
        with telling.commands_off(ON_GITHUB, said.append):
            said.append("::error::x")
            raise ValueError("on its way out")

    with pytest.raises(ValueError, match="on its way out"):
        speaks()
    [stop, between, go] = said
    token = stop.removeprefix("::stop-commands::")
    assert (len(token), between, go) == (32, "::error::x", f"::{token}::")
    again: list[str] = []
    with telling.commands_off(ON_GITHUB, again.append):
        pass
    assert token not in again[0], "a token that was seen once can be said by a system in the next run"


def test_elsewhere_and_quietly_nothing_stands_around_it() -> None:
    said: list[str] = []
    with telling.commands_off({}, said.append), telling.commands_off(ON_GITHUB, None):
        pass
    assert said == []


def in_order(output: str) -> list[str]:
    """What of an output a runner looks at: commands, and where a hostile line stands."""
    return [line for line in output.splitlines() if line.startswith("::") or "##[" in line]


HOSTILE = scenario("crash", findings=[finding("no_loss", "violated", reason="x ##[error]mine")])


def test_judge_on_github(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judged(tmp_path / "reports", "one", HOSTILE)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
    seen = in_order(click.testing.CliRunner().invoke(cli.main, ["judge", "one"]).output)
    token = seen[0].removeprefix("::stop-commands::")
    at = seen.index(f"::{token}::")
    assert any("##[error]" in line for line in seen[1:at])
    assert [line.split(" ")[0] for line in seen[at + 1 :]] == ["::error"]
    assert (tmp_path / "summary").read_text("utf-8").startswith("## bare: not as expected")


def test_json_stays_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judged(tmp_path / "reports", "one", HOSTILE)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    done = click.testing.CliRunner().invoke(cli.main, ["judge", "--json", "one"])
    assert json.loads(done.stdout)["exit"] == 1


def launched(reports: Path, *scenarios: JSON) -> Any:
    """Stands for pytest: leaves a run behind, and prints what hurts."""

    def main(arguments: list[str]) -> int:
        folder = Path(arguments[arguments.index("--nats-folder") + 1])
        shutil.rmtree(folder)
        made(folder.parent, folder.name, *scenarios)
        launching.judge_again(reports, str(folder), quiet=True)
        (folder.parent.parent / "summary").unlink(missing_ok=True)
        print("::error::of a system")
        return 1

    return main


@pytest.fixture
def _ready(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(launching, "_prepare", lambda asked: asked)
    monkeypatch.setattr(pytest, "main", launched(tmp_path / "reports", LOST))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))


@pytest.mark.usefixtures("_ready")
def test_run_on_github(tmp_path: Path) -> None:
    done = click.testing.CliRunner().invoke(cli.main, ["run", "--system", "bare", "-j", "1"])
    seen = in_order(done.output)
    token = seen[0].removeprefix("::stop-commands::")
    assert seen[1:3] == ["::error::of a system", f"::{token}::"]
    assert [line.split(" ")[0] for line in seen[3:]] == ["::error"]
    assert (tmp_path / "summary").read_text("utf-8").count("## bare: not as expected") == 1


@pytest.mark.usefixtures("_ready")
def test_the_json_of_a_run_is_alone_on_its_output_and_no_line_beside_it_is_a_command() -> None:
    done = click.testing.CliRunner().invoke(cli.main, ["run", "--system", "bare", "-j", "1", "--json"])
    assert (json.loads(done.stdout)["exit"], done.exit_code) == (1, 1)
    stop, system, go = in_order(done.stderr)
    token = stop.removeprefix("::stop-commands::")
    assert (system, go) == ("::error::of a system", f"::{token}::")


@pytest.mark.usefixtures("_ready")
def test_replay_on_github(tmp_path: Path) -> None:
    made(tmp_path / "reports", "one", LOST)
    done = click.testing.CliRunner().invoke(cli.main, ["replay", "one"])
    assert [line.split(",")[0] for line in in_order(done.output)[3:]] == ["::error file=scenarios/test_crash.py"]
    assert (tmp_path / "summary").read_text("utf-8").count("## bare: not as expected") == 1


@pytest.mark.usefixtures("_ready")
def test_of_many_tries_the_last_is_said(tmp_path: Path) -> None:
    made(tmp_path / "reports", "one", LOST)
    done = click.testing.CliRunner().invoke(cli.main, ["replay", "one", "--until", "holds", "--max", "3"])
    assert "crash[hardened]: holds 0 of 3 times" in done.output
    assert done.output.count("::error file=") == 1
    assert (tmp_path / "summary").read_text("utf-8").count("## bare: not as expected") == 1


@pytest.mark.usefixtures("_ready")
def test_a_night_says_one_thing_over_its_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert nightly.nightly(tmp_path / "reports", 1) == 2  # a promise is broken, and a clause was judged on nothing
    reports = tmp_path / "reports"
    assert {path.name for path in reports.iterdir() if path.is_file()} >= BESIDE - {"index.html"}
    summary = (tmp_path / "summary").read_text("utf-8")
    assert (summary.startswith("## Night of 3 runs: inconclusive (exit 2)"), summary.count("\n### bare")) == (
        True,
        3,
    )
    seen = [line for line in in_order(capsys.readouterr().out) if line.startswith("::error file=")]
    assert len(seen) == 3


def test_in_pytest_it_is_said_after_the_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = judged(tmp_path / "reports", "one", LOST)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    session = SimpleNamespace(
        verdict=json.loads((folder / "verdict.json").read_text("utf-8")),
        folder=lambda: folder,
        summary=lambda look: ["told"],
    )
    lines: list[str] = []
    config = SimpleNamespace(stash={plugin._SESSION: session}, getoption=lambda name: False)
    plugin.pytest_terminal_summary(SimpleNamespace(write_line=lines.append), config)  # type: ignore[arg-type]
    assert [line[:8] for line in lines] == ["told", "::error "]


def test_an_id_of_another_run_has_no_place(tmp_path: Path) -> None:
    """Two systems of a night share ids, and their scenarios may lie in two folders."""
    one = judged(tmp_path / "reports", "one", LOST)
    two = made(tmp_path / "reports", "two", LOST, root=tmp_path / "theirs")
    launching.judge_again(tmp_path / "reports", "two", quiet=True)
    lines = told([one, two], {**ON_GITHUB, "GITHUB_WORKSPACE": str(tmp_path)})
    assert [line.split(",")[0] for line in lines] == [
        "::error file=scenarios/test_crash.py",
        "::error file=theirs/test_crash.py",
    ]
