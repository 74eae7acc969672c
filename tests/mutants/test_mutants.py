"""The judges broken one way at a time: a control must fail with each, by what it says, and pass without it.

`mutants.toml` has a row a mutant, `diffs/NAME.diff` is the change. The mutant lies in a copy of the harness that comes
first in the path of a process of its own; the controls are those of tests/guarantees.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.sabotage.sabotage import ROOT, apply

HERE = Path(__file__).parent
CONTROLS = ROOT / "tests" / "guarantees"
RUNS_WITHIN_S = 120
LEAST = 10


@dataclass(frozen=True)
class Mutant:
    """A wrong judge: what it believes, the control that must fail with it, and a word of the assertion that fails."""

    name: str
    tells: str
    control: str
    fails: str

    @property
    def diff(self) -> str:
        """The change, as a unified diff."""
        return (HERE / "diffs" / f"{self.name}.diff").read_text("utf-8")


MUTANTS = [Mutant(name, **row) for name, row in tomllib.loads((HERE / "mutants.toml").read_text("utf-8")).items()]


def harness(folder: Path, diff: str = "") -> Path:
    """A copy of the harness in `folder`, with this change."""
    shutil.copytree(ROOT / "harness", folder / "harness", ignore=shutil.ignore_patterns("__pycache__"))
    if diff:
        apply(diff, folder)
    return folder


def ask(judges: Path, controls: list[str]) -> tuple[int, str]:
    """What pytest came to, and said, of these controls with the harness that lies in `judges`."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    how = ["-p", "no:cacheprovider", "-p", "no:xdist", "-q", "-vv", "-x"]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pytest", *(str(CONTROLS / control) for control in controls), *how],
        cwd=ROOT,
        env=env | {"PYTHONPATH": str(judges), "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=RUNS_WITHIN_S,
    )
    return done.returncode, done.stdout


@pytest.fixture(scope="session")
def without(tmp_path_factory: pytest.TempPathFactory) -> None:
    """All controls pass with the judges as they are, in a copy of them."""
    code, said = ask(harness(tmp_path_factory.mktemp("judges")), sorted({mutant.control for mutant in MUTANTS}))
    assert code == 0, said


def test_there_are_enough_and_each_has_its_diff() -> None:
    assert len(MUTANTS) >= LEAST
    assert {path.stem for path in (HERE / "diffs").glob("*.diff")} == {mutant.name for mutant in MUTANTS}


@pytest.mark.usefixtures("without")
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_control_fails_with_the_mutant(mutant: Mutant, tmp_path: Path) -> None:
    code, said = ask(harness(tmp_path, mutant.diff), [mutant.control])
    assert code == pytest.ExitCode.TESTS_FAILED, f"{mutant.tells}: and {mutant.control} passes\n{said}"
    wrong = [line for line in said.splitlines() if line.startswith("E ")]
    assert any(re.search(mutant.fails, line) for line in wrong), "\n".join(wrong)
