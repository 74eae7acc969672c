"""What collecting the stock scenarios takes, which starts nothing: a whole process, without plugins of others."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from bench.figures import Figure, middle

ROOT = Path(__file__).parents[1]
COMMAND = [sys.executable, "-m", "pytest", "scenarios", "--collect-only", "-q", "-p", "no:hypothesispytest"]


def figures(*, rounds: int) -> list[Figure]:
    """Seconds from the command to its end; one round before is not counted."""
    taken = []
    for _ in range(rounds + 1):
        began = time.monotonic()
        subprocess.run(COMMAND, cwd=ROOT, check=True, capture_output=True)
        taken.append(time.monotonic() - began)
    return [Figure("pytest --collect-only of the scenarios", middle(taken[1:], 2), "s", "at most", 1.0)]
