"""Ctrl-C, or a cancelled job, at any moment: the system is ended, the history is kept, the exit says so."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest

from harness.history.reader import History
from tests.survival.harness_process import Start, alive, run

INTERRUPTED = 130
ON_ENTERING = """
import sys, types

def entered():
    here = sys._getframe()
    return lambda: here

def pytest_runtest_setup(item):
    on_no_line = types.TracebackType(None, entered()(), 0, -1)
    assert on_no_line.tb_lineno is None
    raise KeyboardInterrupt().with_traceback(on_no_line)
"""


@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize("moment", ["starting", "under a fault"])
def test_interrupt_ends_everything(start: Start, jobs: str, moment: str, tmp_path: Path) -> None:
    started = start(tmp_path, "run", "--system", "bare", "-k", "broker_paused or entry_silent", "-j", jobs)
    if moment == "starting":
        started.wait_for(lambda line: line["kind"] == "node" and line["event"] == "started")
        time.sleep(random.SystemRandom().uniform(0, 0.5))
    else:
        started.wait_for(lambda line: line["kind"] == "fault" and line["event"] == "effective")
    made = started.made()
    os.killpg(started.process.pid, signal.SIGINT)
    assert started.process.wait(30) == INTERRUPTED, started.output.read_text()
    said = started.output.read_text()
    assert ("!!!" in said, ".py" in said, "full-trace" in said, "INCONCLUSIVE" in said) == (False,) * 4, said
    assert "INTERRUPTED (exit 130, " in said
    assert alive(made) == [], started.output.read_text()
    assert not list((tmp_path / "state" / "journals").glob("*.jsonl"))
    for history in tmp_path.glob("reports/*-*/scenarios/*/history"):
        assert History.open(history).lines()


@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize("runtime", ["processes", pytest.param("containers", marks=pytest.mark.engine)])
def test_more_of_them_change_nothing(start: Start, jobs: str, runtime: str, tmp_path: Path) -> None:
    asked = ("--system", "bare", "-k", "broker_paused or entry_silent", "-j", jobs, "--runtime", runtime)
    started = start(tmp_path, "run", *asked)
    started.wait_for(lambda line: line["kind"] == "fault" and line["event"] == "effective")
    made = started.made()
    while started.process.poll() is None:  # a man who loses his patience
        os.killpg(started.process.pid, signal.SIGINT)
        time.sleep(0.1)
    said = started.output.read_text()
    assert started.process.wait() == INTERRUPTED, said
    assert said.count("another Ctrl-C changes nothing") == 1
    assert ("Traceback" in said, "never awaited" in said, "Exception ignored" in said) == (False,) * 3, said
    assert "INTERRUPTED (exit 130, " in said
    assert (alive(made), *(tmp_path / "state" / "journals").glob("*.jsonl")) == ([],)


def test_an_interrupt_that_comes_as_a_function_is_entered(tmp_path: Path) -> None:
    """Python says of it that it came on no line, which pytest cannot show."""
    (tmp_path / "conftest.py").write_text(ON_ENTERING)
    (tmp_path / "test_mine.py").write_text("async def test_mine(run): ...")
    done = run(tmp_path, "run", "--system", "bare", "--scenarios", "test_mine.py")
    assert (done.returncode, done.stderr) == (INTERRUPTED, "")
    assert "INTERRUPTED (exit 130, " in done.stdout


@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize("whom", ["the harness", "its group"])
def test_a_cancelled_job_ends_as_by_ctrl_c(start: Start, jobs: str, whom: str, tmp_path: Path) -> None:
    """CI systems send SIGTERM: GitLab to the process, others to all that it has started."""
    started = start(tmp_path, "run", "--system", "bare", "-k", "broker_paused or entry_silent", "-j", jobs)
    started.wait_for(lambda line: line["kind"] == "fault" and line["event"] == "effective")
    made = started.made()
    if whom == "the harness":
        started.process.terminate()
    else:
        os.killpg(started.process.pid, signal.SIGTERM)
    assert started.process.wait(30) == INTERRUPTED, started.output.read_text()
    assert "INTERRUPTED (exit 130, " in started.output.read_text()
    assert alive(made) == [], started.output.read_text()
    assert not list((tmp_path / "state" / "journals").glob("*.jsonl"))


def test_judged_again_it_is_no_more_than_it_was(start: Start, tmp_path: Path) -> None:
    started = start(tmp_path, "run", "--system", "bare", "-k", "broker_paused", "-j", "1")
    started.wait_for(lambda line: line["kind"] == "fault" and line["event"] == "effective")
    os.killpg(started.process.pid, signal.SIGINT)
    assert started.process.wait(30) == INTERRUPTED
    (folder,) = tmp_path.glob("reports/*-*")
    assert "left a history and no verdict" in (folder / "index.html").read_text()
    judged = run(tmp_path, "judge", "latest", "--json")
    verdict = json.loads(judged.stdout)
    assert (verdict["exit"], verdict["verdict"]) == (2, "inconclusive"), judged.stderr
    assert all("it was interrupted" in reason for reason in verdict["reasons"])
    assert verdict["scenarios"][0]["operations"]["offered"] > 10
