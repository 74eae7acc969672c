"""`python -m tests`: the tests in parts, for what may run beside what; `python -m tests trial`: those of the trial.

It ends with the first part that fails. What only computes runs underneath two parts, with what they leave of the cores,
and is shown after them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO

from tests.witness import AGAIN

CONTROLS, TRIED = ["tests/controls"], ["tests/cases", "tests/sabotage", "tests/mutants"]
TRIAL = [*CONTROLS, *TRIED]
"""Systems that break a promise, what real users ran into, broken stacks, broken judges: as long as all the others."""
COUNTED, TIMED, ENGINE = "not timed and not engine", "timed", "engine and not timed"
UNDERNEATH = {TIMED: ["tests/gate", "tests/guarantees", "tests/history", "tests/system"], ENGINE: ["tests/report"]}
"""What only computes, by the part that it runs underneath; a browser would disturb what times for real."""
LEAST_URGENT = 19
ALONE = [f"--ignore={folder}" for folder in (*TRIAL, *UNDERNEATH[TIMED], *UNDERNEATH[ENGINE])]
_started: list[subprocess.Popen[bytes]] = []


def pytest(marks: str, at_once: int, *more: str, said: IO[bytes] | None = None) -> subprocess.Popen[bytes]:
    """Starts those tests; those whose output is kept give way to all others."""
    command = [sys.executable, "-m", "pytest", "-n", str(at_once), "--dist", "loadfile", "--no-loadscope-reorder"]
    chosen = ["-rfER", *AGAIN, "-m", marks, *more]
    gives_way = _give_way if said else None
    process = subprocess.Popen([*command, *chosen], stdout=said, stderr=said, preexec_fn=gives_way)
    _started.append(process)
    return process


def main(asked: list[str]) -> int:
    """The exit of the first part that failed."""
    if asked:
        parts = (("not timed", 4, TRIAL), (TIMED, 3, CONTROLS), (TIMED, 2, TRIED))
        return next((code for marks, at_once, folders in parts if (code := pytest(marks, at_once, *folders).wait())), 0)
    if code := pytest(COUNTED, 4, *ALONE).wait():
        return code
    with ExitStack() as files:
        underneath = []
        for marks, at_once in ((TIMED, 3), (ENGINE, 4)):
            said = files.enter_context(tempfile.TemporaryFile())
            underneath.append((pytest(COUNTED, 2, *UNDERNEATH[marks], said=said), said))
            if code := pytest(marks, at_once, *ALONE).wait():
                _end()
                break
        codes = [code, *(process.wait() for process, _ in underneath)]
        for _, said in underneath:
            said.seek(0)
            sys.stdout.buffer.write(said.read())
    return next(filter(None, codes), 0)


def _give_way() -> None:
    """Makes this process the least urgent, also to those of other sessions, of which Linux gives each its share."""
    os.setsid()
    os.nice(LEAST_URGENT)
    with suppress(OSError):  # this machine shares by process alone
        Path("/proc/self/autogroup").write_text(str(LEAST_URGENT))


def _end(number: int = signal.SIGTERM, *_: object) -> None:
    """Ends what was started, which ends what it has started; then its exit is ours. Its own are told by a terminal."""
    for process in _started:
        if process.poll() is None and (number != signal.SIGINT or os.getpgid(process.pid) != os.getpgid(0)):
            process.send_signal(signal.SIGINT)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, _end)
    signal.signal(signal.SIGTERM, _end)
    sys.exit(main(sys.argv[1:]))
