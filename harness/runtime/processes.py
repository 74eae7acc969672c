"""The process runtime: the same binaries as in containers, as child processes on loopback."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from harness.errors import HarnessError, UsageError
from harness.runtime import _ready, binaries
from harness.runtime._addresses import addresses
from harness.runtime._broker import BrokerNode
from harness.runtime._child import Child
from harness.runtime._links import ProxyLink
from harness.runtime._node import Port, ProcessNode, Recipe, base_environment
from harness.runtime._together import together
from harness.runtime.contract import LinkKey, Recorder
from harness.runtime.journal import Journal, sweep, undo
from harness.runtime.ports import Ports, start_lock
from harness.system.loader import env_values
from harness.system.model import LinkSpec, Service, SystemFile
from harness.system.placeholders import render

READY_WITHIN_S = 30.0
STARTING, RUNNING = 10, 5


class Processes:
    """contract.Runtime with child processes.

    `folder` gets a folder for each node, removed at close. `hardening` is what the system's variable says; `values` are
    placeholders beside the system's own; `without` names services (or "broker") that are not started, only made;
    `replicas` are other numbers of replicas than the file's. Without a `journal` it makes one of its own, called `run`;
    close undoes whatever is in it. `progress` is told what takes long.
    """

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
        self.nodes: dict[str, ProcessNode] = {}
        self.links: dict[LinkKey, ProxyLink] = {}
        self._journal, self._opened = journal, False
        self._children: list[Child] = []
        self._folder, self._recorder, self._hardening = folder / "nodes", recorder, hardening
        self._values, self._without, self._run = dict(values or {}), without, run
        self._ready_within_s, self._progress = ready_within_s, progress
        self._ports: Ports | None = None
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

        def direct(target: str, port: str) -> int:
            return int(self.nodes[target].direct(port, "port"))

        def by_link(target: str, port: str) -> int | None:
            key = (source or "", target)
            return self.links[key].port if key in self.links and self._specs[key].target_port == port else None

        return addresses(self.system, direct if source is None else by_link)

    async def open(self, before_services: Callable[[], Awaitable[None]]) -> None:
        """See Runtime."""
        sweep()
        toxiproxy = binaries.find_toxiproxy_server()
        if toxiproxy is None:
            toxiproxy = await asyncio.to_thread(binaries.toxiproxy_server, self._progress)
        try:
            async with start_lock(self._recorder):
                from_ns = time.monotonic_ns()
                await self._open(toxiproxy, before_services)
                to_ns = time.monotonic_ns()
            self._recorder.line("phase", t_ns=to_ns, name="start", from_ns=from_ns, to_ns=to_ns)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """See Runtime. It does not wait for anything in the loop, so it cannot be cancelled halfway."""
        if self._journal is None:
            return
        journal, self._journal = self._journal, None
        for node in self.nodes.values():
            node.closing()
        done = undo(journal.path)
        nodes, links = self.nodes.values(), self.links.values()
        for child in (*(node.child for node in nodes), *(link.child for link in links), *self._children):
            if child is not None and (not child.alive or not done.left):
                child.close()
        if self._ports is not None:
            self._ports.release()
        if done.left:
            journal.release()
        else:
            journal.close()

    def child(
        self, name: str, argv: Sequence[str], env: Mapping[str, str], cwd: Path, fds: Sequence[int] = ()
    ) -> Child:
        """A process of the harness' own (the load, the probe), which is journalled and ended with the rest.

        To be called in the loop, in the main thread. Its lines are recorded as a node's are. Raises StartError.
        """

        def heard(t_ns: int, text: str) -> None:
            self._recorder.line("output", t_ns=t_ns, node=name, text=text)

        child = Child(name, argv, env=env, cwd=cwd, journal=self.journal, on_line=heard, fds=fds)
        self._children.append(child)
        child.give_way(STARTING)
        return child

    def settle(self) -> None:
        """The harness' own processes are up, and give way to nobody any more."""
        for child in self._children:
            child.give_way(0)

    async def _open(self, toxiproxy: Path, before_services: Callable[[], Awaitable[None]]) -> None:
        if self._opened:
            raise UsageError("a runtime is opened once", where=self.system.system.name, fix="make another")
        self._opened = True
        self.journal.folder(self._folder)
        self._ports = Ports(self.journal)
        for secret in (environment := env_values(self.system)).values():
            self._recorder.secret(secret)
        self._values |= environment
        self._make(self.journal, self._ports, toxiproxy)
        started = [node for node in self.nodes.values() if node.service not in self._without]
        brokers = [node for node in started if isinstance(node, BrokerNode)]
        services = [node for node in started if not isinstance(node, BrokerNode)]
        for node in self.nodes.values():
            if isinstance(node, BrokerNode):
                await node.prepare(self.system)
            else:
                node.recipe = self._recipe(node)
        await together([*map(self._up, brokers), *(link.make() for link in self.links.values())])
        await before_services()
        await together(link.open() for node in brokers for link in node.incoming)
        await together(self._up(node, open_links=True) for node in services)

    async def _up(self, node: ProcessNode, *, open_links: bool = False) -> None:
        await node.start()
        if node.child is not None:
            node.child.give_way(STARTING)
        await node.come_up(within_s=self._ready_within_s, open_links=open_links)
        if node.child is not None:
            node.child.give_way(RUNNING)

    # ---- making, which starts nothing ----

    def _make(self, journal: Journal, ports: Ports, toxiproxy: Path) -> None:
        specs = self._specs = self._links_by_key()
        services = [
            (name, service, replica)
            for name, service in self.system.services.items()
            for replica in self.system.replicas(name)
        ]
        brokers = self.system.nodes()
        own = [1 if service.fixed else len(service.ports) for _, service, _ in services]
        free = iter(ports.reserve(2 * len(brokers) + sum(own) + 2 * len(specs)))
        for name in brokers:
            self._folder_of(name)
            self.nodes[name] = BrokerNode(
                name,
                folder=self._folder / name,
                port=next(free),
                monitor_port=next(free),
                journal=journal,
                recorder=self._recorder,
            )
        for name, service, replica in services:
            numbers = {port: number if service.fixed else next(free) for port, number in service.ports.items()}
            self.nodes[replica] = ProcessNode(
                replica,
                name,
                service.role,
                folder=self._folder_of(replica),
                ports={port: Port(number) for port, number in numbers.items()},
                journal=journal,
                recorder=self._recorder,
            )
        for key, spec in specs.items():
            target = self.nodes[spec.target]
            link = ProxyLink(
                key,
                scheme=target.direct(spec.target_port).partition(":")[0],
                port=next(free),
                api_port=next(free),
                upstream_port=int(target.direct(spec.target_port, "port")),
                binary=toxiproxy,
                env=base_environment(),
                journal=journal,
                recorder=self._recorder,
            )
            self.links[key] = link
            target.incoming.append(link)

    def _folder_of(self, name: str) -> Path:
        folder = self._folder / name
        folder.mkdir()
        return folder

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

    def _recipe(self, node: ProcessNode) -> Recipe:
        service = self.system.services[node.service]
        where = self.system.where("services", node.service)
        if not service.command:
            raise UsageError("it has no command, so it cannot run as a process", where=where, fix="give it one")
        own = self._own_values(node)
        values = {**self.addresses(node.name), **own}
        environment = {**base_environment(), **{name: render(text, values) for name, text in service.env.items()}}
        if self._hardening is not None and self.system.hardening is not None:
            environment[self.system.hardening.variable] = self._hardening
        command = [render(text, values) for text in service.command]

        async def argv(version: str | None) -> list[str]:
            if version is not None:
                raise HarnessError("only a broker is started with another version", where=node.name)
            return command

        return Recipe(
            argv,
            environment,
            self.system.path.parent,
            files={path: render(text, values) for path, text in service.files.items()},
            ready=self._ready(node, service, {**self.addresses(None), **own}, environment),
            stop_signal=signal.Signals[f"SIG{service.stop.signal}"],
        )

    def _own_values(self, node: ProcessNode) -> dict[str, str]:
        values = {**self._values, "replica": node.name, "dir": str(node.dir), "python": sys.executable}
        values |= {f"port.{name}": str(port.number) for name, port in node.ports.items()}
        if node.ports:
            values["port"] = str(next(iter(node.ports.values())).number)
        return values

    def _ready(
        self, node: ProcessNode, service: Service, values: Mapping[str, str], environment: Mapping[str, str]
    ) -> _ready.Look:
        ready = service.ready
        if ready is None:
            return _ready.all_of()
        if ready.http is not None:
            path = render(ready.http, values)
            return _ready.by_http(path if "://" in path else node.direct() + path)
        if ready.tcp is not None:
            return _ready.by_port(int(node.direct(ready.tcp, "port")))
        if ready.log is not None:
            return _ready.by_log(ready.log, lambda: node.last_lines(1000))
        command = [render(text, values) for text in ready.command or ()]
        return _ready.by_command(command, env=environment, cwd=self.system.path.parent)
