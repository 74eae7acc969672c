"""A broker and a link to it, run for real, with the observers that a test asks for."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, monotonic_ns
from typing import Any

from harness.history.reader import History
from harness.history.recorder import Recorder
from harness.observe._base import Observer
from harness.observe.connections import Connections
from harness.observe.noise import Noise
from harness.runtime._runtime import SystemRuntime
from harness.runtime.choosing import runtime_of
from harness.system.loader import load_system

NONCE = "a1b2c3d4"
LINK = ("load", "broker-0")
MS = 1_000_000


@dataclass
class Lab:
    runtime: SystemRuntime
    recorder: Recorder
    folder: Path
    connections: Connections
    tasks: asyncio.TaskGroup
    watches: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def history(self) -> History:
        return History.open(self.folder / "history")

    def lines(self, *kinds: str) -> list[dict[str, Any]]:
        return self.history.lines(*kinds)

    def watch(self, observer: Observer) -> asyncio.Task[None]:
        self.watches.append(self.tasks.create_task(observer.watch()))
        return self.watches[-1]

    def connection_lines(self, client: str = "", **fields: object) -> list[dict[str, Any]]:
        return [
            line
            for line in self.lines("connection")
            if (not client or line["client"] == client)
            and bool(line.get("probe")) == bool(fields.get("probe"))
            and all(line.get(name) == value for name, value in fields.items())
        ]

    def lag_ms(self) -> float:
        """How late our own loop ever was."""
        return max((line["lag_max_ms"] for line in self.lines("noise")), default=0.0)


@asynccontextmanager
async def lab(folder: Path, system: str = "bare", kind: str = "processes") -> AsyncIterator[Lab]:
    recorder = Recorder(folder / "history", name="runner", nonce=NONCE)
    runtime = runtime_of(kind)(load_system(system), folder=folder, recorder=recorder)
    made: list[Lab] = []
    async with asyncio.TaskGroup() as tasks:

        async def before_services() -> None:
            monitors = {"broker-0": runtime.broker.monitor_url}
            connections = Connections(recorder, runtime.links, monitors, runtime.socket_states)
            made.append(Lab(runtime, recorder, folder, connections, tasks))
            made[0].watch(made[0].connections)
            made[0].watch(Noise(recorder, dict))

        try:
            await runtime.open(before_services)
            yield made[0]
        finally:
            for watch in made[0].watches if made else ():
                watch.cancel()
            await runtime.close()
            recorder.close()


@dataclass
class Client:
    """A client in a process of its own, which tells what it saw and when by its own clock."""

    process: asyncio.subprocess.Process
    told: list[tuple[int, str]] = field(default_factory=list)
    lag_ms: float = 0.0

    @property
    def name(self) -> str:
        """Its first connection, as the proxy's log names it."""
        return next(what.split()[1] for _, what in self.told if what.startswith("connected"))

    def when(self, what: str, after_ns: int = 0) -> int | None:
        return next((t_ns for t_ns, told in self.told if told.split()[0] == what and t_ns >= after_ns), None)

    async def read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            t_ns, what = json.loads(line)
            if what == "lag":
                self.lag_ms = max(self.lag_ms, t_ns / MS)
            else:
                self.told.append((t_ns, what))

    def say(self, word: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(word.encode() + b"\n")


@asynccontextmanager
async def client() -> AsyncIterator[Client]:
    """tests/observe/client.py, which is then told where to connect to."""
    argv = (sys.executable, str(Path(__file__).with_name("client.py")))
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe)
    one = Client(process)
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(one.read())
        try:
            yield one
        finally:
            process.kill()
            await process.wait()
            reading.cancel()


async def until(true: Callable[[], object], *, within_s: float) -> None:
    """Waits for a condition, and says so where it did not come true."""
    deadline = monotonic() + within_s
    while not true():
        assert monotonic() < deadline, f"not within {within_s} s"
        await asyncio.sleep(0.02)


async def held(seconds: float) -> int:
    """The time that a fault lasts; t_ns of its end."""
    await asyncio.sleep(seconds)
    return monotonic_ns()


Act = Callable[[], Coroutine[None, None, int]]
