"""An output that ends before the command does: the command goes on, and its exit is its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.report.verdicts import calm
from tests.test_telling import judged

LISTED = [sys.executable, "-m", "harness", "list", "--system", "bare"]
MANY = """
import sys
from harness.output import lasting
with lasting():
    for number in range(100_000):
        print(number)
    print("told", file=sys.stderr)
sys.exit(7)
"""
INTERRUPTED = """
import signal, sys
from harness.output import lasting

writes = False

def interrupt(*_):
    global writes
    if writes:
        writes = False
        raise KeyboardInterrupt

signal.signal(signal.SIGALRM, interrupt)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
with lasting():
    for number in range(5_000):
        try:
            writes = True
            sys.stdout.write(f"{number}\\n")
            sys.stdout.flush()
            writes = False
        except KeyboardInterrupt:
            pass
    signal.setitimer(signal.ITIMER_REAL, 0)
"""


def _shell(command: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    words = ["bash", "-c", command, "bash", *arguments]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=60)


def test_a_reader_that_has_seen_enough_changes_no_exit(tmp_path: Path) -> None:
    done = _shell('"$@" | head -1; exit ${PIPESTATUS[0]}', tmp_path, sys.executable, "-c", MANY)
    assert (done.returncode, done.stdout, done.stderr) == (7, "0\n", "told\n")
    both = _shell('"$@" 2>&1 | head -1; exit ${PIPESTATUS[0]}', tmp_path, sys.executable, "-c", MANY)
    assert (both.returncode, both.stdout, both.stderr) == (7, "0\n", "")


def test_what_an_interrupt_comes_upon_is_written_once(tmp_path: Path) -> None:
    done = _shell('"$@" | cat', tmp_path, sys.executable, "-c", INTERRUPTED)
    lines = done.stdout.splitlines()
    assert lines[-1] == "4999", done.stderr
    assert len(lines) == len(set(lines))


def test_a_full_disk_is_told_once_and_changes_no_exit(tmp_path: Path) -> None:
    done = _shell('"$@" > /dev/full', tmp_path, sys.executable, "-c", MANY)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (7, "told")
    assert done.stderr.count("error: the output ends here: No space left on device") == 1


@pytest.mark.parametrize("to", ["| head -c 1", "> /dev/full"])
def test_every_command_goes_on(tmp_path: Path, to: str) -> None:
    judged(tmp_path / "reports", "one", calm())
    for words in (LISTED, [*LISTED[:3], "judge", "one"]):
        done = _shell(f'"$@" {to}; exit ${{PIPESTATUS[0]}}', tmp_path, *words)
        assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr


def test_a_run_goes_on(tmp_path: Path) -> None:
    done = _shell('"$@" -k calm | head -1; exit ${PIPESTATUS[0]}', tmp_path, *LISTED[:3], "run", *LISTED[4:])
    assert (done.returncode, done.stdout) == (0, "... calm[default]\n"), done.stderr
    assert list(tmp_path.glob("reports/*/index.html"))
