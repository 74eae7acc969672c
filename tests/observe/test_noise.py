"""What is told of this machine: who used its cores, and how long a process like the services had to wait for one."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.history.reader import History
from harness.history.recorder import Recorder, write_meta
from harness.observe._witness import asked
from harness.observe.noise import WITNESS, Noise

from .lab import until

CORES = os.cpu_count() or 1


@contextmanager
def spinning(each_core: int) -> Iterator[int]:
    """So many processes for each core that want it all the time; the pid of one of them."""
    found = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(each_core * CORES)]
    try:
        yield found[0].pid
    finally:
        for one in found:
            one.kill()
            one.wait()


async def test_it_tells_who_used_the_cores(tmp_path: Path) -> None:
    """More spin than there are cores: others have them, and what is ours is told apart from theirs."""
    write_meta(tmp_path, {})
    recorder = Recorder(tmp_path, name="runner", nonce="a1b2c3d4")
    with spinning(2) as pid:
        told = Noise(recorder, lambda: {"ours": [pid]})
        told.witnessed("3.00")
        told.witnessed("5.00")
        watching = asyncio.create_task(told.watch())
        await until(lambda: len(History.open(tmp_path).lines("noise")) > 1, within_s=30)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    recorder.close()
    first, second = History.open(tmp_path).lines("noise")[:2]
    assert (first["stretch"], second["stretch"]) == (4.0, None)
    assert 0 < second["cpu"]["ours"] <= 1.1
    assert 0 < second["others"] <= CORES + 0.1
    assert second["cpu"]["ours"] + second["others"] <= CORES + 0.2


async def test_the_witness_waits_where_others_want_the_cores() -> None:
    """Its work takes several times longer than it needs, and it says so line by line."""
    with spinning(8):
        witness = await asyncio.create_subprocess_exec(*WITNESS, stdout=asyncio.subprocess.PIPE)
        assert witness.stdout is not None
        told = [float(await witness.stdout.readline()) for _ in range(6)]
        witness.kill()
        await witness.wait()
    assert sum(told) / len(told) > 2.5


def test_work_takes_no_less_than_it_needs() -> None:
    assert asked() >= 0.99
