from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import Missing
from harness.runtime import ports
from harness.runtime.journal import Journal
from harness.runtime.ports import Ports, can_bind, machine_folder, start_lock

from .world import Lines


@pytest.fixture
def journal() -> Iterator[Journal]:
    made = Journal.create("abc")
    yield made
    made.close()


@pytest.fixture
def reserved(journal: Journal) -> Iterator[Ports]:
    made = Ports(journal)
    yield made
    made.release()


def test_ports_are_bindable_and_outside_the_kernels_own_range(reserved: Ports) -> None:
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    found = reserved.reserve(30)
    assert len(set(found)) == 30
    assert all(can_bind(port) and not low <= port <= high for port in found)
    assert all((machine_folder() / str(port)).exists() for port in found)
    reserved.release()
    assert not any((machine_folder() / str(port)).exists() for port in found)


def only(monkeypatch: pytest.MonkeyPatch, *candidates: int) -> None:
    monkeypatch.setattr(ports, "_candidates", lambda number: list(candidates))


def test_a_port_that_somebody_listens_on_is_left_out(reserved: Ports, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        only(monkeypatch, server.getsockname()[1])
        with pytest.raises(Missing, match="free ports"):
            reserved.reserve(1)
        assert not (machine_folder() / str(server.getsockname()[1])).exists()


def test_a_port_of_another_run_is_left_out_while_that_run_lives(
    reserved: Ports, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    (port,) = reserved.reserve(1)
    only(monkeypatch, port)
    other = Ports(journal)
    with pytest.raises(Missing):
        other.reserve(1)
    reserved.release()
    assert other.reserve(1) == [port]
    other.release()


def test_the_lock_of_a_dead_run_is_no_hindrance_and_children_do_not_inherit_it(
    reserved: Ports, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = """if True:
        import os, signal, subprocess
        from harness.runtime.journal import Journal
        from harness.runtime.ports import Ports
        print(*Ports(Journal.create("x")).reserve(1), flush=True)
        quiet = {"close_fds": False, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        print(subprocess.Popen(["sleep", "1000"], **quiet).pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)"""
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(ports.__file__).parents[2], capture_output=True, text=True, check=False
    )
    port, child = map(int, run.stdout.split())
    try:
        assert (machine_folder() / str(port)).exists()
        only(monkeypatch, port)
        assert reserved.reserve(1) == [port]
    finally:
        os.kill(child, 9)


async def test_only_one_start_at_a_time_and_the_wait_is_told(lines: Lines, tmp_path: Path) -> None:
    order = []
    monkey = pytest.MonkeyPatch()
    monkey.setattr("tempfile.tempdir", str(tmp_path))  # others start systems on this machine too

    async def start(name: str) -> None:
        async with start_lock(lines):
            order.append(f"{name} in")
            await asyncio.sleep(0.1)
            order.append(f"{name} out")

    await asyncio.gather(start("a"), start("b"))
    monkey.undo()
    assert order == ["a in", "a out", "b in", "b out"]
    first, second = lines.of("phase", name="start lock")
    assert second["to_ns"] - second["from_ns"] > 9e7 > first["to_ns"] - first["from_ns"]  # type: ignore[operator]
