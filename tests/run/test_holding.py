"""A replay that stops where somebody wants to look, and goes on when they press Enter."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.run import holding
from tests.survival.harness_process import run

WITHIN_S = 60.0


class Terminal:
    """A process with a terminal of its own, and what it has shown so far."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        command = ["setsid", "--ctty", "--wait", sys.executable, "-m", "harness", *arguments]
        env = {**os.environ, "NATS_HARNESS_STATE": str(folder / "state")}
        self.process = subprocess.Popen(command, cwd=folder, env=env, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        self.shown = ""

    def read_until(self, words: str) -> str:
        """What it shows from now until it shows these words."""
        before, deadline = len(self.shown), time.monotonic() + WITHIN_S
        while words not in self.shown[before:]:
            assert time.monotonic() < deadline, self.shown
            try:
                self.shown += os.read(self._ours, 4096).decode().replace("\r\n", "\n")
            except OSError as error:  # it has ended
                raise AssertionError(self.shown) from error
        return self.shown[before:]

    def press_enter(self) -> None:
        os.write(self._ours, b"\n")

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(WITHIN_S)
        os.close(self._ours)


@contextmanager
def terminal(folder: Path, *arguments: str) -> Iterator[Terminal]:
    opened = Terminal(folder, *arguments)
    try:
        yield opened
    finally:
        opened.close()


def test_it_stops_before_each_fault_and_before_the_end(tmp_path: Path) -> None:
    assert run(tmp_path, "run", "--system", "bare", "-k", "entry_reset").returncode == 0
    with terminal(tmp_path, "replay", "latest", "entry_reset[default]", "--step", "--keep") as shown:
        before = shown.read_until("Enter goes on: ")
        assert "stopped before the fault reset" in before
        assert re.search(r"^  broker-0  up    nats://127\.0\.0\.1:\d+  /", before, re.MULTILINE)
        assert "evidence" not in shown.shown
        shown.press_enter()
        assert "stopped before the system is taken down" in shown.read_until("Enter goes on: ")
        shown.press_enter()
        shown.read_until("AS EXPECTED")
        assert shown.process.wait(WITHIN_S) == 0


def test_where_nobody_can_look_it_is_wrong_usage(tmp_path: Path) -> None:
    """A pipeline has no terminal, and would wait for ever."""
    assert run(tmp_path, "run", "--system", "bare", "-k", "calm").returncode == 0
    done = subprocess.run(
        ["setsid", "--wait", sys.executable, "-m", "harness", "replay", "latest", "calm[default]", "--keep"],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "there is no terminal to stop at" in done.stderr) == (64, True), done.stderr


def test_another_place_to_stop_is_told() -> None:
    with pytest.raises(UsageError, match="no place to stop is called 'fault'\n  fix: did you mean 'faults'"):
        holding.asked("fault")
    assert holding.asked("") == frozenset()
