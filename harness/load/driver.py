"""The runner's side of a load: starts Locust, steers it, and sees it end.

    load = load_of(system, folder, spawn=runtime.child)
    await load.open()          # Locust is up, which takes seconds and needs nothing of the system
    await load.configure(config_of(system, ...))
    await load.start(times=2)  # arrivals begin
    await load.stop()          # no more arrivals; every answer is in or past its deadline; Locust's totals are written
    await load.final()         # the last poll, the read of a stream; the processes end
    await load.close()         # on every way out

What the load did is in the history. `LiveView` follows it there while it is being written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import JsonValue

from harness.errors import HarnessError
from harness.load._config import MOST_IN_FLIGHT, OP, PAD, REF, Amount, LoadConfig, part_name
from harness.load._locust import Locust, ours, theirs
from harness.load._process import Spawn
from harness.load.live import Counts, LiveView, Open
from harness.runtime._together import together
from harness.system.model import OFFERING, SystemFile, with_op
from harness.system.model import Locust as Locustfile
from harness.system.placeholders import render_tree

__all__ = ["Amount", "Counts", "LiveView", "Load", "LoadConfig", "Open", "Spawn", "config_of", "followed", "load_of"]

NAME = "load-0"
"""The recorder of the load's first process."""


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

    `values` holds what the placeholders of what is offered stand for: the *links'* addresses ("web.url"), and
    what `prepare` kept ("token"). `workloads` names those to offer, all if empty. `direct` is the first broker's
    address past every proxy and `connect` the credentials there, with no placeholder left; `secrets` are kept out of
    the history. Raises UnknownName for a placeholder without a value, UsageError for an address on another machine.
    """
    tables: dict[str, dict[str, JsonValue]] = {}
    filled = {**values, "op": OP, "ref": REF, "pad": PAD}
    for workload in workloads or system.workloads:
        dumped = system.workloads[workload].model_dump(mode="json", by_alias=True, exclude_none=True)
        tables[workload] = {
            key: render_tree(value, filled) if key in OFFERING else value
            for key, value in dumped.items()
            if key not in ("effects", "dead", "taps", "results_s")
        }
        tables[workload]["effects"] = system.workloads[workload].effects is not None
        if isinstance(system.workloads[workload], Locustfile):
            tables[workload]["folder"] = str(system.path.parent)
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
    """The workloads whose operations are seen to become terminal while the load runs: polled, consumed by us, done."""
    found = done(system)
    for name, workload in system.workloads.items():
        if getattr(workload, "poll", None) is not None or getattr(workload, "consume", False):
            found.append(with_op(name) if isinstance(workload, Locustfile) else name)
    return found


def done(system: SystemFile) -> list[str]:
    """The workloads whose operations are at their end once their effect is seen: nobody asks after them otherwise."""
    return [
        with_op(name) if isinstance(workload, Locustfile) else name
        for name, workload in system.workloads.items()
        if workload.ends_by_effect
    ]


def load_of(system: SystemFile, folder: Path, *, spawn: Spawn) -> Load:
    """The load of a system: its kinds of ours in the processes that it asks for, each locustfile in one of its own."""
    files = {
        name: system.path.parent / workload.file
        for name, workload in system.workloads.items()
        if isinstance(workload, Locustfile)
    }
    processes = system.load.processes if len(files) < len(system.workloads) else 0
    kinds = {workload.kind for workload in system.workloads.values()}
    return Load(folder, spawn=spawn, processes=processes, locustfiles=files, kinds=sorted(kinds))


@dataclass(frozen=True)
class _Share:
    """What one Locust carries: writers from `part` on, and a locustfile's workload (None: all others)."""

    locust: Locust
    part: int
    workload: str | None = None


class Load:
    """One load, from its processes' start to their end."""

    def __init__(
        self,
        folder: Path,
        *,
        spawn: Spawn,
        processes: int = 1,
        locustfiles: Mapping[str, Path] | None = None,
        kinds: Sequence[str] = (),
        run_time_s: float = 3600,
    ) -> None:
        """`folder` is where Locust runs; `run_time_s` after its start it ends by itself, whatever happens to us.

        So many `processes` of Locust's carry the workloads of our own kinds; each of `locustfiles`, by the workload's
        name, has a Locust of its own. `kinds` are imported while Locust starts, others when they are configured. Each
        process is a writer and a recorder of its own: load-0, load-1 ...
        """
        files = dict(locustfiles or {})
        self.writers = range(processes + len(files))
        self.names = [part_name(NAME, part) for part in self.writers]
        shares: list[tuple[int, str | None, list[str]]] = [(0, None, ours(processes))] if processes else []
        shares += [(processes + n, name, theirs(file)) for n, (name, file) in enumerate(files.items())]

        def locust(part: int, arguments: Sequence[str]) -> Locust:
            name = self.names[part]
            return Locust(folder, spawn=spawn, name=name, arguments=arguments, kinds=kinds, run_time_s=run_time_s)

        self._shares = [_Share(locust(part, arguments), part, workload) for part, workload, arguments in shares]
        self._started: list[_Share] = []
        self._ours: list[str] = []

    @property
    def alive(self) -> bool:
        """Whether all of it runs. A process that ended before `final` leaves a history that is marked incomplete."""
        return all(share.locust.alive for share in self._shares)

    @property
    def pids(self) -> Sequence[int]:
        """Its processes: each Locust, and the workers that it forked once it is open."""
        return [pid for share in self._shares for pid in share.locust.pids]

    async def open(self, *, within_s: float = 30) -> None:
        """Starts the processes and waits until they can be told what to offer. Raises StartError."""
        await together([share.locust.open(within_s=within_s) for share in self._shares])

    async def configure(self, config: LoadConfig, *, within_s: float = 10) -> None:
        """Tells it what to offer; its files of the history are there after that. Raises StartError where it cannot."""
        files = [share.workload for share in self._shares if share.workload]
        self._ours = rest = [name for name in config.workloads if name not in files]
        await together(
            [
                share.locust.configure(
                    replace(
                        config,
                        writer=config.writer + share.part,
                        name=self.names[share.part],
                        workloads={
                            name: config.workloads[name] for name in ([share.workload] if share.workload else rest)
                        },
                    ),
                    within_s=within_s,
                )
                for share in self._shares
            ]
        )

    async def start(
        self, times: float = 1.0, *, workloads: Sequence[str] = (), padding: int = 0, within_s: float = 10
    ) -> int:
        """Begins to offer each workload at `times` its rate, a locustfile with `times` its users; t_ns of the last.

        `workloads` names those that are offered, all if empty; `padding` is how many letters each {pad} is.
        """
        amount = Amount(times, tuple(workloads), padding)
        self._started = [
            share
            for share in self._shares
            if any(map(amount.names, [share.workload] if share.workload else self._ours))
        ]
        return max(await together([share.locust.start(amount, within_s=within_s) for share in self._started]))

    async def burst(self, times: float, seconds: float) -> int:
        """Offers for so long so much more of our own kinds that it is `times` the present rate; t_ns of the last.

        Users of a locustfile keep their own pace. Raises HarnessError where there are no others.
        """
        ours = [share.locust for share in self._started if share.workload is None]
        if not ours:
            raise HarnessError("a locustfile's users work at their own pace", fix="burst a workload of another kind")
        return max(await together([locust.burst(times, seconds) for locust in ours]))

    async def stop(self) -> int:
        """Ends the arrivals and waits for the answers; t_ns at which all were in or past their deadline."""
        return max(await together([share.locust.stop() for share in self._started]))

    async def final(self, *, within_s: float = 120) -> int:
        """The last look at what became of the work; t_ns at which the load had closed its files. Its processes end."""
        return max(await together([share.locust.final(within_s=within_s) for share in self._shares]))

    async def close(self) -> None:
        """Ends the processes: by themselves if they have finished, at once if not. Can be called twice, and early."""
        await together([share.locust.close() for share in self._shares])
