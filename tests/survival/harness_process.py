"""A run of the harness as a child process, with a state folder of its own, and what is left of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

WITHIN_S = 60.0


class Started:
    """`nats-harness ARGS` in `folder`, started and not awaited."""

    def __init__(self, folder: Path, *arguments: str, state: Path | None = None) -> None:
        self.folder, self.state = folder, state or folder / "state"
        folder.mkdir(exist_ok=True)
        self.output = folder / "output.txt"
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "harness", *arguments],
                cwd=folder,
                env={**os.environ, "NATS_HARNESS_STATE": str(self.state)},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def lines(self) -> Iterator[dict[str, object]]:
        """The runner's lines so far, of every scenario."""
        for path in self.folder.glob("reports/*/scenarios/*/history/lines-runner.jsonl"):
            for text in path.read_text().splitlines(keepends=True):
                if text.endswith("\n"):
                    yield json.loads(text)

    def wait_for(self, condition: Callable[[dict[str, object]], bool]) -> None:
        """Waits until a line of the history is as wanted."""
        deadline = time.monotonic() + WITHIN_S
        while not any(condition(line) for line in self.lines()):
            assert self.process.poll() is None, self.output.read_text()
            assert time.monotonic() < deadline, self.output.read_text()
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL to the harness alone, not to its children."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self) -> None:
        """Ends it in order where it still runs, as a cancelled job is ended."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(WITHIN_S)

    def made(self) -> list[tuple[int, int]]:
        """Pid and start time of each process that its journal names."""
        entries = [
            json.loads(line)
            for path in (self.state / "journals").glob("*.jsonl")
            for line in path.read_text().splitlines(keepends=True)
            if line.endswith("\n")
        ]
        return [(entry["pid"], entry["start"]) for entry in entries if entry["is"] == "process"]


class Start(Protocol):
    """Starts `nats-harness ARGS` in a folder; it ends with the test that asked (the fixture `start`)."""

    def __call__(self, folder: Path, *arguments: str, state: Path | None = None) -> Started: ...


def run(folder: Path, *arguments: str, state: Path | None = None) -> subprocess.CompletedProcess[str]:
    """`nats-harness ARGS` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "harness", *arguments],
        cwd=folder,
        env={**os.environ, "NATS_HARNESS_STATE": str(state or folder / "state")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def alive(processes: list[tuple[int, int]]) -> list[int]:
    """The pids of those that still live: the same pid with the same start time, and no zombie."""
    found = []
    for pid, start in processes:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[19]) == start and fields[0] not in "ZX":
            found.append(pid)
    return found
