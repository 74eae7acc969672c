"""What a process takes, from its start to its end."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Spent:
    """Wall and processor seconds of one process, its largest resident set, and what it printed."""

    wall_s: float
    cpu_s: float
    mib: float
    told: bytes


def spent(command: Sequence[str]) -> Spent:
    """Runs a command to its end. Raises RuntimeError where it fails."""
    began = time.perf_counter()
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        told = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall_s = time.perf_counter() - began
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    return Spent(wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, told)
