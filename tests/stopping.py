"""A process that stands still: its threads go on for a moment after the signal, on a busy machine for a long one."""

from __future__ import annotations

import os
import signal
import time

from harness.runtime import _proc

WITHIN_S = 10


def stand_still(pid: int) -> None:
    """Stops a process, and returns once none of its threads runs."""
    os.kill(pid, signal.SIGSTOP)
    by_s = time.monotonic() + WITHIN_S
    while _proc.task_states(pid) != _proc.STOPPED:
        assert time.monotonic() < by_s, f"it still runs after {WITHIN_S} s: {_proc.task_states(pid)}"
        time.sleep(0.001)
