"""A running system with everything that watches it: opened in order, closed in the opposite one.

recorded   the history, from before the first process until after the last
opened     runtime, observers, probe, load; prepared and ready
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from time import monotonic_ns
from typing import TYPE_CHECKING

from harness.errors import HarnessError
from harness.faults import Stage, load_all, tell_evidence
from harness.faults.poison import Poison
from harness.history.clock import take_anchor
from harness.history.reader import History
from harness.history.recorder import Recorder, write_meta
from harness.history.rows import OpId, Outcome
from harness.load.driver import Amount, Load, config_of, done, followed, load_of
from harness.load.live import LiveView
from harness.observe import dead_letters, taps
from harness.observe._base import login_of
from harness.observe.broker import Broker
from harness.observe.connections import Connections
from harness.observe.effects import Direct, Effects
from harness.observe.health import Health
from harness.observe.metrics import Metrics, Target
from harness.observe.noise import WITNESS, Noise
from harness.observe.probe import Probe
from harness.observe.taps import Taps
from harness.run import preparing
from harness.run.meta import counting, looked_at, meta
from harness.run.own import OwnConnection, subject_of
from harness.run.setting import Setting
from harness.run.waiting import Waiting
from harness.runtime._runtime import SystemRuntime
from harness.runtime._together import together
from harness.runtime.choosing import runtime_of
from harness.system.loader import env_values, resolve_hardening, secrets
from harness.system.model import LOAD
from harness.verdict import Doubt

if TYPE_CHECKING:
    from harness.observe._base import Observer

SUBSCRIBED_WITHIN_S = 10.0
POLLED_WITHIN_NS = 400_000_000
"""By then an end is polled: two of the first intervals of a poll."""


@dataclass
class World:
    """What is running. `entry` is the entry's first replica, or `load` where the system has none."""

    setting: Setting
    recorder: Recorder
    runtime: SystemRuntime
    load: Load
    effects: list[Effects]
    observers: list[Observer]
    waiting: Waiting
    stage: Stage
    entry: str

    def in_hand(self, node: str) -> int:
        """Operations that a worker has begun and that have no end yet: the effects tell the one, polls and taps
        the other. Of the entry: what it has accepted, and nobody has learned the end of.

        What a worker began just now is left out, for its end may have come and not been polled yet.
        """
        self.waiting.live.update()
        still_open = {operation.op for operation in self.waiting.live.open()}
        if node == self.entry:
            return len(still_open)
        before_ns = monotonic_ns() - POLLED_WITHIN_NS
        begun = {op for source in self.effects for op in source.begun_by(node, before_ns=before_ns)}
        return len((still_open & begun) - self._heard())

    def _heard(self) -> set[OpId]:
        """The operations whose end was heard on a subject."""
        return {op for source in self.observers if isinstance(source, Taps) for op in source.ended()}

    def _poisons(self) -> Callable[[], list[int]]:
        """When the broker took each poison that is no dead letter yet; none where nobody hears of dead letters."""
        if not any(workload.dead for workload in self.setting.system.workloads.values()):
            return list
        history = History.open(self.setting.folder / "history")
        taken = {one.id: one.end_ns or 0 for one in history.operations(Poison.kind) if one.outcome is Outcome.OK}
        return lambda: [taken[op] for op in taken.keys() - self._heard()]

    async def start_load(self, amount: Amount) -> None:
        """Starts the arrivals of each workload that is offered."""
        rates = (workload.rate for name, workload in self.setting.system.workloads.items() if amount.names(name))
        self.waiting.rate = amount.times * sum(rates)
        with phase(self.recorder, "start_load"):
            await self.load.start(amount.times, workloads=amount.workloads, padding=amount.padding)

    async def stop_load(self) -> None:
        """Stops arrivals, waits for answers, then until all is done or settled, then reads everything to the end."""
        with phase(self.recorder, "stop_load"):
            await self.load.stop()
        with phase(self.recorder, "settle"):
            await self.waiting.settled(self._poisons())
        with phase(self.recorder, "final_reads"):
            async with asyncio.TaskGroup() as reads:
                reads.create_task(self.load.final())
                for observer in self.observers:
                    reads.create_task(observer.final())


@contextmanager
def phase(recorder: Recorder, name: str) -> Iterator[None]:
    """Records how long a part of the scenario took."""
    from_ns = monotonic_ns()
    try:
        yield
    finally:
        now = monotonic_ns()
        recorder.line("phase", t_ns=now, name=name, from_ns=from_ns, to_ns=now)


@asynccontextmanager
async def recorded(setting: Setting) -> AsyncIterator[Recorder]:
    """The scenario's history: begun before anything else, and closed whatever happens."""
    folder = setting.folder / "history"
    folder.mkdir(parents=True)
    write_meta(folder, meta(setting))
    recorder = Recorder(folder, name="runner", nonce=setting.nonce)
    for secret in secrets(setting.system, os.environ):
        recorder.secret(secret)
    try:
        yield recorder
    finally:
        recorder.close()


@asynccontextmanager
async def opened(setting: Setting, recorder: Recorder) -> AsyncIterator[World]:
    """The system, running and watched. Raises StartError where it does not get ready; nothing is left running."""
    first = take_anchor()
    async with AsyncExitStack() as stack:
        world = await _open(setting, recorder, stack)
        try:
            yield world
        finally:
            with phase(recorder, "evidence"):
                tell_evidence(world.stage, History.open(setting.folder / "history", still=True))
            if first.stepped(take_anchor()):
                recorder.line("trouble", name=Doubt.CLOCK_STEPPED, detail="the wall clock was set during the scenario")


async def _open(setting: Setting, recorder: Recorder, stack: AsyncExitStack) -> World:
    load_all()  # here, where nothing is measured yet
    system, environment = setting.system, env_values(setting.system)
    runtime = runtime_of(setting.runtime)(
        system,
        folder=setting.folder,
        recorder=recorder,
        hardening=resolve_hardening(system, setting.hardening) if setting.hardening else None,
        values=environment,
        replicas=setting.replicas,
        without=setting.without,
        run=setting.run,
    )
    history = setting.folder / "history"
    login = login_of(system.broker.connect.model_dump() if system.broker.connect else None, os.environ)
    paths = {
        name: service.ready.http for name, service in system.services.items() if service.ready and service.ready.http
    }
    probe = Probe(runtime, folder=history, nonce=setting.nonce, login=login, paths=paths)
    load = load_of(system, setting.folder, spawn=runtime.child)
    stack.push_async_callback(_closing, recorder, (probe.close, load.close, runtime.close))
    tasks = await stack.enter_async_context(_Watching())
    broker_taps: list[Taps] = []
    streams_made = asyncio.Event()

    async def broker_back() -> None:
        """Our own subscriptions are on the broker, and so are the file's streams once it is there at all."""
        await broker_taps[0].wait_subscribed(within_s=SUBSCRIBED_WITHIN_S)
        if not streams_made.is_set():
            await preparing.make_streams(system, runtime.broker.direct(), login)
            streams_made.set()

    async def before_services() -> None:
        broker = runtime.broker
        host, port = broker.direct(what="host"), int(broker.direct(what="port"))
        wanted = [*taps.subscriptions(system), *dead_letters.subscriptions(system)]
        broker_taps.append(Taps(recorder, host, port, login, wanted))
        monitors = {broker.name: broker.monitor_url}
        connections = Connections(recorder, runtime.links, monitors, runtime.socket_states)
        noise = Noise(recorder, lambda: _groups(runtime, load, probe))
        runtime.witness(WITNESS, noise.witnessed)
        tasks.watch(noise, broker_taps[0], connections, Broker(recorder, monitors), Health(recorder, _looks(runtime)))
        if broker.alive:
            await broker_back()

    if setting.without:  # how soon services start is then asked: nothing of ours starts beside them
        await runtime.open(before_services)
        await together([load.open(), probe.start()])
    else:
        await together([runtime.open(before_services), load.open(), probe.start()])
    direct = {**runtime.addresses(None), **environment}
    with phase(recorder, "prepare"):
        kept = await preparing.prepare(system, direct)
    for secret in kept.values():
        recorder.secret(secret)
    broker = runtime.broker
    past = Direct(
        {**direct, **kept}, system.path.parent, broker.direct(what="host"), int(broker.direct(what="port")), login
    )
    # Two workloads of the same effects are read once, or each would count the other's twice.
    enumerations = {w.effects: f"workloads.{name}.effects" for name, w in system.workloads.items() if w.effects}
    effects = [Effects(recorder, table, past, where=where) for table, where in enumerations.items()]
    config = config_of(
        system,
        nonce=setting.nonce,
        writer=load.writers[0],
        name=load.names[0],
        history=history,
        values={**runtime.addresses(LOAD), **environment, **kept},
        direct=runtime.broker.direct(),
        connect=login,
        secrets=[*secrets(system, os.environ), *kept.values()],
    )
    await load.configure(config)
    await runtime.settle()
    tasks.watch(*effects, Metrics(recorder, _scraped(runtime)))
    entry = next((system.replicas(name)[0] for name in [system.entry()] if name), LOAD)
    clients = [key for key in runtime.links if key[1] == runtime.broker.name]
    connections = tasks.connections()
    promises = system.promises
    waiting = Waiting(
        recorder=recorder,
        live=LiveView(
            history, writers=load.writers, sights=(*load.names, "runner"), followed=followed(system), done=done(system)
        ),
        alive=connections.alive,
        clients=tuple(clients),
        settles_s=setting.settles_s,
        within_s=promises.reconnects_s + promises.works_s + promises.drains_s + setting.settles_s,
    )
    stage = Stage(
        runtime=runtime,
        recorder=recorder,
        probe=probe,
        observers_back=broker_back,
        entry=entry,
        journal=runtime.journal.note,
        injecting=waiting.before_fault,
        mended=waiting.healed,
        own=OwnConnection(runtime.broker.direct(what="host"), int(runtime.broker.direct(what="port")), login),
        subject=subject_of(system),
        burst=load.burst,
    )
    return World(setting, recorder, runtime, load, effects, tasks.observers, waiting, stage, entry)


def _looks(runtime: SystemRuntime) -> dict[tuple[str, str], str]:
    """The URL at which each replica is asked for each of its states."""
    return {
        (node.name, what): runtime.asked_at(node.name, where)
        for node in runtime.nodes.values()
        if node.service in runtime.system.services
        for what, where in looked_at(runtime.system.services[node.service]).items()
    }


def _scraped(runtime: SystemRuntime) -> list[Target]:
    """Each replica of whose metrics the system file names some."""
    found = []
    for node in runtime.nodes.values():
        service = runtime.system.services.get(node.service)
        if service is not None and service.metrics is not None and (names := counting(service)):
            url = runtime.asked_at(node.name, service.metrics.path)
            found.append(Target(node.name, url, names, lambda node=node: node.alive))  # type: ignore[misc]
    return found


class _Watching:
    """The observers' tasks: an observer that fails is a trouble at the end, and never ends the scenario."""

    def __init__(self) -> None:
        self.observers: list[Observer] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> _Watching:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise HarnessError(f"an observer failed: {error!r}") from error

    def watch(self, *observers: Observer) -> None:
        """Starts to read."""
        self.observers += observers
        self._tasks += [asyncio.create_task(observer.watch()) for observer in observers]

    def connections(self) -> Connections:
        """The one that watches connections."""
        return next(observer for observer in self.observers if isinstance(observer, Connections))


async def _closing(recorder: Recorder, closes: Sequence[Callable[[], Coroutine[object, object, None]]]) -> None:
    with phase(recorder, "teardown"):
        await together([close() for close in closes])


def _groups(runtime: SystemRuntime, load: Load, probe: Probe) -> Mapping[str, Iterable[int]]:
    """The processes whose use of the cores is recorded."""
    nodes = runtime.nodes.values()
    return {
        "system": [node.pid for node in nodes if node.pid and node.role != "broker"],
        "broker": [node.pid for node in nodes if node.pid and node.role == "broker"],
        "proxies": [link.proxy_pid for link in runtime.links.values()],
        "load": load.pids,
        "runner": [os.getpid()],
    }
