"""What the tests of the load share: a broker, the misbehaving entry, and a load over them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nats
from nats.js import JetStreamContext

from harness.history.reader import History
from harness.history.rows import Operation
from harness.load._config import OP, REF
from harness.load.driver import Load, LoadConfig
from harness.load.live import LiveView
from harness.runtime._child import Child
from harness.runtime.journal import Journal
from tests.stopping import stand_still

NONCE = "7f3a9k2m"
NAME = "load-0"
SERVER = Path(sys.executable).with_name("nats-server")


@dataclass
class Broker:
    """A nats-server of ours, which can be stopped, killed and started again on its port and store."""

    folder: Path
    process: subprocess.Popen[bytes]
    port: int

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def signal(self, number: int) -> None:
        """Send it, and where it stops the broker, wait until every thread stands."""
        if number == signal.SIGSTOP:
            stand_still(self.process.pid)
        else:
            self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def start(self) -> None:
        self.process, _ = _server(self.folder, self.port)


@contextmanager
def broker(folder: Path) -> Iterator[Broker]:
    process, port = _server(folder, -1)
    made = Broker(folder, process, port)
    try:
        yield made
    finally:
        made.signal(signal.SIGCONT)
        made.kill()


def _server(folder: Path, port: int) -> tuple[subprocess.Popen[bytes], int]:
    for old in folder.glob("*.ports"):
        old.unlink()
    argv = [str(SERVER), "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(folder), "--ports_file_dir", str(folder)]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    told = _until(lambda: next((text for p in folder.glob("*.ports") if (text := p.read_text())), ""), "its ports file")
    return process, int(json.loads(told)["nats"][0].rpartition(":")[2])


def _until(look: Any, what: str, within_s: float = 10) -> Any:
    deadline = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < deadline, f"no {what} within {within_s} s"
        time.sleep(0.01)
    return found


@contextmanager
def stub() -> Iterator[str]:
    """The misbehaving entry's address."""
    process = subprocess.Popen([sys.executable, "-m", "tests.load.stub"], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


@asynccontextmanager
async def stream(broker: Broker, name: str = "S", **options: Any) -> AsyncIterator[JetStreamContext]:
    """A stream on `<name>.>`, and a way to the broker past the load."""
    client = await nats.connect(broker.url, max_reconnect_attempts=-1, reconnect_time_wait=1)
    try:
        context = client.jetstream()
        await context.add_stream(name=name, subjects=[f"{name}.>"], **options)
        yield context
        await context.delete_stream(name)
    finally:
        await client.close()


def http(url: str, how: str, polled: str = "done", *, rate: float = 20, method: str = "POST") -> dict[str, Any]:
    """A workload over the misbehaving entry."""
    return {
        "kind": "http-async",
        "rate": rate,
        "answers_s": 0.5 if how == "slow" else 2,
        "submit": {
            "method": method,
            "url": f"{url}/submit/{how}",
            "json": {"note": f"marker:{OP}"},
            "headers": {"X-Request-Id": OP},
            "accepted": [202],
            "refused": [400, 503],
            "ref": "$.id",
        },
        "poll": {
            "url": f"{url}/things/{polled}/{REF}",
            "every_s": 0.1,
            "done": {"$.state.name": ["complete"]},
            "failed": {"$['state']['name']": ["failed"]},
            "gone": [404],
            "proof": {"$.note": f"marker:{OP}"},
        },
    }


def jetstream(url: str, *, rate: float = 200, stream: str = "S", consume: bool = False) -> dict[str, Any]:
    """A workload that publishes to `<stream>.work`."""
    publish = {"url": url, "subject": f"{stream}.work"}
    return {"kind": "jetstream", "rate": rate, "answers_s": 2, "publish": publish, "stream": stream, "consume": consume}


@dataclass
class Lab:
    """A load that was configured, and where it writes."""

    load: Load
    history: Path
    live: LiveView

    def read(self) -> History:
        return History.open(self.history)

    def totals(self) -> dict[str, Any]:
        return [line for line in self.read().lines("load") if line["event"] == "totals"][-1]


@asynccontextmanager
async def load(
    folder: Path,
    workloads: Mapping[str, Mapping[str, Any]],
    *,
    processes: int = 1,
    locustfiles: Mapping[str, Path] | None = None,
    **config: Any,
) -> AsyncIterator[Lab]:
    """A load under way; its processes are ended with the block."""
    state, os.environ["NATS_HARNESS_STATE"] = os.environ.get("NATS_HARNESS_STATE"), str(folder)
    try:
        journal = Journal.create("tests")
    finally:
        del os.environ["NATS_HARNESS_STATE"]
        if state is not None:
            os.environ["NATS_HARNESS_STATE"] = state
    children: list[Child] = []

    def spawn(name: str, argv: Any, env: Any, cwd: Path, fds: Any) -> Child:
        children.append(Child(name, argv, env=env, cwd=cwd, journal=journal, on_line=lambda _t, _s: None, fds=fds))
        return children[-1]

    history = folder / "history"
    kinds = [workload["kind"] for workload in workloads.values()]
    processes = processes if len(locustfiles or {}) < len(workloads) else 0
    made = Load(folder, spawn=spawn, processes=processes, locustfiles=locustfiles, kinds=kinds)
    try:
        await made.open()
        settings = {"nonce": NONCE, "writer": 0, "name": NAME, "history": str(history), "workloads": workloads}
        await made.configure(LoadConfig(**{**settings, **config}))
        yield Lab(made, history, LiveView(history, writers=made.writers, sights=made.names))
    finally:
        await made.close()
        for child in children:
            child.close()
        journal.close()


async def until(met: Callable[[], bool], lab: Lab, within_s: float = 10) -> None:
    """Waits until it is so, as of the load's own view."""
    deadline = time.monotonic() + within_s
    lab.live.update()
    while not met():
        assert time.monotonic() < deadline, f"not within {within_s} s: {lab.live.counts()}"
        await asyncio.sleep(0.05)
        lab.live.update()


def by_workload(history: History) -> dict[str, list[Operation]]:
    found: dict[str, list[Operation]] = {}
    for operation in history.operations():
        found.setdefault(operation.workload, []).append(operation)
    return found
