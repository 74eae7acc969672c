"""What containers must survive: an engine that fails, subnets that are taken, SIGKILL to the harness itself."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from harness.errors import HarnessError, Missing, UsageError
from harness.runtime import _engine, _subnets, journal
from harness.runtime._engine import JOURNAL_LABEL, Engine, Made
from harness.runtime.containers import Containers

from .conftest import Opener
from .engines import labelled
from .world import BROKER_ALONE, WITH_SERVICES, system

pytestmark = pytest.mark.engine

ROOT = Path(__file__).parents[2]


@pytest.fixture
def kind() -> str:
    return "containers"


# ---- the engine ----

# docker-py leaves the socket to the garbage collector with which it could not connect.
leaves_sockets = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@leaves_sockets
def test_an_engine_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(Missing, match=r"no container engine answers\n  fix: start it"):
        Engine.connect()


@leaves_sockets
def test_an_engine_that_refuses_us_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from docker.transport import unixconn

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(unixconn.UnixHTTPConnection, "connect", refuse)
    with pytest.raises(Missing, match=r"the container engine refuses this user\n  fix: add the user to its group"):
        Engine.connect()
    assert "refuses this user" in _engine.why_not()


class Forward:
    """A socket that leads to the engine's, until it does not any more."""

    def __init__(self, path: Path) -> None:
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen(64)
        self._path, self._ends, self._over = path, list[socket.socket](), False
        threading.Thread(target=self._serve, daemon=True).start()

    def stop(self) -> None:
        """The engine is gone."""
        self._over = True
        self._path.unlink(missing_ok=True)
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _serve(self) -> None:
        while not self._over:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect("/var/run/docker.sock")
            self._ends += [near, far]
            for pair in ((near, far), (far, near)):
                threading.Thread(target=_pump, args=pair, daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


@leaves_sockets
async def test_an_engine_that_dies_in_the_middle_leaves_the_journal_to_a_later_sweep(
    opened: Opener, tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch, engine: Engine
) -> None:
    forward = Forward(tmp_path / "engine.sock")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/engine.sock")
    runtime = await opened(BROKER_ALONE.format(broker=""))
    name, link = runtime.journal.name, runtime.links["load", "broker-0"]
    try:
        forward.stop()
        with pytest.raises(HarnessError, match="container engine"):
            await runtime.broker.pause()
        await link.cut("silent")  # the links do not need it
        await link.mend()
        await runtime.close()
        assert name in labelled(engine)
        (left,) = (state / "journals").iterdir()
        assert left.name == name
        assert "no container engine answers" in journal.undo(left).left[0]
        monkeypatch.delenv("DOCKER_HOST")
        assert journal.undo(left).left == []
        assert name not in labelled(engine)
    finally:
        monkeypatch.delenv("DOCKER_HOST", raising=False)
        journal.undo(state / "journals" / name)


# ---- subnets ----


async def test_where_no_subnet_is_free_it_is_told(opened: Opener, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(_subnets.VARIABLE, "10.222.33.0/28")  # one; the broker and each replica need one
    with pytest.raises(Missing, match=r"there is no free /28 subnet left in 10.222.33.0/28[\s\S]*NATS_HARNESS_SUBNETS"):
        await opened(WITH_SERVICES)
    assert list((state / "journals").iterdir()) == []


def test_a_range_that_is_none_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("somewhere", "10.0.0.0/30", "0.0.0.0/0"):
        monkeypatch.setenv(_subnets.VARIABLE, text)
        with pytest.raises(UsageError, match="is no range of subnets"):
            next(_subnets.candidates([]))


def test_subnets_keep_away_from_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    from ipaddress import IPv4Network

    monkeypatch.setenv(_subnets.VARIABLE, "10.222.0.0/26")
    taken = [IPv4Network("10.222.0.0/28"), IPv4Network("10.222.0.40/29")]
    found = {str(subnet) for subnet in _subnets.candidates(taken)}
    assert found == {"10.222.0.16/28", "10.222.0.48/28"}


async def test_a_subnet_that_the_engine_has_given_away_meanwhile_is_passed_over(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another user's run holds another lock, and may have chosen the same."""
    monkeypatch.setattr(Containers, "_taken", lambda self: [])
    monkeypatch.setattr(_subnets, "_routes", list)
    monkeypatch.setenv(_subnets.VARIABLE, "10.222.44.0/26")
    first = await opened(BROKER_ALONE.format(broker=""))
    second = await opened(BROKER_ALONE.format(broker=""))
    hosts = [node.inside()[0] for runtime in (first, second) for node in runtime.nodes.values()]
    hosts += [link.host for runtime in (first, second) for link in runtime.links.values()]
    assert len(set(hosts)) == 4


# ---- what a SIGKILL leaves ----

SCRIPT = """
import asyncio, sys
from pathlib import Path
from harness.system.loader import load_system
from harness.runtime.containers import Containers

class Quiet:
    def line(self, kind, /, *, t_ns=None, **fields): pass
    def secret(self, text): pass

async def main():
    folder = Path(sys.argv[1])
    system = load_system(folder / "system" / "system.toml")
    runtime = Containers(system, folder=folder, recorder=Quiet(), run=sys.argv[2])
    async def before(): pass
    print("go", flush=True)
    await runtime.open(before)
    print("open", flush=True)
    await asyncio.sleep(1000)

asyncio.run(main())
"""


@contextmanager
def run(folder: Path, name: str) -> Iterator[subprocess.Popen[bytes]]:
    """A run of its own that has begun to start."""
    harness = subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder), name], cwd=ROOT, stdout=subprocess.PIPE)
    with harness:
        try:
            assert harness.stdout is not None
            assert harness.stdout.readline() == b"go\n"
            yield harness
        finally:
            harness.kill()


def journalled(state: Path) -> list[dict[str, object]]:
    """What all journals say was made in the engine."""
    lines = [line for path in state.glob("journals/*.jsonl") for line in path.read_bytes().split(b"\n")[:-1]]
    return [entry for entry in map(json.loads, lines) if entry["is"] == "engine"]


@pytest.mark.parametrize("made", [1, 5, 9, 12])
def test_nothing_is_left_after_sigkill_while_starting(tmp_path: Path, state: Path, engine: Engine, made: int) -> None:
    """Killed once so many things were journalled, of which the engine may still be making some."""
    system(tmp_path / "system", WITH_SERVICES)
    with run(tmp_path, "killed") as harness:
        while len(journalled(state)) < made:
            assert harness.poll() is None
        assert journal.sweep() == []
        harness.send_signal(signal.SIGKILL)
        harness.wait()
    (name,) = [path.name for path in (state / "journals").iterdir()]
    (done,) = journal.sweep()
    assert done.left == []
    assert name not in labelled(engine)
    assert list(state.glob("journals/*")) == []


def test_of_two_runs_one_is_killed_and_the_other_goes_on(tmp_path: Path, state: Path, engine: Engine) -> None:
    for name in ("living", "killed"):
        (tmp_path / name).mkdir()
        system(tmp_path / name / "system", BROKER_ALONE.format(broker=""))
    with run(tmp_path / "living", "living") as living:
        assert living.stdout is not None
        assert living.stdout.readline() == b"open\n"
        with run(tmp_path / "killed", "killed") as killed:
            assert killed.stdout is not None
            assert killed.stdout.readline() == b"open\n"
            names = {path.stem.partition("-")[0]: path.name for path in (state / "journals").iterdir()}
            killed.send_signal(signal.SIGKILL)
            killed.wait()
        (done,) = journal.sweep()
        assert done.journal == names["killed"]
        assert done.left == []
        left = labelled(engine)
        assert names["killed"] not in left
        assert names["living"] in left
        running = engine.tools.client.containers.list(filters={"label": f"{JOURNAL_LABEL}={names['living']}"})
        assert len(running) == 2
    journal.sweep()
    assert names["living"] not in labelled(engine)


def test_what_does_not_bear_the_journals_label_is_left_alone(engine: Engine, tmp_path: Path) -> None:
    name = f"nats-harness-test-{os.getpid()}"
    volume = engine.tools.client.volumes.create(name, labels={JOURNAL_LABEL: "another.jsonl"})
    try:
        assert _engine.remove("ours.jsonl", [Made("volume", name), Made("container", name)]) == ([], [])
        assert engine.tools.client.volumes.get(name)
        assert _engine.remove("another.jsonl", [Made("volume", name)]) == ([f"volume {name}"], [])
    finally:
        _engine.remove("another.jsonl", [Made("volume", name)])
        volume.client.close()


async def test_the_next_run_sweeps_what_a_dead_one_left(opened: Opener, tmp_path: Path, engine: Engine) -> None:
    (tmp_path / "dead").mkdir()
    system(tmp_path / "dead" / "system", BROKER_ALONE.format(broker=""))
    with run(tmp_path / "dead", "dead") as dead:
        assert dead.stdout is not None
        assert dead.stdout.readline() == b"open\n"
    assert any(name.startswith("dead") for name in labelled(engine))
    await opened(BROKER_ALONE.format(broker=""))
    assert not any(name.startswith("dead") for name in labelled(engine))
