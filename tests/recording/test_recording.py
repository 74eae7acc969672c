"""`outage record`: a person at a terminal injects faults, and the file that is written does it again."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness import outage, recording
from harness.errors import UsageError
from harness.history.reader import History
from harness.system.model import State
from tests.survival.harness_process import alive, run
from tests.survival.terminal import WITHIN_S, terminal

MINE = f"mine{outage.SUFFIX}"
HOLDS = {"hardened": State(hardening="all", expect="holds")}


# ---- what is refused before anything is started ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mine.toml", "outage.toml", outage.SUFFIX, "mine.outage.toml.txt"])
def test_a_file_that_no_run_would_find_is_refused(name: str, tmp_path: Path) -> None:
    done = run(tmp_path, "outage", "record", name, "--system", "bare")
    assert (done.returncode, done.stderr) == (
        64,
        f"error: {name}: an outage file is called NAME.outage.toml\n  fix: name it so\n",
    )
    assert [*tmp_path.iterdir()] == []


def test_a_file_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / MINE).write_text("")
    done = run(tmp_path, "outage", "record", MINE, "--system", "bare")
    assert (done.returncode, f"error: {MINE}: there is such a file already\n  fix: name another" in done.stderr) == (
        64,
        True,
    )
    assert [path.name for path in tmp_path.iterdir()] == [MINE]


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    done = run(tmp_path, "outage", "record", f"gone/{MINE}", "--system", "bare")
    assert (done.returncode, "it cannot be written: No such file or directory\n  fix: " in done.stderr) == (64, True)


def test_where_nobody_can_type_it_is_wrong_usage(tmp_path: Path) -> None:
    done = subprocess.run(
        ["setsid", "--wait", sys.executable, "-m", "harness", "outage", "record", MINE, "--system", "bare"],
        cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, "there is no terminal to type at\n  fix: run it in a terminal" in done.stderr) == (
        64,
        True,
    )
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("rate", "states", "told"),
    [
        ("1", {**HOLDS, "more": State(expect="holds")}, "one state, not in hardened, more\n  fix: --state with one"),
        ("1", {"documented": State(hardening="none", expect="exposed")}, "fix: --hardening none, which makes a state"),
    ],
)
def test_a_state_in_which_it_could_not_be_played_is_refused(
    rate: str, states: dict[str, State], told: str, tmp_path: Path
) -> None:
    (tmp_path / MINE).touch()
    with pytest.raises(UsageError, match=re.escape(told)):
        recording.asked(str(tmp_path / MINE), rate, states)


@pytest.mark.parametrize("rate", ["0", "-1", "nan", "inf", "many"])
def test_a_rate_that_is_none_is_refused(rate: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / MINE).touch()
    monkeypatch.setattr("harness.run.holding.opened", lambda: os.open(os.devnull, os.O_RDWR))
    with pytest.raises(UsageError, match=f"the rate is '{rate}'\n  fix: operations a second, above 0"):
        recording.asked(str(tmp_path / MINE), rate, HOLDS)
    assert recording.asked(str(tmp_path / MINE), "30", HOLDS) == recording.Asked(tmp_path / MINE, 30.0)


def test_in_pytest_the_file_is_there_and_empty(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="goes into a file that is there, and empty"):
        recording.asked(str(tmp_path / MINE), "", HOLDS)
    (tmp_path / MINE).write_text("x = 1")
    with pytest.raises(UsageError, match="goes into a file that is there, and empty"):
        recording.asked(str(tmp_path / MINE), "", HOLDS)
    with pytest.raises(UsageError, match="a rate is given, and nothing to record"):
        recording.asked("", "1", HOLDS)
    assert recording.asked("", "", HOLDS) is None


def test_an_empty_file_is_taken_away_and_no_other(tmp_path: Path) -> None:
    recording.reserve(tmp_path / MINE)
    assert (recording.release(tmp_path / MINE), (tmp_path / MINE).exists()) == (0, False)
    assert recording.release(tmp_path / MINE) == 0
    (tmp_path / MINE).write_text("x = 1")
    assert (recording.release(tmp_path / MINE), (tmp_path / MINE).exists()) == (0, True)


# ---- what is recorded -----------------------------------------------------------------------------------------------


def faults(folder: Path, run_: str = "*") -> list[tuple[str, str, bool]]:
    """Kind, target and evidence of the faults of the one scenario of a run, in the order of their effects."""
    (path,) = folder.glob(f"reports/{run_}/scenarios/mine-default/verdict.json")
    found = json.loads(path.read_text("utf-8"))["faults"]
    return [(one["kind"], one["target"], one["bit"]) for one in sorted(found, key=lambda one: float(one["effective"]))]


@pytest.mark.parametrize("runtime", ["processes", pytest.param("containers", marks=pytest.mark.engine)])
def test_it_plays_what_was_typed(runtime: str, tmp_path: Path) -> None:
    asked = ("--system", "bare", "--seed", "7", "--rate", "40", "--runtime", runtime)
    with terminal(tmp_path, "outage", "record", MINE, *asked) as typed:
        shown = typed.read_until("\n> ")
        assert re.search(r"^  broker-0  up    nats://127\.0\.0\.1:\d+  /", shown, re.MULTILINE)
        typed.answers("paus broker", "did you mean 'pause'?")
        typed.answers("restart worker", "the system has no worker")
        slow = "latency entry -> broker latency_ms=100"
        typed.answers(slow, f"1 {slow}: on since 0.0 s")
        typed.answers("latency entry -> broker latency_ms=9", "is under latency already")
        time.sleep(1.5)
        typed.answers("over", f"1 {slow}: over after ")
        typed.answers("restart broker by=terminate", "2 restart broker by=terminate: on since ")
        time.sleep(1.5)
        typed.types("\x04")
        typed.read_until("2 restart broker by=terminate: over after ")
        told = typed.read_until(f"--scenarios {MINE}\n")
        assert f"{MINE}: 2 events recorded. To play it:\n" in told
        assert typed.process.wait(WITHIN_S) == 0, typed.shown
    recorded = outage.load(tmp_path / MINE)
    assert (recorded.rate, re.sub(r"\d", "0", recorded.says)) == (40.0, "Recorded on 0000-00-00 by hand with bare.")
    latency, restart = recorded.events
    assert (latency.what, latency.on, latency.at, latency.parameters) == (
        *("latency", "entry -> broker", 0.0, {"latency_ms": 100}),
    )
    assert (restart.what, restart.on, restart.at, restart.parameters) == (
        "restart",
        "broker",
        None,
        {"by": "terminate"},
    )
    (first,) = (tmp_path / "reports").glob("2*")
    told_of = History.open(first / "scenarios" / "mine-default" / "history").lines("fault")
    moments = {line["event"]: line["t_ns"] for line in told_of if line["id"] == 1}
    assert latency.for_s == round((moments["healing"] - moments["effective"]) / 1e9, 1)
    injected = faults(tmp_path, first.name)
    assert [(kind, bit) for kind, _, bit in injected] == [("latency", True), ("restart", True)]
    command = shlex.split(told.rpartition("nats-harness ")[2])
    done = run(tmp_path, *command)
    assert done.returncode == 0, done.stdout + done.stderr
    (second,) = {path.name for path in (tmp_path / "reports").glob("2*")} - {first.name}
    assert faults(tmp_path, second) == injected


def test_nothing_injected_is_nothing_written(tmp_path: Path) -> None:
    with terminal(tmp_path, "outage", "record", MINE, "--system", "bare") as typed:
        typed.read_until("\n> ")
        typed.types("end\n")
        typed.read_until(f"no fault was injected, so {MINE} is not written")
        assert typed.process.wait(WITHIN_S) == 2
    assert not (tmp_path / MINE).exists()


@pytest.mark.parametrize("moment", ["starting", "under a fault"])
def test_an_interrupt_leaves_nothing_but_what_was_recorded(moment: str, tmp_path: Path) -> None:
    with terminal(tmp_path, "outage", "record", MINE, "--system", "bare") as typed:
        typed.read_until("... mine[default]" if moment == "starting" else "\n> ")
        if moment == "under a fault":
            typed.answers("pause broker", "1 pause broker: on since 0.0 s")
        made = processes(tmp_path)
        typed.types("\x03")
        so_far = f"{MINE}: 1 event recorded so far" if moment == "under a fault" else "no fault was injected"
        typed.read_until(so_far)
        assert typed.process.wait(WITHIN_S) == 130, typed.shown
    assert alive(made) == []
    assert not [*(tmp_path / "state" / "journals").glob("*.jsonl")]
    if moment == "under a fault":
        (event,) = outage.load(tmp_path / MINE).events
        assert (event.what, event.on) == ("pause", "broker")
    else:
        assert not (tmp_path / MINE).exists()


def processes(folder: Path) -> list[tuple[int, int]]:
    """Pid and start time of each process that the journal names."""
    text = "".join(path.read_text() for path in (folder / "state" / "journals").glob("*.jsonl"))
    entries = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
    return [(entry["pid"], entry["start"]) for entry in entries if entry["is"] == "process"]
