"""The process runtime: the same binaries as in containers, as child processes on loopback."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from harness.errors import UsageError
from harness.runtime import _ready, binaries, socket_states
from harness.runtime._beside import ChildBeside
from harness.runtime._broker import CLIENT_SCHEME, BrokerNode, Setup, binary_of, included_from
from harness.runtime._child_node import ChildHost, base_environment
from harness.runtime._hosting import ChildProxies
from harness.runtime._http import LOOPBACK
from harness.runtime._links import ProxyLink
from harness.runtime._node import Port, Recipe, SystemNode
from harness.runtime._runtime import SystemRuntime
from harness.runtime.contract import Ends, LinkKey
from harness.runtime.ports import Ports
from harness.system.model import LinkSpec, Service


class Processes(SystemRuntime):
    """contract.Runtime with child processes. `folder` gets a folder for each node, removed at close."""

    kind = "processes"
    python = sys.executable
    _ports: Ports | None = None
    _toxiproxy: Path

    async def beside(self, module: str, *arguments: str, folder: Path) -> ChildBeside:
        """See Runtime."""
        return await ChildBeside.start(module, folder, arguments)

    async def socket_states(self, connections: Sequence[Ends]) -> Mapping[Ends, str]:
        """See Runtime."""
        return socket_states.states(connections)

    async def _fetch(self) -> None:
        found = binaries.find_toxiproxy_server()
        if found is None:
            found = await asyncio.to_thread(binaries.toxiproxy_server, self._progress)
        self._toxiproxy = found

    def _release(self) -> None:
        if self._ports is not None:
            self._ports.release()

    async def _made(self) -> None:
        return

    async def _host_links(self) -> None:
        return

    async def _make(self, specs: Mapping[LinkKey, LinkSpec]) -> None:
        journal, folder = self.journal, self._folder / "nodes"
        journal.folder(folder)
        self._ports = Ports(journal)
        brokers, services = self.system.nodes(), list(self._replicas())
        own = [1 if service.fixed else len(service.ports) for service, _, _ in services]
        free = iter(self._ports.reserve(2 * len(brokers) + sum(own) + 2 * len(specs)))

        def host(name: str) -> ChildHost:
            (folder / name).mkdir()
            return ChildHost(name, folder / name, journal)

        for name in brokers:
            self.nodes[name] = BrokerNode(
                name,
                host=host(name),
                client=Port(next(free), CLIENT_SCHEME),
                monitor=Port(next(free)),
                recorder=self._recorder,
            )
        for service, name, replica in services:
            numbers = {port: number if service.fixed else next(free) for port, number in service.ports.items()}
            ports = {port: Port(number) for port, number in numbers.items()}
            self.nodes[replica] = SystemNode(
                replica, name, service.role, host=host(replica), ports=ports, recorder=self._recorder
            )
        proxies = ChildProxies(self._toxiproxy, base_environment(), journal)
        for key, spec in specs.items():
            target = self.nodes[spec.target]
            link = ProxyLink(
                key,
                scheme=target.direct(spec.target_port).partition(":")[0],
                listen=(LOOPBACK, next(free)),
                api=(LOOPBACK, next(free)),
                upstream=target.inside(spec.target_port),
                host=proxies,
                recorder=self._recorder,
            )
            self.links[key] = link
            target.incoming.append(link)

    async def _setup(self, node: BrokerNode) -> Setup:
        if self.system.broker.version is None and self.system.broker.image is not None:
            where = self.system.where("broker", "image")
            fix = 'add version = "2.12.8", or use --runtime containers'
            raise UsageError("it is an image alone, so it cannot run as a process", where=where, fix=fix)
        usual = await binary_of(self.system.broker.version)

        async def argv(version: str | None) -> Sequence[str]:
            return [str(usual if version is None else await binary_of(version))]

        return Setup(argv, LOOPBACK, included_from(self.system, node.dir), base_environment())

    def _complete(self, node: SystemNode, service: Service, recipe: Recipe) -> Recipe:
        if not service.command:
            where = self.system.where("services", node.service)
            raise UsageError("it has no command, so it cannot run as a process", where=where, fix="give it one")
        return replace(recipe, env={**base_environment(), **recipe.env})

    def _by_command(self, node: SystemNode, recipe: Recipe, command: Sequence[str]) -> _ready.Look:
        return _ready.by_command(command, env=recipe.env, cwd=recipe.cwd)
