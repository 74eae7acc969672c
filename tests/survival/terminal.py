"""A run of the harness with a terminal of its own."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
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
        before = len(self.shown)
        self._read(lambda: words in self.shown[before:])
        return self.shown[before:]

    def _read(self, enough: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WITHIN_S
        while not enough():
            readable, _, _ = select.select([self._ours], [], [], max(0, deadline - time.monotonic()))
            assert readable, self.shown
            try:
                self.shown += os.read(self._ours, 4096).decode().replace("\r\n", "\n")
            except OSError as error:  # it has ended
                raise AssertionError(self.shown) from error

    def press_enter(self) -> None:
        self.types("\n")

    def types(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def answers(self, line: str, words: str) -> str:
        """What it shows to a line until it asks for another, these words among it."""
        before = len(self.shown)
        self.types(f"{line}\n")
        self._read(lambda: words in self.shown[before:] and self.shown.endswith("\n> "))
        return self.shown[before:]

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
