"""A stored run, run again: what is said of it before anything starts. It may have come from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click.testing
import pytest

from harness import cli, launching
from harness.plan import Plan, Planned, write_plan

ID = "calm[default]"
EVIL = "\x1b[2Jred\n::error::mine\n  ##[error]mine"
Nats = Callable[..., click.testing.Result]


@pytest.fixture
def nats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Nats:
    """The command, in an empty folder; nothing is started."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(launching, "launch", lambda *_: (None, 2))
    return lambda *words: click.testing.CliRunner().invoke(cli.main, [str(word) for word in words])


def stored(*ids: str, system: str = "bare", **versions: str) -> Path:
    """A run of these scenarios, each as expected, made with these versions."""
    folder = Path("reports/mine")
    planned = [Planned(id_, id_, "default", "holds", {}, "test_x.py", 1, (), True, "test_x.py::x") for id_ in ids]
    for number, one in enumerate(planned):
        at = folder / "scenarios" / one.folder
        at.mkdir(parents=True)
        told: dict[str, Any] = {"id": one.id, "as_expected": True, "verdict": "holds", "findings": [], "faults": []}
        (at / "verdict.json").write_text(json.dumps({**told, "number": number, "versions": versions}))
    write_plan(folder, Plan("mine", "bare", system, "processes", 1, None, "scenarios", {}, planned))
    return folder


def harmless(said: str) -> bool:
    """No escape, and no line that GitHub takes as a command."""
    lines = said.splitlines()
    return "\x1b" not in said and not [one for one in lines if one.lstrip().startswith("::") or "##[" in one]


def test_what_is_not_the_same_moves_nothing_on_the_terminal(nats: Nats) -> None:
    stored(ID, **{EVIL: EVIL})
    done = nats("replay", "mine", ID)
    assert "not the same as then: \\x1b[2Jred\\n::error::mine" in done.stderr
    assert (done.exit_code, len(done.stderr.splitlines()), "\x1b" in done.stderr) == (2, 1, False), done.output


@pytest.mark.parametrize(("ids", "system"), [([f"crash{EVIL}"], "bare"), ([ID], f"no{EVIL}.toml")])
def test_a_name_in_an_error_begins_no_line(nats: Nats, ids: list[str], system: str) -> None:
    stored(*ids, system=system)
    done = nats("replay", "mine", "crash" if system == "bare" else ID)
    assert (done.exit_code, "error::mine" in done.stderr) == (64, True), done.output
    assert harmless(done.stderr), done.stderr


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"schema": 1}', "[" * 100_000, '{"as_expected": true, "versions": 1}'], ids=range(6)
)
def test_a_damaged_verdict_of_a_scenario_is_told(nats: Nats, text: str) -> None:
    folder = stored(ID)
    (folder / "scenarios/calm-default/verdict.json").write_text(text)
    done = nats("replay", "mine", ID)
    assert (done.exit_code, "no verdict can be read" in done.stderr) == (64, True), done.output
    assert "fix: judge it again: nats-harness judge mine" in done.stderr
