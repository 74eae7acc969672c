"""The wheel in an environment of its own, elsewhere: the scenarios and the reference stack travel with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.timed


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an environment in which nothing is but the wheel and what the lock file names."""
    made, folder = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("elsewhere") / "environment"
    uv = [sys.executable, "-m", "uv"]
    env = {**os.environ, "VIRTUAL_ENV": str(folder)}
    for command in (
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(made)],
        [*uv, "venv", "--quiet", "--python", sys.executable, str(folder)],
        [*uv, "pip", "sync", "--quiet", "requirements.lock"],
    ):
        subprocess.run(command, cwd=ROOT, env=env, check=True)
    (wheel,) = made.glob("*.whl")
    subprocess.run([*uv, "pip", "install", "--quiet", "--no-deps", str(wheel)], cwd=made, env=env, check=True)
    return folder


def _run(elsewhere: Path, folder: Path, *arguments: str) -> str:
    """What `nats-harness` of that environment prints, as expected."""
    command = [str(elsewhere / "bin" / "nats-harness"), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_demo_ends_with_a_page(elsewhere: Path, tmp_path: Path) -> None:
    where = [
        str(elsewhere / "bin" / "python"),
        "-c",
        "import harness, telhawk; print(harness.__file__, telhawk.__file__)",
    ]
    files = subprocess.run(where, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.split()
    assert all(Path(file).is_relative_to(elsewhere) for file in files)
    *_, last = _run(elsewhere, tmp_path, "demo").splitlines()
    page = tmp_path / last.removeprefix("report: ")
    assert "broker_crash[documented]" in page.read_text("utf-8")


def test_a_system_of_ones_own(elsewhere: Path, tmp_path: Path) -> None:
    said = _run(elsewhere, tmp_path, "init")
    (command,) = (line.split() for line in said.splitlines() if "-k calm" in line)
    assert "1 of 1 planned scenario judged" in _run(elsewhere, tmp_path, *command[1:])
