"""The witness's process: asks for a core now and then, and prints how many times longer than it needed that took.

It is run by its path, and imports nothing of ours, so that it costs what it says and no more: 2 % of a core.
"""

from __future__ import annotations

import time

EVERY_S = 0.5
WORK_NS = 10_000_000
"""More than the scheduler lets run in one go, so that whoever else wants the core gets it meanwhile."""


def asked() -> float:
    """How many times longer than it needed a piece of work took by the clock: 1 where it had a core for itself."""
    from_ns, from_cpu_ns = time.monotonic_ns(), time.thread_time_ns()
    while time.thread_time_ns() - from_cpu_ns < WORK_NS:
        pass
    return (time.monotonic_ns() - from_ns) / WORK_NS


if __name__ == "__main__":
    while True:
        time.sleep(EVERY_S)
        print(f"{asked():.2f}", flush=True)
