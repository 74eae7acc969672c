from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from harness.runtime import _proc
from harness.runtime._proc import Identity

Family = Callable[[str], tuple[subprocess.Popen[bytes], Identity]]


@pytest.fixture
def family() -> Iterator[Family]:
    """Starts a shell that leads a session of its own; all that is left of it is ended afterwards."""
    started: list[tuple[subprocess.Popen[bytes], Identity]] = []

    def start(script: str) -> tuple[subprocess.Popen[bytes], Identity]:
        shell = subprocess.Popen(["sh", "-c", script], start_new_session=True)
        identity = _proc.identity(shell.pid)
        assert identity is not None
        started.append((shell, identity))
        return shell, identity

    yield start
    for shell, identity in started:
        _proc.end_sessions([identity], within_s=5)
        shell.wait()


def eventually(condition: Callable[[], bool], within_s: float = 5) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_members_are_found_after_their_leader_died(family: Family) -> None:
    shell, leader = family("sleep 1000 & exec sleep 1001")
    eventually(lambda: len(_proc.members([leader])) == 2)
    shell.kill()
    shell.wait()
    assert not _proc.alive(leader)
    (left,) = _proc.members([leader])
    ended, remain = _proc.end_sessions([leader], within_s=5)
    assert [one.identity for one in ended] == [left.identity]
    assert not remain
    assert not _proc.members([leader])


def test_a_zombie_is_dead(family: Family) -> None:
    shell, leader = family("exit 0")
    eventually(lambda: not _proc.alive(leader))
    assert _proc.identity(shell.pid) == leader
    assert not _proc.members([leader])


def test_a_session_whose_number_belongs_to_another_process_is_not_ours(family: Family) -> None:
    shell, leader = family("sleep 1000 & exec sleep 1001")
    eventually(lambda: len(_proc.members([leader])) == 2)
    other = Identity(leader.pid, leader.start - 1)
    assert not _proc.members([other])
    assert _proc.end_sessions([other], within_s=1) == ([], [])
    assert _proc.signal_one(other, signal.SIGKILL) is None
    assert shell.poll() is None


def test_names_with_brackets_and_blanks_are_read() -> None:
    with open("/proc/self/comm", "r+") as comm:
        before = comm.read().strip()
    try:
        with open("/proc/self/comm", "w") as comm:
            comm.write("a) R 1 (b")
        found = _proc.stat(os.getpid())
    finally:
        with open("/proc/self/comm", "w") as comm:
            comm.write(before)
    assert found is not None
    assert found.session == os.getsid(0)
    assert found.state == "R"


def test_stopped_tasks_are_told(family: Family) -> None:
    shell, leader = family("exec sleep 1000")
    assert _proc.runs(shell.pid)
    os.kill(shell.pid, signal.SIGSTOP)
    eventually(lambda: _proc.task_states(shell.pid) == "T")
    assert not _proc.runs(shell.pid)
    assert _proc.alive(leader)
    assert _proc.end_sessions([leader], within_s=5)[1] == []
