"""The load's own side: one asyncio program that the runner steers (`_steering`).

Start and stop may come again, in turns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from harness.errors import HistoryError
from harness.history.clock import now_ns
from harness.history.recorder import Recorder
from harness.load import kinds
from harness.load._config import Amount, LoadConfig
from harness.load._noise import Noise
from harness.load._operations import Flight, Operations
from harness.load._reporter import Reporter, Stats
from harness.load._steering import Channel
from harness.load.arrivals import Arrivals
from harness.verdict import Doubt

_PAUSE_NS = 1_000_000  # shorter waits cost a turn of gevent's hub each: half a core at 2,000 arrivals a second
_AT_A_TIME = 128
"""Arrivals offered before answers get their turn, when the load is behind."""
BEHIND_SHARE = 0.95
"""Fewer of the intended arrivals offered is a trouble (docs/guarantees.md, load behind)."""


class Offering(Protocol):
    """What is offered, as the runner's words steer it. It records that it started, stopped, and Locust's totals."""

    async def connect(self) -> None:
        """Connects what connects."""
        ...

    async def start(self, amount: Amount, start_ns: int) -> None:
        """Begins to offer so much."""
        ...

    def burst(self, times: float, seconds: float, start_ns: int) -> None:
        """Offers so much more from `start_ns` on, for so long, that it is `times` the present rate."""
        ...

    async def stop(self) -> None:
        """Offers no more, and waits for the answers that are due."""
        ...

    async def final(self) -> None:
        """The last look at what became of the work; stops first if nobody did."""
        ...


Make = Callable[[LoadConfig, Recorder, asyncio.TaskGroup], Offering]


async def serve(channel: Channel, stats: Stats) -> None:
    """Offers the workloads of our own kinds as the runner says, until it says `final`."""
    channel.tell("ready")
    config = LoadConfig.from_json((await channel.next())["config"])
    await conduct(channel, config, lambda config, recorder, tasks: _Session(config, recorder, tasks, stats))


async def conduct(channel: Channel, config: LoadConfig, make: Make) -> None:
    """Steers one offering, from its configuration to `final`, and keeps its recorder."""
    async with asyncio.TaskGroup() as tasks:
        recorder = Recorder(Path(config.history), name=config.name, nonce=config.nonce, writer=config.writer)
        for secret in config.secrets:
            recorder.secret(secret)
        offering = make(config, recorder, tasks)
        channel.tell("configured")
        while (command := await channel.next())["do"] != "final":
            match command["do"]:
                case "connect":
                    await offering.connect()
                    channel.tell("connected")
                case "start":
                    start_ns = command.get("start_ns")
                    if start_ns is None:
                        await offering.connect()
                    await offering.start(Amount.of(command), start_ns or now_ns())
                    channel.tell("started")
                case "burst":
                    start_ns = command.get("start_ns") or now_ns()
                    offering.burst(float(command["times"]), float(command["seconds"]), start_ns)
                    channel.tell("bursting")
                case _:
                    await offering.stop()
                    channel.tell("stopped")
        await offering.final()
    recorder.close()
    channel.tell("finished")
    await channel.close()


class _Session:
    """Our own kinds of workload under way; see `Offering`."""

    def __init__(self, config: LoadConfig, recorder: Recorder, tasks: asyncio.TaskGroup, stats: Stats) -> None:
        self._config, self._recorder, self._stats, self._tasks = config, recorder, stats, tasks
        self._reporter, self._noise = Reporter(stats), Noise(recorder)
        self._background = [tasks.create_task(self._reporter.run()), tasks.create_task(self._noise.run())]
        flight = Flight(config.most_in_flight, recorder)
        self._kinds: dict[str, kinds.Kind] = {}
        self._rates = {name: float(workload["rate"]) for name, workload in config.workloads.items()}
        self._operations: list[Operations] = []
        for name, workload in config.workloads.items():
            operations = Operations(workload["kind"], name, recorder=recorder, reporter=self._reporter, flight=flight)
            self._operations.append(operations)
            self._kinds[name] = kinds.make(workload["kind"], workload, operations, config, tasks)
        self._flight = flight
        self._arrivals: dict[str, Arrivals] = {}
        self._bursts: list[tuple[str, Arrivals]] = []
        self._offering: list[asyncio.Task[None]] = []

    async def connect(self) -> None:
        """Connects what connects."""
        await asyncio.gather(*(kind.start() for kind in self._kinds.values()))

    async def start(self, amount: Amount, start_ns: int) -> None:
        """Begins to offer our part of each workload that is named, from `start_ns` on."""
        part, parts = self._config.part, self._config.parts
        for operations in self._operations:
            operations.pad(amount.padding)
        self._arrivals = {
            name: Arrivals(rate * amount.times, start_ns, part, parts)
            for name, rate in self._rates.items()
            if amount.names(name)
        }
        rates = {name: arrivals.rate / parts for name, arrivals in self._arrivals.items()}
        self._line("load", event="started", t_ns=start_ns, times=amount.times, rates=rates, padding=amount.padding)
        self._offering = [
            self._tasks.create_task(self._offer(self._kinds[name], arrivals))
            for name, arrivals in self._arrivals.items()
        ]

    def burst(self, times: float, seconds: float, start_ns: int) -> None:
        """Offers more beside the usual arrivals, which go on as they are."""
        part, parts, until_ns = self._config.part, self._config.parts, start_ns + int(seconds * 1e9)
        for name, usual in self._arrivals.items():
            more = Arrivals(usual.rate * (times - 1), start_ns, part, parts, until_ns=until_ns)
            self._bursts.append((name, more))
            self._offering.append(self._tasks.create_task(self._offer(self._kinds[name], more)))
        self._line("load", event="burst", t_ns=start_ns, times=times, until_ns=until_ns)

    async def stop(self) -> None:
        """Ends the arrivals, waits for the answers that are due, and counts."""
        stop_ns = now_ns()
        self._line("load", event="stopping", t_ns=stop_ns)
        for task in self._offering:
            task.cancel()
        if self._offering:
            await asyncio.wait(self._offering)
        arrivals = {name: (one.taken, one.intended(stop_ns)) for name, one in self._arrivals.items()}
        for name, one in self._bursts:
            offered, intended = arrivals[name]
            arrivals[name] = (offered + one.taken, intended + one.intended(stop_ns))
        self._offering, self._arrivals, self._bursts = [], {}, []
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
            while not arrivals.over:
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
