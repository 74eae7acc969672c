"""SIGKILL of the harness in the middle of a fault: nothing is left, and what was recorded until then is judged."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from harness.faults import load_all
from harness.history.reader import History
from harness.runtime import _engine
from harness.runtime._engine import Engine
from tests.runtime.engines import labelled
from tests.survival.harness_process import Start, alive, run

FIRST = ("kill", "pause", "silent", "frozen")
KINDS = (*FIRST, *sorted(load_all().keys() - FIRST))
SCENARIOS = Path(__file__).parent / "scenarios"
KILLS = int(os.environ.get("NATS_HARNESS_KILLS", len(FIRST)))
"""How many kills, a fault each, in turn; a release asks for one in each of all faults."""


@pytest.mark.parametrize("runtime", ["processes", pytest.param("containers", marks=pytest.mark.engine)])
@pytest.mark.parametrize("number", range(KILLS))
def test_nothing_is_left_and_the_history_is_judged(start: Start, number: int, runtime: str, tmp_path: Path) -> None:
    every, kind = str(SCENARIOS / "test_every_fault.py"), KINDS[number % len(KINDS)]
    chosen = ("--scenarios", every, "-k", f"of_{kind}", "-j", "1", "--runtime", runtime)
    started = start(tmp_path, "run", "--system", "bare", *chosen)
    started.wait_for(lambda line: line["kind"] == "fault" and line["event"] == "effective")
    time.sleep(random.SystemRandom().uniform(0, 2.5))
    made, journals = started.made(), {path.name for path in started.state.glob("journals/*.jsonl")}
    assert len(made) >= (2 if runtime == "processes" else 1), "proxy and load at least"
    assert in_engine(journals) == (journals if runtime == "containers" else set())
    started.kill()

    cleaned = run(tmp_path, "clean", "--json")
    assert cleaned.returncode == 0, cleaned.stderr
    assert json.loads(cleaned.stdout)["things that would not go"] == 0
    assert alive(made) == []
    assert in_engine(journals) == set()
    assert not lossy(started.process.pid)

    (folder,) = tmp_path.glob("reports/*-*")
    (history,) = folder.glob("scenarios/*/history")
    offered = History.open(history).count()
    assert offered > 0
    judged = run(tmp_path, "judge", folder.name, "--json")
    assert judged.returncode == 2, judged.stderr
    (verdict,) = json.loads(judged.stdout)["scenarios"]
    assert verdict["operations"]["offered"] == offered
    assert verdict["verdict"] == "inconclusive"
    assert "history incomplete" in {trouble["name"] for trouble in verdict["troubles"]}


def in_engine(journals: set[str]) -> set[str]:
    """Those of which something is in the engine; none where there is no engine."""
    if _engine.why_not():
        return set()
    engine = Engine.connect()
    try:
        return journals & labelled(engine)
    finally:
        engine.close()


def lossy(runner: int) -> list[str]:
    """Tables of that runner's that lose packets on this machine; none where there is no nft, or no right to look."""
    if shutil.which("nft") is None:
        return []
    listed = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=False).stdout
    return [line for line in listed.splitlines() if f"nats_harness_{runner}_" in line]


def test_the_living_are_left_alone(start: Start, tmp_path: Path) -> None:
    """One run goes on while another is killed and `clean` is called: it is judged as if nothing had been."""
    state = tmp_path / "state"
    living = start(
        tmp_path / "living",
        "run",
        "--system",
        "bare",
        "--scenarios",
        str(SCENARIOS / "test_long.py"),
        "-j",
        "1",
        state=state,
    )
    living.wait_for(lambda line: line["kind"] == "phase" and line["name"] == "start_load")
    killed = start(tmp_path / "killed", "run", "--system", "bare", "-k", "broker_paused", "-j", "1", state=state)
    killed.wait_for(lambda line: line["kind"] == "node" and line["event"] == "ready")
    both = killed.made()
    killed.kill()
    run(tmp_path, "clean", state=state)
    assert alive(both), "the living run's processes were ended with the dead one's"
    assert living.process.wait(60) == 0, living.output.read_text()
    run(tmp_path, "clean", state=state)
    assert alive(both) == []
