"""What recording costs the load's process, in processor time, and what a small history costs to compact."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.figures import Figure, middle
from harness.history.recorder import Recorder
from harness.history.rows import OpId, Outcome, Step, new_nonce

OPERATIONS = 200_000
SMALL = 600
RECORD_US = 5.0
COMPACT_S = 0.2
MEMORY = Path("/dev/shm")
# The imports are paid once a process, whatever it compacts.
_COMPACT = """
import sys, time
from pathlib import Path
import duckdb, numpy
from harness.history.compact import compact
began = time.perf_counter()
compact(Path(sys.argv[1]))
print(time.perf_counter() - began)
"""


def figures(*, rounds: int) -> list[Figure]:
    """Medians of so many rounds, on disk and in memory."""
    found = []
    for where, folder in (("disk", None), ("memory", MEMORY)):
        if folder is not None and not folder.is_dir():
            continue
        bare, with_ref, seen = zip(*(_costs(folder) for _ in range(rounds)), strict=True)
        found += [
            Figure(f"begin and finish, on {where}", middle(list(bare), 2), "us", "at most", RECORD_US),
            Figure(f"begin and finish with a ref, on {where}", middle(list(with_ref), 2), "us"),
            Figure(f"a sighting, on {where}", middle(list(seen), 2), "us"),
        ]
    compacting = middle([_compact_s() for _ in range(rounds)], 3)
    return [*found, Figure(f"compacting {SMALL} operations", compacting, "s", "at most", COMPACT_S)]


def _costs(folder: Path | None) -> tuple[float, float, float]:
    """Microseconds of processor time: an operation, one with a ref, a sighting. The loop itself is not counted."""
    refs = [f"0f8fad5b-d9cb-469f-a165-{n:012}" for n in range(OPERATIONS)]
    op, ok, effect = OpId(0, 1), Outcome.OK, Step.EFFECT
    with TemporaryDirectory(dir=folder) as temporary:
        recorder = Recorder(Path(temporary), name="load-0", nonce=new_nonce(), writer=0)
        begin, finish, sight = recorder.begin, recorder.finish, recorder.sight
        bare = _us(lambda n: finish(begin("orders", n), ok, seq=n))
        with_ref = _us(lambda n: finish(begin("orders", n), ok, ref=refs[n], status=202))
        seen = _us(lambda n: sight(effect, t_ns=n, source="effects", op=op, by="web-0"))
        recorder.close()
    empty = _us(lambda n: None)
    return bare - empty, with_ref - empty, seen - empty


def _us(call: Callable[[int], object]) -> float:
    began = time.process_time()
    for n in range(OPERATIONS):
        call(n)
    return (time.process_time() - began) / OPERATIONS * 1e6


def _compact_s() -> float:
    with TemporaryDirectory() as temporary:
        recorder = Recorder(Path(temporary), name="load-0", nonce=new_nonce(), writer=0)
        for n in range(SMALL):
            recorder.finish(recorder.begin("orders", n), Outcome.OK, ref=f"r-{n}", status=202)
            recorder.sight(Step.EFFECT, t_ns=n, source="effects", op=OpId(0, n), by=f"worker-{n % 2}")
            recorder.line("output", node="web-0", text=f"order {n} was taken")
        recorder.close()
        done = subprocess.run([sys.executable, "-c", _COMPACT, temporary], capture_output=True, check=True)
    return float(done.stdout)
