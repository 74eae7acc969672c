"""The runner's side of a load: starts Locust in a process of its own, steers it, and sees it end.

    load = Load(folder, spawn=runtime.child)
    await load.open()          # Locust is up, which takes seconds and needs nothing of the system
    await load.configure(config_of(system, ...))
    await load.start(times=2)  # arrivals begin
    await load.stop()          # no more arrivals; every answer is in or past its deadline; Locust's totals are written
    await load.final()         # the last poll, the read of a stream; the process ends
    await load.close()         # on every way out

What the load did is in the history. `LiveView` follows it there while it is being written.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import JsonValue

from harness.errors import HarnessError, StartError
from harness.load import locustfile_path
from harness.load._config import CONTROL_VARIABLE, LONGEST_MESSAGE, MOST_IN_FLIGHT, OP, REF, LoadConfig
from harness.load._process import Process, Spawn
from harness.load.live import Counts, LiveView, Open
from harness.system.model import SystemFile
from harness.system.placeholders import render_tree

__all__ = ["Counts", "LiveView", "Load", "LoadConfig", "Open", "Spawn", "config_of", "followed"]

_LOCUST_ENDS_WITHIN_S = 5.0
_GRACE_S = 10.0
"""What stopping may take beyond the longest deadline of an answer."""


def config_of(
    system: SystemFile,
    *,
    nonce: str,
    writer: int,
    name: str,
    history: Path,
    values: Mapping[str, str],
    workloads: Sequence[str] = (),
    direct: str = "",
    connect: Mapping[str, str] | None = None,
    secrets: Sequence[str] = (),
    most_in_flight: int = MOST_IN_FLIGHT,
) -> LoadConfig:
    """What a load of this system is told.

    `values` holds what the placeholders of submit, poll and publish stand for: the *links'* addresses ("web.url"), and
    what `prepare` kept ("token"). `workloads` names those to offer, all if empty. `direct` is the first broker's
    address past every proxy and `connect` the credentials there, with no placeholder left; `secrets` are kept out of
    the history. Raises UnknownName for a placeholder without a value, UsageError for an address on another machine.
    """
    tables: dict[str, dict[str, JsonValue]] = {}
    filled = {**values, "op": OP, "ref": REF}
    for workload in workloads or system.workloads:
        dumped = system.workloads[workload].model_dump(mode="json", by_alias=True, exclude_none=True)
        tables[workload] = {
            key: render_tree(value, filled) if key in ("submit", "poll", "publish") else value
            for key, value in dumped.items()
            if key not in ("effects", "dead", "taps", "results_s")
        }
    config = LoadConfig(
        nonce=nonce,
        writer=writer,
        name=name,
        history=str(history),
        workloads=tables,
        direct=direct,
        connect=dict(connect or {}),
        secrets=list(secrets),
        most_in_flight=most_in_flight,
    )
    config.check()
    return config


def followed(system: SystemFile) -> list[str]:
    """The workloads whose operations are seen to become terminal while the load runs: polled, or consumed by us."""
    return [name for name, workload in system.workloads.items() if workload.kind != "jetstream" or workload.consume]


class Load:
    """One load, from its process' start to its end."""

    def __init__(self, folder: Path, *, spawn: Spawn, name: str = "load-0", run_time_s: float = 3600) -> None:
        """`folder` is where Locust runs; `run_time_s` after its start it ends by itself, whatever happens to us."""
        self._folder, self._spawn, self._name, self._run_time_s = folder.absolute(), spawn, name, run_time_s
        self._config: LoadConfig | None = None
        self._process: Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._reader: asyncio.StreamReader | None = None

    @property
    def alive(self) -> bool:
        """Whether its process runs. One that ended before `final` leaves a history that is marked incomplete."""
        return self._process is not None and self._process.alive

    @property
    def pid(self) -> int | None:
        """The process, once there is one."""
        return self._process.pid if self._process else None

    async def open(self, *, within_s: float = 30) -> None:
        """Starts the process and waits until it can be told what to offer. Raises StartError."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            self._reader, self._writer = await asyncio.open_unix_connection(sock=ours, limit=LONGEST_MESSAGE)
            environment = self._environment(theirs.fileno())
            self._process = self._spawn(self._name, self._command(), environment, self._folder, [theirs.fileno()])
        await self._told("ready", within_s)

    async def configure(self, config: LoadConfig, *, within_s: float = 10) -> None:
        """Tells it what to offer; its files of the history are there after that. Raises StartError where it cannot."""
        self._config = config
        self._say({"do": "configure", "config": config.to_json()})
        await self._told("configured", within_s)

    async def start(self, times: float = 1.0, *, within_s: float = 10) -> int:
        """Begins to offer each workload at `times` its rate; the t_ns at which that was so."""
        self._say({"do": "start", "times": times})
        return await self._told("started", within_s)

    async def stop(self) -> int:
        """Ends the arrivals and waits for the answers; t_ns at which all were in or past their deadline."""
        self._say({"do": "stop"})
        workloads = self._config.workloads if self._config else {}
        longest_s = max((float(workload["answers_s"]) for workload in workloads.values()), default=0)
        return await self._told("stopped", longest_s + _GRACE_S)

    async def final(self, *, within_s: float = 120) -> int:
        """The last look at what became of the work; t_ns at which the load had closed its files. Its process ends."""
        self._say({"do": "final"})
        return await self._told("finished", within_s)

    async def close(self) -> None:
        """Ends the process: by itself if it has finished, at once if not. Can be called twice, and before `open`."""
        if self._writer:
            self._writer.close()
        if self._process and self._process.alive:
            try:
                async with asyncio.timeout(_LOCUST_ENDS_WITHIN_S):
                    await self._process.wait()
            except TimeoutError:
                await self._process.kill()

    def _command(self) -> list[str]:
        bound = ["--run-time", f"{int(self._run_time_s)}s", "--stop-timeout", "1", "--exit-code-on-error", "0"]
        shown = ["--headless", "--only-summary", "--loglevel", "WARNING"]
        # -P: the folder in which Locust runs is no place to import from
        locust = [sys.executable, "-P", "-m", "locust", "-f", str(locustfile_path())]
        return [*locust, "-u", "1", "-r", "1", *bound, *shown]

    def _environment(self, control: int) -> dict[str, str]:
        """Nothing of ours reaches Locust but what is named here; it would read LOCUST_* and ~/.locust.conf."""
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        package = Path(__file__).resolve().parents[2]
        return {
            **kept,
            "HOME": str(self._folder),
            "PYTHONPATH": str(package),
            CONTROL_VARIABLE: str(control),
        }

    def _say(self, message: Mapping[str, object]) -> None:
        if self._writer is None:
            raise HarnessError("the load was not opened", where=self._name)
        self._writer.write(json.dumps(message).encode() + b"\n")

    async def _told(self, word: str, within_s: float) -> int:
        """Waits for a word of the load. Raises StartError where it ends instead, HarnessError where it is late."""
        assert self._reader is not None
        try:
            async with asyncio.timeout(within_s):
                line = await self._reader.readline()
                if not line:
                    raise await self._ended(word)
        except TimeoutError as error:
            raise HarnessError(f"the load was not {word} within {within_s:g} s", where=self._name) from error
        message = json.loads(line)
        if message["is"] != word:
            raise HarnessError(f"the load says it is {message['is']}, not {word}", where=self._name)
        return int(message["t_ns"])

    async def _ended(self, word: str) -> StartError:
        assert self._process is not None
        how = await self._process.wait()
        last = "\n    ".join(self._process.lines)
        return StartError(f"the load ended ({how}) before it was {word}:\n    {last}", where=self._name)
