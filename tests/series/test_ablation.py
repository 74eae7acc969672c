"""The trials that a system's measures need, what they say together, and a series for real that is interrupted."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness import launching
from harness.series import ablation
from harness.series._matrix import Result, effect, grid
from harness.system.loader import load_system

HERE = Path(__file__).parent
JSON = dict[str, Any]


def result(**scenarios: dict[str, str]) -> Result:
    return Result(runs=["r"], hardening="", findings=scenarios, cost=None)


def test_a_measure_goes_with_what_needs_it_and_comes_with_its_bases() -> None:
    file = load_system(str(HERE / "clerk.toml"))
    assert file.hardening is not None
    trials = ablation._trials(file, file.hardening, file.hardening.switches, ["short", "long", "calm"], ["calm"])
    assert [(trial.name, trial.hardening, trial.scenarios) for trial in trials] == [
        ("hardened", "all", ("short", "calm")),
        ("documented", "none", ("short", "calm")),
        ("without keep", "none", ("short", "calm")),
        ("keep alone", "keep", ("short", "calm")),
        ("without polish", "keep", ("calm",)),
        ("polish alone", "keep,polish", ("calm",)),
    ]


def test_a_measure_with_a_base_is_seen_beside_what_the_base_does_alone() -> None:
    file = load_system(str(HERE / "clerk.toml"))
    assert file.hardening is not None
    trials = ablation._trials(file, file.hardening, ["polish"], ["short", "calm"], ["calm"])
    assert [trial.name for trial in trials] == [
        "hardened",
        "documented",
        "keep alone",
        "without polish",
        "polish alone",
    ]


def test_a_trial_that_judged_less_is_not_done() -> None:
    """As of a series of one measure, when another's weakness shows in another scenario."""
    trial = ablation.Trial("hardened", "all", ("calm", "short", "long"))
    assert not ablation._has(None, trial)
    assert not ablation._has(result(calm={}, short={}), trial)
    assert ablation._has(result(calm={}, short={}, long={}, more={}), trial)


HARDENED = result(crash={"no_loss": "holds", "effects": "holds", "drains.exits": "inconclusive"})
DOCUMENTED = result(crash={"no_loss": "violated", "effects": "holds", "drains.exits": "violated"})


def test_what_breaks_and_what_is_repaired() -> None:
    without = result(crash={"no_loss": "violated", "effects": "inconclusive", "drains.exits": "violated"})
    alone = result(crash={"no_loss": "holds", "effects": "holds", "drains.exits": "violated"})
    found = effect((HARDENED, without), (DOCUMENTED, alone))
    assert found["breaks"] == {"no_loss": ["crash"]}  # drains.exits did not hold before
    assert found["repairs"] == {"no_loss": ["crash"]}
    assert found["unsure"] == {"effects": ["crash"]}
    lines = list(grid({"outbox": found, "dedup": effect((HARDENED, HARDENED), (DOCUMENTED, DOCUMENTED))}))
    assert lines[:2] == ["     1  effects", "     2  no_loss"]
    assert [line.split() for line in lines[3:6]] == [["1", "2"], ["outbox", "?", "±"], ["dedup", ".", "."]]


def test_nothing_to_show_is_said() -> None:
    nothing = effect((HARDENED, HARDENED), (DOCUMENTED, DOCUMENTED))
    assert list(grid({"polish": nothing})) == ["no measure breaks or repairs anything"]


def test_calm_runs_by_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Beside another scenario its costs would be those of two."""
    launched: list[tuple[tuple[str, ...], int | None]] = []

    def launch(asked: launching.Asked, reports: Path, *, quiet: bool) -> tuple[Path | None, int]:
        launched.append((asked.nodeids, asked.jobs))
        return reports / f"{len(launched)}", 0

    monkeypatch.setattr(launching, "launch", launch)
    planned = {name: {"nodeid": f"test_{name}[s]", "calm": name == "calm"} for name in ("crash", "calm", "pause")}
    trial = ablation.Trial("hardened", "all", ("crash", "calm", "pause"))
    folders = ablation._judged(launching.Asked("telhawk", jobs=2), trial, planned, tmp_path)
    assert launched == [(("test_calm",), 1), (("test_crash", "test_pause"), 2)]
    assert folders == [tmp_path / "1", tmp_path / "2"]


COMMAND = [sys.executable, "-m", "harness", "ablate", "--scenarios", str(HERE / "scenarios")]
CLERK = ("--system", str(HERE / "clerk.toml"))


def ablate(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *more], cwd=folder, capture_output=True, text=True, check=False)


def interrupted(folder: Path, *more: str, at: str) -> int:
    """The exit of a series that gets a Ctrl-C where it says `at`, which it says once."""
    with subprocess.Popen([*COMMAND, *more], cwd=folder, stdout=subprocess.PIPE, text=True) as going:
        assert going.stdout is not None
        assert any(at in line for line in going.stdout)
        going.send_signal(signal.SIGINT)
        assert not any(at in line for line in going.stdout)
    return going.returncode


def test_a_series_for_real_goes_on_where_it_was(tmp_path: Path) -> None:
    assert interrupted(tmp_path, *CLERK, "--measure", "keep", at="trial 2 of 4") == 130
    first = ablate(tmp_path, *CLERK, "--measure", "keep")
    assert first.returncode == 0, first.stdout + first.stderr
    assert "4 trials, 1 of them done before" in first.stdout
    told: JSON = json.loads((tmp_path / "reports" / "ablation.json").read_text())
    assert told["measures"]["keep"]["breaks"]["no_loss"] == ["short"]
    assert told["measures"]["keep"]["repairs"]["no_loss"] == ["short"]
    assert told["trials"]["hardened"]["cost"]["per_core"] > 0
    second = ablate(tmp_path, *CLERK)
    assert second.returncode == 0, second.stdout + second.stderr
    assert "6 trials, 4 of them done before" in second.stdout
    both: JSON = json.loads((tmp_path / "reports" / "ablation.json").read_text())
    assert both["trials"]["without keep"] == told["trials"]["without keep"]  # not run again
    assert both["measures"]["polish"] == {"breaks": {}, "repairs": {}, "unsure": {}}
    assert "±" in second.stdout


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ((*CLERK, "--measure", "kepe"), "did you mean 'keep'?"),
        (("--system", "bare"), "the system has no measures to take out"),
    ],
)
def test_wrong_usage(tmp_path: Path, more: tuple[str, ...], told: str) -> None:
    ended = ablate(tmp_path, *more)
    assert ended.returncode == 64
    assert told in ended.stderr
