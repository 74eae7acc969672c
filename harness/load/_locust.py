"""One Locust in a process of its own: started, steered (`_steering`), and seen to end."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from secrets import token_hex
from typing import Any

from harness.errors import HarnessError, StartError
from harness.load import locustfile_path, teamfile_path
from harness.load._config import CONTROL_VARIABLE, KINDS_VARIABLE, LONGEST_MESSAGE, PROOF_VARIABLE, Amount, LoadConfig
from harness.load._process import Process, Spawn
from harness.runtime.ports import LOOPBACK, free_port

_LOCUST_ENDS_WITHIN_S = 5.0
_GRACE_S = 10.0
"""What stopping may take beyond the longest deadline of an answer."""


def ours(processes: int) -> list[str]:
    """Locust's arguments for our own kinds: one User, or one for each of so many workers."""
    arguments = ["-f", str(locustfile_path()), "-u", str(processes), "-r", str(processes)]
    if processes == 1:
        return arguments
    port = str(free_port())
    master = ["--master-bind-host", LOOPBACK, "--master-bind-port", port, "--master-host", LOOPBACK]
    return [*arguments, "--processes", str(processes), *master, "--master-port", port]


def theirs(file: Path) -> list[str]:
    """Locust's arguments for a team's locustfile, before which it loads ours that records."""
    return ["-f", f"{teamfile_path()},{file}"]


class Locust:
    """One Locust, from its process' start to its end; with `--processes`, a master and its workers."""

    def __init__(
        self,
        folder: Path,
        *,
        spawn: Spawn,
        name: str,
        arguments: Sequence[str],
        kinds: Sequence[str] = (),
        run_time_s: float,
    ) -> None:
        """`arguments` is what `ours` or `theirs` says; see `driver.Load` for the rest."""
        self._folder, self._spawn, self._name = folder.absolute(), spawn, name
        self._arguments, self._kinds, self._run_time_s = arguments, kinds, run_time_s
        self._config: LoadConfig | None = None
        self._process: Process | None = None
        self._workers: list[int] = []
        self._writer: asyncio.StreamWriter | None = None
        self._reader: asyncio.StreamReader | None = None

    @property
    def alive(self) -> bool:
        """Whether its process runs. One that ended before `final` leaves a history that is marked incomplete."""
        return self._process is not None and self._process.alive

    @property
    def pid(self) -> int | None:
        """The process, once there is one; Locust's master where several carry the load."""
        return self._process.pid if self._process else None

    @property
    def pids(self) -> Sequence[int]:
        """All of them: the process itself, and the workers that it forked once it is open."""
        return [*([self.pid] if self.pid else []), *self._workers]

    async def open(self, *, within_s: float = 30) -> None:
        """Starts the process and waits until it can be told what to offer. Raises StartError."""
        near, far = socket.socketpair()
        near.setblocking(False)
        with far:
            self._reader, self._writer = await asyncio.open_unix_connection(sock=near, limit=LONGEST_MESSAGE)
            environment = self._environment(far.fileno())
            self._process = self._spawn(self._name, self._command(), environment, self._folder, [far.fileno()])
        self._workers = (await self._told("ready", within_s)).get("pids", [])

    async def configure(self, config: LoadConfig, *, within_s: float = 10) -> None:
        """Tells it what to offer; its files of the history are there after that. Raises StartError where it cannot."""
        self._config = config
        self._say({"do": "configure", "config": config.to_json()})
        await self._told("configured", within_s)

    async def start(self, amount: Amount, *, within_s: float = 10) -> int:
        """Begins to offer so much; the t_ns at which that was so."""
        self._say({"do": "start", **asdict(amount)})
        return int((await self._told("started", within_s))["t_ns"])

    async def burst(self, times: float, seconds: float, *, within_s: float = 2) -> int:
        """Offers for so long so much more that it is `times` the present rate; the t_ns at which that was so."""
        self._say({"do": "burst", "times": times, "seconds": seconds})
        return int((await self._told("bursting", within_s))["t_ns"])

    async def stop(self) -> int:
        """Ends the arrivals and waits for the answers; t_ns at which all were in or past their deadline."""
        self._say({"do": "stop"})
        workloads = self._config.workloads if self._config else {}
        longest_s = max((float(workload["answers_s"]) for workload in workloads.values()), default=0)
        return int((await self._told("stopped", longest_s + _GRACE_S))["t_ns"])

    async def final(self, *, within_s: float = 120) -> int:
        """The last look at what became of the work; t_ns at which the load had closed its files. Its process ends."""
        self._say({"do": "final"})
        return int((await self._told("finished", within_s))["t_ns"])

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
        return [sys.executable, "-P", "-m", "locust", *self._arguments, *bound, *shown]

    def _environment(self, control: int) -> dict[str, str]:
        """Nothing of ours reaches Locust but what is named here; it would read LOCUST_* and ~/.locust.conf."""
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        package = Path(__file__).resolve().parents[2]
        return {
            **kept,
            "HOME": str(self._folder),
            "PYTHONPATH": str(package),
            CONTROL_VARIABLE: str(control),
            PROOF_VARIABLE: token_hex(16),
            KINDS_VARIABLE: ",".join(self._kinds),
        }

    def _say(self, message: Mapping[str, object]) -> None:
        if self._writer is None:
            raise HarnessError("the load was not opened", where=self._name)
        self._writer.write(json.dumps(message).encode() + b"\n")

    async def _told(self, word: str, within_s: float) -> dict[str, Any]:
        """Waits for a word of the load. Raises StartError where it ends instead, HarnessError where it is late."""
        assert self._reader is not None
        try:
            async with asyncio.timeout(within_s):
                line = await self._reader.readline()
                if not line:
                    raise await self._ended(word)
        except TimeoutError as error:
            raise HarnessError(f"the load was not {word} within {within_s:g} s", where=self._name) from error
        message: dict[str, Any] = json.loads(line)
        if message["is"] != word:
            raise HarnessError(f"the load says it is {message['is']}, not {word}", where=self._name)
        return message

    async def _ended(self, word: str) -> StartError:
        assert self._process is not None
        how = await self._process.wait()
        last = "\n    ".join(self._process.lines)
        return StartError(f"the load ended ({how}) before it was {word}:\n    {last}", where=self._name)
