"""What `init --compose` makes runs as it stands, in containers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.starting.init import SYSTEM_FILE
from harness.system.loader import load_system

from .stack import Images, Stack

ROOT = Path(__file__).parents[2]
FILES = Path(__file__).parent / "files"
WITHIN_S = 300


def harness(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness", *words]
    environment = {**os.environ, "NATS_HARNESS_STATE": str(folder / "state")}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=WITHIN_S)


@pytest.mark.engine
@pytest.mark.parametrize(
    "compose", [ROOT / "docker-compose.yml", FILES / "another-style.yml"], ids=lambda path: path.stem
)
def test_it_runs_green(compose: Path, images: Images, tmp_path: Path) -> None:
    for file in (compose, *FILES.glob("another-style.env")):
        shutil.copy(file, tmp_path)
    with Stack(ROOT / "docker-compose.yml", images) as stack:
        stack("build", "web")
        (tmp_path / ".env").write_text(f"TAG={stack.name}\n")
        begun = harness(tmp_path, "init", "--compose", compose.name)
        assert begun.returncode == 0, begun.stderr
        system = load_system(tmp_path / SYSTEM_FILE)
        assert {service.image for service in system.services.values()} == {f"telhawk-services:{stack.name}"}
        command = next(line.split() for line in begun.stdout.splitlines() if line.endswith("-k calm"))
        done = harness(tmp_path, *command[1:], "-j", "1")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "1 of 1 planned scenario judged" in done.stdout
