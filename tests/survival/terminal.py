"""A run of the harness with a terminal of its own."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WITHIN_S = 60.0


class Terminal:
    """A process with a terminal of its own, and what it has shown so far."""

    def __init__(self, folder: Path, *arguments: str, **environ: str) -> None:
        self._ours, theirs = pty.openpty()
        command = ["setsid", "--ctty", "--wait", sys.executable, "-m", "harness", *arguments]
        env = {**os.environ, "NATS_HARNESS_STATE": str(folder / "state"), "TERM": "xterm", **environ}
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
        self.types("\n")

    def types(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def answers(self, line: str, words: str) -> str:
        """What it shows to a line, up to its next question."""
        self.types(f"{line}\n")
        shown = self.read_until(words)
        return shown if shown.endswith("\n> ") else shown + self.read_until("\n> ")

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(WITHIN_S)
        os.close(self._ours)


@contextmanager
def terminal(folder: Path, *arguments: str, **environ: str) -> Iterator[Terminal]:
    opened = Terminal(folder, *arguments, **environ)
    try:
        yield opened
    finally:
        opened.close()
