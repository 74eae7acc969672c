"""What is half written, and by whom."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from harness import whole

HALF = """
import os, signal, sys
from pathlib import Path
from harness import whole
os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
whole.write_text(Path(sys.argv[1]), "half", synced=True)
"""
ROOT = Path(__file__).parents[1]


def test_what_a_killed_one_left_half_written_goes_with_the_next_that_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "verdict[1].json"
    path.write_text("old")
    assert subprocess.run([sys.executable, "-c", HALF, str(path)], cwd=ROOT).returncode < 0
    assert (len(list(tmp_path.iterdir())), path.read_text()) == (2, "old")
    living = tmp_path / f".{path.name}.{os.getppid()}"
    living.write_text("half")
    whole.write_text(path, "new")
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {path.name: "new", living.name: "half"}
