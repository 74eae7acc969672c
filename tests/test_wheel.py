"""The wheel in an environment of its own, elsewhere: the scenarios and the reference stack travel with it."""

from __future__ import annotations

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
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(made)]
    subprocess.run(build, cwd=ROOT, check=True)
    (wheel,) = made.glob("*.whl")
    # By --python, for uv is itself part of another environment, and takes that before VIRTUAL_ENV.
    there = ["--quiet", "--python", str(folder / "bin" / "python")]
    for command in (["sync", *there, "requirements.lock"], ["install", *there, "--no-deps", str(wheel)]):
        subprocess.run([sys.executable, "-m", "uv", "pip", *command], cwd=ROOT, check=True)
    return folder


def _run(elsewhere: Path, folder: Path, *arguments: str) -> str:
    """What `nats-harness` of that environment prints, as expected."""
    command = [str(elsewhere / "bin" / "nats-harness"), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    noisy = done.returncode == 2 and "inconclusive: noise: " in done.stdout
    assert not noisy, f"THIS MACHINE WAS TOO BUSY to judge timing: {done.stdout}"
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
