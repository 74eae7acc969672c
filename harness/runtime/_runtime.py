"""What both runtimes share: what a system file's words mean to each node, the order of starting, the end.

A runtime says where things are (`place`), makes nodes and links there, and tells what is particular to its nodes.
"""

from __future__ import annotations

import asyncio
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import ClassVar

from harness.errors import HarnessError, UsageError
from harness.runtime import _ready
from harness.runtime._addresses import addresses
from harness.runtime._as_far import COMES_WITHIN_S, as_far_as_they_come
from harness.runtime._broker import BrokerNode, Setup
from harness.runtime._child import Child
from harness.runtime._links import ProxyLink
from harness.runtime._node import Recipe, SystemNode
from harness.runtime._together import to_its_end, together
from harness.runtime.contract import READY_WITHIN_S, Address, Beside, Ends, LinkKey, Recorder
from harness.runtime.journal import Journal, Undone, sweep, undo
from harness.runtime.ports import start_lock
from harness.system.loader import env_values
from harness.system.model import BROKER, LOAD, LinkSpec, Service, SystemFile
from harness.system.placeholders import render

STARTING, RUNNING = 10, 5


class SystemRuntime(ABC):
    """contract.Runtime, as far as it does not matter where the nodes are.

    `folder` is the scenario's own. `hardening` is what the system's variable says; `values` are placeholders beside
    the system's own; `without` names services (or "broker") that are not started, only made; `replicas` are other
    numbers of replicas than the file's. Without a `journal` it makes one of its own, called `run`; close undoes
    whatever is in it. `progress` is told what takes long.
    """

    kind: ClassVar[str]
    """As `--runtime` has it."""

    def __init__(
        self,
        system: SystemFile,
        *,
        folder: Path,
        recorder: Recorder,
        hardening: str | None = None,
        values: Mapping[str, str] | None = None,
        without: frozenset[str] = frozenset(),
        replicas: Mapping[str, int] | None = None,
        journal: Journal | None = None,
        run: str = "run",
        ready_within_s: float = READY_WITHIN_S,
        progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.system = system.scaled(replicas or {})
        self.nodes: dict[str, SystemNode] = {}
        self.links: dict[LinkKey, ProxyLink] = {}
        self._journal, self._opened = journal, False
        self._children: list[Child] = []
        self._witnesses: list[Child] = []
        self._coming: list[asyncio.Task[None]] = []
        self._folder, self._recorder, self._hardening = folder, recorder, hardening
        self._values, self._without, self._run = dict(values or {}), without, run
        self._ready_within_s, self._progress = ready_within_s, progress
        self._specs: dict[LinkKey, LinkSpec] = {}

    @property
    def journal(self) -> Journal:
        """The run's journal; made when it is first needed."""
        if self._journal is None:
            self._journal = Journal.create(self._run)
        return self._journal

    @property
    def broker(self) -> BrokerNode:
        """The broker's first node."""
        node = self.nodes[self.system.nodes()[0]]
        assert isinstance(node, BrokerNode)
        return node

    def addresses(self, source: str | None) -> dict[str, str]:
        """See Runtime."""

        def direct(target: str, port: str) -> Address:
            return self.nodes[target].address(port)

        def by_link(target: str, port: str) -> Address | None:
            link = self.links.get((source or "", target))
            if link is None or self._specs[link.source, target].target_port != port:
                return None
            return link.published if source == LOAD else (link.host, link.port)

        return addresses(self.system, direct if source is None else by_link)

    async def open(self, before_services: Callable[[], Awaitable[None]]) -> None:
        """See Runtime."""
        sweep()
        if self._opened:
            raise UsageError("a runtime is opened once", where=self.system.system.name, fix="make another")
        self._opened = True
        await self._fetch()
        try:
            async with start_lock(self._recorder):
                from_ns = time.monotonic_ns()
                await self._open(before_services)
                to_ns = time.monotonic_ns()
            self._recorder.line("phase", t_ns=to_ns, name="start", from_ns=from_ns, to_ns=to_ns)
        except BaseException:
            with suppress(asyncio.CancelledError):  # who is ended by what we end here does not hide why
                await to_its_end(self.close())
            raise

    async def close(self) -> None:
        """See Runtime. Whoever is cancelled meanwhile waits for it all the same."""
        if self._journal is None:
            return
        journal, self._journal = self._journal, None
        for task in self._coming:
            task.cancel()
        for node in self.nodes.values():
            node.closing()
        done = await to_its_end(self._undone(journal))
        of_nodes, of_links = ([one.process for one in all_] for all_ in (self.nodes.values(), self.links.values()))
        for process in (*of_nodes, *of_links, *self._children, *self._witnesses):
            if process is not None and (not process.alive or not done.left):
                process.close()
        self._release()
        if done.left:
            journal.release()
        else:
            journal.close()

    def child(
        self, name: str, argv: Sequence[str], env: Mapping[str, str], cwd: Path, fds: Sequence[int] = ()
    ) -> Child:
        """A process of the harness' own (the load), which is journalled and ended with the rest.

        To be called in the loop, in the main thread. Its lines are recorded as a node's are. Raises StartError.
        """

        def heard(t_ns: int, text: str) -> None:
            self._recorder.line("output", t_ns=t_ns, node=name, text=text)

        child = Child(name, argv, env=env, cwd=cwd, journal=self.journal, on_line=heard, fds=fds)
        self._children.append(child)
        child.give_way(STARTING)
        return child

    def witness(self, argv: Sequence[str], heard: Callable[[str], None]) -> None:
        """Starts a process with the weight of a service, each of whose lines is `heard`. Raises StartError."""
        child = Child(
            "witness", argv, env={}, cwd=self._folder, journal=self.journal, on_line=lambda _, line: heard(line)
        )
        self._witnesses.append(child)
        child.give_way(RUNNING)

    def asked_at(self, node: str, where: str) -> str:
        """What the system file gives as a path or a URL (`ready`, `health`), as that node's URL past the proxies."""
        there = self.nodes[node]
        path = render(where, {**self.addresses(None), **self._own_values(there)})
        return there.direct() + path if path.startswith("/") else path

    async def settle(self) -> None:
        """All is up, the harness' own processes too, which give way to nobody any more. Raises StartError.

        Unless the broker is absent: then a service may fail, and that is for the scenario to judge.
        """
        if BROKER not in self._without:
            await together(node.check_up() for node in self.nodes.values())
        for child in self._children:
            child.give_way(0)

    # ---- what a runtime adds ----

    @abstractmethod
    async def _fetch(self) -> None:
        """Finds or makes whatever is started; can take long, and holds no lock. Raises Missing."""

    @abstractmethod
    async def _make(self, specs: Mapping[LinkKey, LinkSpec]) -> None:
        """Makes nodes and links, and where they will be; starts none of them."""

    @abstractmethod
    async def _setup(self, node: BrokerNode) -> Setup:
        """How the broker is run."""

    @abstractmethod
    def _complete(self, node: SystemNode, service: Service, recipe: Recipe) -> Recipe:
        """Checks that a service can run here, and adds what is particular to that. Raises UsageError or Missing."""

    @abstractmethod
    def _by_command(self, node: SystemNode, recipe: Recipe, command: Sequence[str]) -> _ready.Look:
        """A readiness command, run where the node is."""

    @abstractmethod
    async def beside(self, module: str, *arguments: str, folder: Path) -> Beside:
        """See Runtime."""

    @abstractmethod
    async def socket_states(self, connections: Sequence[Ends]) -> Mapping[Ends, str]:
        """See Runtime."""

    python: ClassVar[str]
    """`{python}`."""

    @abstractmethod
    async def _made(self) -> None:
        """Every node has its recipe now: whatever can be prepared before it starts."""

    @abstractmethod
    async def _host_links(self) -> None:
        """Starts whatever the links' proxies run in."""

    async def _undone(self, journal: Journal) -> Undone:
        """Undoes the journal. Waits for nothing in the loop where that is quick."""
        return undo(journal.path)

    @abstractmethod
    def _release(self) -> None:
        """Gives back what was reserved."""

    # ---- starting ----

    async def _open(self, before_services: Callable[[], Awaitable[None]]) -> None:
        for secret in (environment := env_values(self.system)).values():
            self._recorder.secret(secret)
        self._values |= environment
        self._specs = self._links_by_key()
        await self._make(self._specs)
        started = [node for node in self.nodes.values() if node.service not in self._without]
        brokers = [node for node in started if isinstance(node, BrokerNode)]
        services = [node for node in started if not isinstance(node, BrokerNode)]
        for node in self.nodes.values():
            if isinstance(node, BrokerNode):
                await node.prepare(self.system, await self._setup(node))
            else:
                node.recipe = self._recipe(node)
        await self._made()
        await together([*map(self._up, brokers), self._make_links()])
        await before_services()
        await together(link.open() for node in brokers for link in node.incoming)
        starts = {node.name: self._up(node, open_links=True) for node in services}
        if BROKER in self._without:
            self._coming = await as_far_as_they_come(starts, self._recorder)
        else:
            await together(starts.values())

    async def _make_links(self) -> None:
        await self._host_links()
        await together(link.make() for link in self.links.values())

    async def _up(self, node: SystemNode, *, open_links: bool = False) -> None:
        await node.start()
        if node.process is not None and BROKER not in self._without:  # or how soon it is there would be our doing
            node.process.give_way(STARTING)
        within_s = COMES_WITHIN_S if BROKER in self._without else self._ready_within_s
        await node.come_up(within_s=within_s, open_links=open_links)
        if node.process is not None:
            node.process.give_way(RUNNING)

    # ---- what the file's words mean ----

    def _replicas(self) -> Iterator[tuple[Service, str, str]]:
        """Each service with its name, and the name of each of its replicas."""
        for name, service in self.system.services.items():
            for replica in self.system.replicas(name):
                yield service, name, replica

    def _links_by_key(self) -> dict[LinkKey, LinkSpec]:
        specs: dict[LinkKey, LinkSpec] = {}
        for spec in self.system.links():
            other = specs.setdefault((spec.source, spec.target), spec)
            if other != spec:
                raise UsageError(
                    f"{spec.source} calls two ports of {spec.target}, {other.target_port!r} and {spec.target_port!r}:"
                    " a link leads to one, for now",
                    where=self.system.where("services", spec.target.rpartition("-")[0]),
                    fix="name the same port in each placeholder",
                )
        return specs

    def _recipe(self, node: SystemNode) -> Recipe:
        service = self.system.services[node.service]
        own = self._own_values(node)
        values = {**self.addresses(node.name), **own}
        environment = {name: render(text, values) for name, text in service.env.items()}
        if self._hardening is not None and self.system.hardening is not None:
            environment[self.system.hardening.variable] = self._hardening
        command = [render(text, values) for text in service.command]

        async def argv(version: str | None) -> list[str]:
            if version is not None:
                raise HarnessError("only a broker is started with another version", where=node.name)
            return command

        recipe = Recipe(
            argv,
            environment,
            self.system.path.parent,
            files={path: render(text, values) for path, text in service.files.items()},
            stop_signal=signal.Signals[f"SIG{service.stop.signal}"],
            grace_s=service.stop.grace,
        )
        recipe = self._complete(node, service, recipe)
        recipe.ready = self._ready(node, service, own, recipe)
        return recipe

    def _own_values(self, node: SystemNode) -> dict[str, str]:
        values = {**self._values, "replica": node.name, "dir": str(node.dir), "python": self.python}
        values |= {f"port.{name}": str(port.number) for name, port in node.ports.items()}
        if node.ports:
            values["port"] = str(next(iter(node.ports.values())).number)
        return values

    def _ready(self, node: SystemNode, service: Service, own: Mapping[str, str], recipe: Recipe) -> _ready.Look:
        ready = service.ready
        if ready is None:
            return _ready.all_of()
        if ready.http is not None:
            its_own = node.listens if ready.http.startswith("/") else None
            return _ready.by_http(self.asked_at(node.name, ready.http), its_own)
        if ready.tcp is not None:
            return _ready.by_port(node.address(ready.tcp), partial(node.listens, ready.tcp))
        if ready.log is not None:
            return _ready.by_log(ready.log, lambda: node.last_lines(1000))
        beside = {**addresses(self.system, lambda target, port: self.nodes[target].inside(port)), **own}
        return self._by_command(node, recipe, [render(text, beside) for text in ready.command or ()])
