"""SIGKILL to the harness itself, at any moment: nothing of it is left once a sweep has run."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.runtime import _proc, journal
from harness.runtime._proc import Identity
from harness.runtime.ports import machine_folder

from .world import WITH_SERVICES, system

ROUNDS = 6
LATEST_S = 1.6
SCRIPT = """
import asyncio, sys
from pathlib import Path
from harness.system.loader import load_system
from harness.runtime.processes import Processes

class Quiet:
    def line(self, kind, /, *, t_ns=None, **fields): pass
    def secret(self, text): pass

async def main():
    folder = Path(sys.argv[1])
    runtime = Processes(load_system(folder / "system" / "system.toml"), folder=folder, recorder=Quiet())
    async def before(): pass
    print("go", flush=True)
    await runtime.open(before)
    print("open", flush=True)
    await asyncio.sleep(1000)

asyncio.run(main())
"""


def ours(folder: Path) -> list[str]:
    """Command lines of living processes that name this test's folder, or are of a session that did."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                environment = Path(f"/proc/{name}/cmdline").read_bytes() + Path(f"/proc/{name}/environ").read_bytes()
            except OSError:
                continue
            if str(folder).encode() in environment and _proc.runs(int(name)):
                found.append(environment.decode(errors="replace"))
    return found


def entries(folder: Path) -> list[dict[str, object]]:
    lines = [line for path in folder.glob("journals/*.jsonl") for line in path.read_bytes().split(b"\n")[:-1]]
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("number", range(ROUNDS))
def test_nothing_is_left_after_sigkill_at_a_random_moment(
    number: int, tmp_path: Path, state: Path, toxiproxy: Path
) -> None:
    delay_s = random.uniform(0, LATEST_S) if number else LATEST_S + 1
    text = WITH_SERVICES.replace('ME = "{replica}"', 'ME = "{replica} {dir}", BEHAVE = "fork"')
    system(tmp_path / "system", text)
    harness = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], cwd=Path(journal.__file__).parents[2], stdout=subprocess.PIPE
    )
    with harness:
        assert harness.stdout is not None
        assert harness.stdout.readline() == b"go\n"
        time.sleep(delay_s)
        assert journal.sweep() == []
        assert harness.poll() is None
        harness.send_signal(signal.SIGKILL)
        harness.wait()
    made = entries(state)
    leaders = [Identity(int(str(e["pid"])), int(str(e["start"]))) for e in made if e["is"] == "process"]
    done = journal.sweep()
    assert [one.left for one in done] == [[] for _ in done]
    assert not any(map(_proc.alive, leaders)), delay_s
    assert _proc.members(leaders) == []
    assert ours(tmp_path) == []
    assert list(state.glob("journals/*")) == []
    assert not (tmp_path / "nodes").exists()
    locks = [Path(str(lock)) for entry in made if entry["is"] == "locks" for lock in entry["paths"]]  # type: ignore[attr-defined]
    assert not [lock for lock in locks if lock.parent == machine_folder() and journal.remove_lock(lock)]
    assert journal.sweep() == []
