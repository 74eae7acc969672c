"""The load's own side: one asyncio program that the runner steers by JSON lines over an inherited socket.

    runner -> load    {"do": "configure", "config": ...}, {"do": "start", "times": 1.0}, {"do": "stop"}, {"do": "final"}
    load -> runner    {"is": "ready", "t_ns": ...}, and so "configured", "started", "stopped", "finished"

The state of the work is read from the history, never from these messages. Start and stop may come again, in turns.
The configuration comes this way too, and not as a file: it is known only once the system runs, while Locust takes
seconds to start, and it holds secrets.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness.errors import HistoryError
from harness.history.clock import now_ns
from harness.history.recorder import Recorder
from harness.load import kinds
from harness.load._config import LONGEST_MESSAGE, LoadConfig
from harness.load._noise import Noise
from harness.load._operations import Flight, Operations
from harness.load._reporter import Reporter, Stats
from harness.load.arrivals import Arrivals
from harness.verdict import Doubt

_PAUSE_NS = 1_000_000  # shorter waits cost a turn of gevent's hub each: half a core at 2,000 arrivals a second
_AT_A_TIME = 32
"""Arrivals offered before answers get their turn, when the load is behind."""
BEHIND_SHARE = 0.95
"""Fewer of the intended arrivals offered is a trouble (docs/guarantees.md, load behind)."""
ORPHANED = 3
"""The exit code of a load whose runner went away."""


async def serve(control: socket.socket, stats: Stats) -> None:
    """Offers the load as the runner says, until it says `final`. Leaves the process at once if the runner goes away."""
    reader, writer = await asyncio.open_unix_connection(sock=control, limit=LONGEST_MESSAGE)

    def tell(word: str) -> None:
        writer.write(json.dumps({"is": word, "t_ns": now_ns()}).encode() + b"\n")

    commands: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    async with asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(_listen(reader, commands))
        tell("ready")
        config = LoadConfig.from_json((await commands.get())["config"])
        recorder = Recorder(Path(config.history), name=config.name, nonce=config.nonce, writer=config.writer)
        for secret in config.secrets:
            recorder.secret(secret)
        session = _Session(config, recorder, stats, tasks)
        tell("configured")
        while (command := await commands.get())["do"] != "final":
            if command["do"] == "start":
                await session.start(float(command["times"]))
                tell("started")
            else:
                await session.stop()
                tell("stopped")
        await session.final()
        listening.cancel()
    recorder.close()
    tell("finished")
    await writer.drain()
    writer.close()


async def _listen(reader: asyncio.StreamReader, commands: asyncio.Queue[dict[str, Any]]) -> None:
    with suppress(ConnectionError):
        while line := await reader.readline():
            commands.put_nowait(json.loads(line))
    # The runner is gone: nobody judges what comes now, and the work must end. All that was recorded is in the files.
    os._exit(ORPHANED)


class _Session:
    """The workloads under way."""

    def __init__(self, config: LoadConfig, recorder: Recorder, stats: Stats, tasks: asyncio.TaskGroup) -> None:
        self._recorder, self._stats, self._tasks = recorder, stats, tasks
        self._reporter, self._noise = Reporter(stats), Noise(recorder)
        self._background = [tasks.create_task(self._reporter.run()), tasks.create_task(self._noise.run())]
        flight = Flight(config.most_in_flight, recorder)
        self._kinds: dict[str, kinds.Kind] = {}
        self._rates = {name: float(workload["rate"]) for name, workload in config.workloads.items()}
        for name, workload in config.workloads.items():
            operations = Operations(workload["kind"], name, recorder=recorder, reporter=self._reporter, flight=flight)
            self._kinds[name] = kinds.make(workload["kind"], workload, operations, config, tasks)
        self._flight = flight
        self._arrivals: dict[str, Arrivals] = {}
        self._offering: list[asyncio.Task[None]] = []

    async def start(self, times: float) -> None:
        """Connects what connects, and begins to offer each workload at `times` its rate."""
        await asyncio.gather(*(kind.start() for kind in self._kinds.values()))
        start_ns = now_ns()
        self._arrivals = {name: Arrivals(rate * times, start_ns) for name, rate in self._rates.items()}
        rates = {name: arrivals.rate for name, arrivals in self._arrivals.items()}
        self._line("load", event="started", t_ns=start_ns, times=times, rates=rates)
        self._offering = [
            self._tasks.create_task(self._offer(self._kinds[name], arrivals))
            for name, arrivals in self._arrivals.items()
        ]

    async def stop(self) -> None:
        """Ends the arrivals, waits for the answers that are due, and counts."""
        stop_ns = now_ns()
        self._line("load", event="stopping", t_ns=stop_ns)
        for task in self._offering:
            task.cancel()
        if self._offering:
            await asyncio.wait(self._offering)
        arrivals = {name: (one.taken, one.intended(stop_ns)) for name, one in self._arrivals.items()}
        self._offering, self._arrivals = [], {}
        for name, (offered, intended) in arrivals.items():
            if offered < intended * BEHIND_SHARE:
                self._trouble(Doubt.LOAD_BEHIND, f"{name}: {offered} of {intended} intended arrivals were offered")
        await asyncio.gather(*(kind.settle() for kind in self._kinds.values()))
        self._line("load", event="stopped", arrivals=arrivals)
        self._reporter.drain()
        self._line("load", event="totals", **dict(self._stats.totals()))

    async def final(self) -> None:
        """The last look of every workload; stops the load first if nobody did."""
        if self._offering:
            await self.stop()
        await asyncio.gather(*(kind.final() for kind in self._kinds.values()))
        await asyncio.gather(*(kind.close() for kind in self._kinds.values()))
        for task in self._background:
            task.cancel()

    async def _offer(self, kind: kinds.Kind, arrivals: Arrivals) -> None:
        try:
            while True:
                wait_ns = 0
                for _ in range(_AT_A_TIME):
                    await self._flight.room()
                    intended_ns = arrivals.take(now_ns())
                    if intended_ns is None:
                        wait_ns = max(_PAUSE_NS, arrivals.next_ns - now_ns())
                        break
                    self._noise.slip(now_ns() - intended_ns)
                    await kind.offer(intended_ns)
                await asyncio.sleep(wait_ns / 1e9)
        except HistoryError as error:  # a full disk: what cannot be recorded is not sent
            self._trouble(Doubt.HISTORY_INCOMPLETE, str(error))

    def _trouble(self, name: Doubt, detail: str) -> None:
        self._line("trouble", name=name, detail=detail)

    def _line(self, kind: str, /, **fields: Any) -> None:
        with suppress(HistoryError):  # a full disk, of which the files' headers tell; the load goes on to its end
            self._recorder.line(kind, **fields)


def totals_of(entries: Mapping[tuple[str, str], tuple[int, int]]) -> dict[str, Any]:
    """Locust's counts, (name, kind): (requests, failures), in the shape of the history's line."""
    by_name: dict[str, dict[str, int]] = {}
    for (name, _), (requests, failures) in sorted(entries.items()):
        kept = by_name.setdefault(name, {"requests": 0, "failures": 0})
        kept["requests"] += requests
        kept["failures"] += failures
    return {
        "requests": sum(kept["requests"] for kept in by_name.values()),
        "failures": sum(kept["failures"] for kept in by_name.values()),
        "by_name": by_name,
    }
