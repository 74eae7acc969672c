"""SIGKILL at full rate, many times: what was begun is there, and nothing is torn."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.history.compact import compact
from harness.history.reader import History
from harness.history.recorder import Recorder
from harness.history.rows import OpId, Outcome, Step
from tests.history.histories import NONCE, answers

KILLS = 25
# Writes as fast as it can and tells, after each call, what it has returned from: eight bytes into a pipe, in order.
WRITER = """
import os, sys, types
package = types.ModuleType("harness"); package.__path__ = ["harness"]; sys.modules["harness"] = package
from pathlib import Path
from harness.history.recorder import Recorder
from harness.history.rows import OpId, Outcome, Step
recorder = Recorder(Path(sys.argv[1]), name="load-0", nonce=sys.argv[2], writer=0)
for i in range(10**9):
    n = recorder.begin("orders", i)
    os.write(1, b"b")
    recorder.finish(n, Outcome.OK, ref=f"r-{n}", seq=n + 1)
    os.write(1, b"f")
    recorder.sight(Step.EFFECT, t_ns=i, source="effects", op=OpId(0, n), by=f"w-{i % 3}", ref=f"r-{n}")
    os.write(1, b"s")
    recorder.line("output", node="web-0", text=f"line {n}")
    os.write(1, b"l")
"""
ROOT = Path(__file__).parents[2]


def told_before_kill(folder: Path, after_s: float) -> bytes:
    """Runs a writer, kills it `after_s` after its first word, and returns all that it told."""
    arguments = [sys.executable, "-c", WRITER, str(folder), NONCE]
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        told = [os.read(process.stdout.fileno(), 65536)]
        deadline = time.monotonic() + after_s
        while time.monotonic() < deadline:
            told.append(os.read(process.stdout.fileno(), 65536))
        process.send_signal(signal.SIGKILL)
        told.append(process.stdout.read())
    return b"".join(told)


@pytest.mark.parametrize("kill", range(KILLS))
def test_nothing_begun_is_missing_and_nothing_is_torn(tmp_path: Path, kill: int) -> None:
    told = told_before_kill(tmp_path, random.Random(kill).uniform(0, 0.05))
    history = History.open(tmp_path)
    operations = list(history.operations())
    assert len(operations) - told.count(b"b") in (0, 1)  # one more if it was killed before it told
    for n, operation in enumerate(operations):
        assert operation.id == OpId(0, n)
        assert operation.intended_ns == n
        if operation.outcome is Outcome.OK:
            assert (operation.ref, operation.seq) == (f"r-{n}", n + 1)
        else:
            assert operation.outcome is Outcome.UNKNOWN
            assert operation.end_ns is None
            assert n == len(operations) - 1
    assert sum(operation.outcome is Outcome.OK for operation in operations) - told.count(b"f") in (0, 1)
    sightings = list(history.sightings())
    assert len(sightings) - told.count(b"s") in (0, 1)
    assert all((seen.ref, seen.by) == (f"r-{n}", f"w-{n % 3}") for n, seen in enumerate(sightings))
    texts = [line["text"] for line in history.lines("output")]
    assert len(texts) - told.count(b"l") in (0, 1)
    assert texts == [f"line {n}" for n in range(len(texts))]
    assert {trouble["detail"] for trouble in history.troubles()} == {
        "ops-0.rows: its writer died",
        "sights-load-0.rows: its writer died",
    }


COMPACTER = """
import os, sys, types
package = types.ModuleType("harness"); package.__path__ = ["harness"]; sys.modules["harness"] = package
from pathlib import Path
from harness.history.compact import compact
import duckdb, numpy
os.write(1, b"x")
compact(Path(sys.argv[1]))
"""


@pytest.mark.parametrize("kill", range(8))
def test_a_compaction_killed_at_any_moment_leaves_one_form_or_the_other(tmp_path: Path, kill: int) -> None:
    writing = Recorder(tmp_path, name="load-0", nonce=NONCE, writer=0)
    for i in range(500):
        writing.finish(writing.begin("orders", i), Outcome.OK, ref=f"r-{i}")
        writing.sight(Step.EFFECT, t_ns=i, source="effects", op=OpId(0, i))
    writing.close()
    said = answers(History.open(tmp_path))
    with subprocess.Popen(
        [sys.executable, "-c", COMPACTER, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        time.sleep(0.012 * kill)  # any moment will do: the later ones are after its end
        process.send_signal(signal.SIGKILL)
    assert answers(History.open(tmp_path)) == said
    compact(tmp_path)
    history = History.open(tmp_path)
    assert history.columnar
    assert answers(history) == said
    assert {path.name for path in tmp_path.iterdir()} == {"columnar.json", "lines.jsonl", "operations", "sightings"}
