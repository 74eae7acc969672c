"""One Locust process, two as Locust's master and workers, and `nats bench`, taking turns on one broker.

    python -m bench.workers [rounds]        the figures as JSON

All publish the same payload and header to a stream in memory, recorded where it is Locust; each process has as many in
flight as `nats bench`, so that each is as busy as it can be.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import NamedTemporaryFile
from typing import NamedTuple

from bench.figures import Figure
from bench.load import NONCE, WARM_UP_S, broker, load_rate
from bench.nats_cli import nats_cli

IN_FLIGHT = 500
"""In each process; what `nats bench` has by itself."""
SECONDS = 5.0
MESSAGES = 150_000
PROCESSES = {"one process": 1, "two processes": 2}


class Run(NamedTuple):
    """Publishes a second, and microseconds of processor time for each: Locust's and the broker's."""

    per_s: float
    locust_us: float
    broker_us: float

    @property
    def cores(self) -> float:
        """How much of the machine that took."""
        return self.per_s * (self.locust_us + self.broker_us) / 1e6


def figures(*, rounds: int) -> list[Figure]:
    """Medians of so many rounds, of each round's ratio too: a machine that changes its pace changes both."""
    cli, found = nats_cli(), dict[str, list[Run]]()
    theirs: list[float] = []
    with broker() as (url, pid):
        for _ in range(rounds):
            for name, processes in PROCESSES.items():
                found.setdefault(name, []).append(_run(url, pid, processes))
            theirs.append(_nats_bench(cli, url))
    one, two = ([run.per_s for run in runs] for runs in found.values())
    of_one = median(b / a for a, b in zip(one, two, strict=True))
    of_bench = median(b / a for a, b in zip(theirs, two, strict=True))
    told = [
        Figure("recorded publishes by two processes, of one's", round(of_one, 3), "ratio", "at least", 1.4),
        Figure("  of nats bench, asynchronous", round(of_bench, 3), "ratio", "at least", 0.25),
        Figure("  a second by nats bench", round(median(theirs)), "1/s"),
    ]
    for name, runs in found.items():
        told += [
            Figure(f"  a second by {name}", round(median(run.per_s for run in runs)), "1/s"),
            Figure("    Locust's processor time for each", round(median(run.locust_us for run in runs), 1), "us"),
            Figure("    the broker's", round(median(run.broker_us for run in runs), 1), "us"),
            Figure("    both, of the machine's cores", round(median(run.cores for run in runs), 2), "cores"),
        ]
    return told


def _run(url: str, pid: int, processes: int) -> Run:
    before_s = _cpu_s(pid)
    per_s, locust_us = asyncio.run(load_rate(url, SECONDS, processes=processes, in_flight=IN_FLIGHT * processes))
    return Run(per_s, locust_us, (_cpu_s(pid) - before_s) / ((SECONDS + WARM_UP_S) * per_s) * 1e6)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _nats_bench(cli: Path, url: str) -> float:
    marker = f"{NONCE}-0-100000"
    with NamedTemporaryFile() as payload:
        payload.write(f'{{"op":"{marker}"}}'.encode())
        payload.flush()
        what = ["bench.work", "--stream", "BENCH", "--msgs", str(MESSAGES), "--batch", str(IN_FLIGHT)]
        message = ["--payload", payload.name, "--header", f"Harness-Op:{marker}", "--no-progress"]
        command = [str(cli), "--server", url, "bench", "js", "pub", "async", *what, *message]
        said = subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout
    found = re.search(r"stats: ([\d,]+) msgs/sec", said)
    assert found is not None, said
    return float(found[1].replace(",", ""))


if __name__ == "__main__":
    told = figures(rounds=int(sys.argv[1]) if sys.argv[1:] else 5)
    print(json.dumps([figure.as_json() for figure in told], indent=1))
