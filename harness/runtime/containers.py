"""The container runtime: every node a container, in a network that it shares with the hub alone.

The hub is one more container, in all of these networks, where the links' proxies run and the probe beside them
(docs/decisions/0013). This machine reaches nodes, and the load its links, by ports published on its loopback; other
machines do not, and nodes reach the hub alone.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from harness.errors import HarnessError, Missing, UsageError
from harness.runtime import _ready, _subnets
from harness.runtime._broker import CLIENT_SCHEME, BrokerNode, Setup, included
from harness.runtime._container import Berth, ContainerHost, published
from harness.runtime._engine import JOURNAL_LABEL, Engine, said
from harness.runtime._http import LOOPBACK
from harness.runtime._hub import TOKEN_VARIABLE
from harness.runtime._hub_client import Hub, HubBeside
from harness.runtime._links import ProxyLink
from harness.runtime._node import Port, Recipe, SystemNode
from harness.runtime._runtime import SystemRuntime
from harness.runtime._together import together
from harness.runtime.contract import Ends, LinkKey
from harness.runtime.images import Images
from harness.runtime.journal import Journal, Undone, undo
from harness.runtime.ports import LOWEST, Ports
from harness.system.model import BROKER, LOAD, LinkSpec, Service, SystemFile

if TYPE_CHECKING:
    from docker.models.containers import Container

CLIENT_PORT, MONITOR_PORT = 4222, 8222
HUB_PORT, FIRST_API_PORT, FIRST_LINK_PORT = 10_000, 10_001, 15_001
"""In the hub, below what its kernel gives out by itself."""
SYSTEM, INCLUDED = "/system", "/included"
"""Where containers see the system file's folder, and the folder of an included configuration."""
SOURCES, SCENARIO = "/opt/harness", "/scenario"
"""Where the hub sees our package, and the scenario's folder, to which the probe's history goes."""
THIS_MACHINE, HUB, NODE = 1, 2, 3
"""Addresses in each network, by number."""


class SystemImages(NamedTuple):
    """The images of one system."""

    hub: str
    broker: str
    services: Mapping[str, str]


def make_images(system: SystemFile, progress: Callable[[str], None]) -> None:
    """Builds or pulls whatever a system needs and is not here. Raises Missing, StartError or UsageError."""
    engine = Engine.connect()
    try:
        _images_of(system, Images(engine, progress))
    finally:
        engine.close()


class Containers(SystemRuntime):
    """contract.Runtime with containers. Each node's folder is a volume."""

    kind = "containers"
    python = "python3"
    _engine: Engine
    _images: Images
    _found: SystemImages
    _hub_container: Container
    _token: str
    _ports: Ports | None = None

    async def socket_states(self, connections: Sequence[Ends]) -> Mapping[Ends, str]:
        """See Runtime."""
        return await self._hub.states(connections)

    async def beside(self, module: str, *arguments: str, folder: Path) -> HubBeside:
        """See Runtime."""
        there, owner = f"{SCENARIO}/{folder.resolve().relative_to(self._folder.resolve())}", folder.stat()
        return await self._hub.beside(module, there, (owner.st_uid, owner.st_gid), arguments)

    @cached_property
    def _hub(self) -> Hub:
        return Hub()

    async def _fetch(self) -> None:
        _check_ports()
        self._engine = await asyncio.to_thread(Engine.connect)
        self._images = Images(self._engine, self._progress)
        self._found = await asyncio.to_thread(_images_of, self.system, self._images)

    def _release(self) -> None:
        self._hub.close()
        self._engine.close()
        if self._ports is not None:
            self._ports.release()

    async def _undone(self, journal: Journal) -> Undone:
        return await asyncio.to_thread(undo, journal.path)

    # ---- where things are ----

    async def _make(self, specs: Mapping[LinkKey, LinkSpec]) -> None:
        prefix = re.sub(r"[^A-Za-z0-9_.-]", "-", f"nats-harness-{self.journal.name.removesuffix('.jsonl')}")
        self._names = {
            name: f"{prefix}-{name}"
            for name in (*self.system.nodes(), *(replica for _, _, replica in self._replicas()))
        }
        self._subnets = await self._networks(list(self._names.values()))
        self._hub_name = f"{prefix}-hub"
        brokers, services = self.system.nodes(), list(self._replicas())
        load_links = sum(spec.source == LOAD for spec in specs.values())
        self._ports = Ports(self.journal)
        own = 2 * len(brokers) + sum(len(service.ports) for service, _, _ in services)
        free = iter(self._ports.reserve(1 + load_links + own))
        self._hub_ports = {HUB_PORT: next(free)}
        for name in brokers:
            client, monitor = Port(CLIENT_PORT, CLIENT_SCHEME, next(free)), Port(MONITOR_PORT, published=next(free))
            host = self._host(name, [client, monitor])
            self.nodes[name] = BrokerNode(name, host=host, client=client, monitor=monitor, recorder=self._recorder)
        for service, name, replica in services:
            ports = {port: Port(number, published=next(free)) for port, number in service.ports.items()}
            host = self._host(replica, ports.values())
            self.nodes[replica] = SystemNode(
                replica, name, service.role, host=host, ports=ports, recorder=self._recorder
            )
        for number, (key, spec) in enumerate(specs.items()):
            here = (LOOPBACK, next(free)) if spec.source == LOAD else None
            # The load's need no network of their own: each costs the engine half a second from its making to its end.
            where = brokers[0] if spec.source == LOAD else spec.source
            target, listen = self.nodes[spec.target], (self._address(where, HUB), FIRST_LINK_PORT + number)
            if here is not None:
                self._hub_ports[listen[1]] = here[1]
            link = ProxyLink(
                key,
                scheme=target.direct(spec.target_port).partition(":")[0],
                listen=listen,
                api=(LOOPBACK, FIRST_API_PORT + number),
                upstream=target.inside(spec.target_port),
                host=self._hub,
                recorder=self._recorder,
                published=here,
            )
            self.links[key] = link
            target.incoming.append(link)

    def _host(self, name: str, ports: Iterable[Port]) -> ContainerHost:
        berth = Berth(self._names[name], self._address(name, NODE), {port.number: port.published for port in ports})
        return ContainerHost(name, self._names[name], berth, self._engine, self.journal, self._hub.listens)

    def _address(self, name: str, number: int) -> str:
        return _subnets.host(self._subnets[self._names[name]], number)

    async def _networks(self, names: Sequence[str]) -> dict[str, IPv4Network]:
        """Makes the networks, each with a subnet of its own. Raises Missing where there are none left."""
        candidates = _subnets.candidates(await self._engine.do(self._taken))
        for name in names:
            self.journal.network(name)

        async def make(name: str) -> IPv4Network:
            for subnet in candidates:
                if await self._engine.do(partial(self._network, name, subnet), where=name):
                    return subnet
            raise _subnets.none_free()

        return dict(zip(names, await together(map(make, names)), strict=True))

    def _network(self, name: str, subnet: IPv4Network) -> bool:
        """Makes a network; False where the engine has given that subnet away."""
        import docker.errors
        from docker.types import IPAMConfig, IPAMPool

        pool = IPAMPool(subnet=str(subnet), gateway=_subnets.host(subnet, THIS_MACHINE))
        about = {
            # Nothing on an internal network can be published. Another node is out of reach all the same, as is every
            # other machine: what leaves keeps an address that nobody answers.
            "options": {"com.docker.network.bridge.enable_ip_masquerade": "false"},
            "ipam": IPAMConfig(pool_configs=[pool]),
            "labels": {JOURNAL_LABEL: self.journal.name},
        }
        try:
            self._engine.tools.client_networks_create(name, about)
        except docker.errors.APIError as error:
            if "overlap" in said(error).lower():
                return False
            raise
        return True

    def _taken(self) -> list[IPv4Network]:
        """The subnets of the engine's networks."""
        configured = [network["IPAM"]["Config"] or [] for network in self._engine.api.networks()]
        found = (pool.get("Subnet", "") for pools in configured for pool in pools)
        return [IPv4Network(subnet) for subnet in found if "." in subnet]

    # ---- what is started ----

    async def _made(self) -> None:
        hosts = [(node, node.host) for node in self.nodes.values()]
        makes = [host.make(node.recipe) for node, host in hosts if isinstance(host, ContainerHost) and node.recipe]
        self._token = secrets.token_hex(16)
        self.journal.container(self._hub_name)
        await together([self._engine.do(self._make_hub, where="hub"), *makes])

    async def _host_links(self) -> None:
        container = self._hub_container
        pid = await self._engine.do(self._start_hub, where="hub")

        async def logs() -> str:
            lines = await self._engine.do(lambda: container.logs(tail=20), where="hub")
            return str(lines, errors="replace").strip()

        await self._hub.connect((LOOPBACK, self._hub_ports[HUB_PORT]), self._token, pid, logs)
        for link in self.links.values():
            if link.source == LOAD:
                link.reached_at(self._hub.address)

    def _make_hub(self) -> None:
        from docker.types import EndpointConfig

        first, *others = self._names
        network, address = self._names[first], self._address(first, HUB)
        package = Path(__file__).parents[1]
        self._hub_container = container = self._engine.tools.create(
            self._found.hub,
            command=["python3", "-m", "harness.runtime._hub", str(HUB_PORT)],
            environment={TOKEN_VARIABLE: self._token, "PYTHONPATH": SOURCES, "PYTHONDONTWRITEBYTECODE": "1"},
            labels={JOURNAL_LABEL: self.journal.name},
            name=self._hub_name,
            hostname="hub",
            network=network,
            networking_config={network: EndpointConfig(self._engine.api._version, ipv4_address=address)},
            ports=published(self._hub_ports),
            volumes={
                str(package): {"bind": f"{SOURCES}/{package.name}", "mode": "ro"},
                str(self._folder.resolve()): {"bind": SCENARIO, "mode": "rw"},
            },
            cap_add=["SYS_PTRACE"],  # to lend itself the proxies' sockets, which are then reset
        )
        for name in others:
            self._engine.api.connect_container_to_network(
                container.id, self._names[name], ipv4_address=self._address(name, HUB)
            )

    def _start_hub(self) -> int:
        """Its agent's process on this machine."""
        self._engine.tools.start(self._hub_container)
        self._hub_container.reload()
        return int(self._hub_container.attrs["State"]["Pid"])

    async def _setup(self, node: BrokerNode) -> Setup:
        async def argv(version: str | None) -> Sequence[str]:
            return []

        async def image(version: str | None) -> str:
            return self._found.broker if version is None else await asyncio.to_thread(self._images.broker, version)

        path = included(self.system)
        mounts = {path.parent: INCLUDED} if path is not None else {}
        name = f"..{INCLUDED}/{path.name}" if path is not None else None
        return Setup(argv, "0.0.0.0", name, image=image, mounts=mounts)

    def _complete(self, node: SystemNode, service: Service, recipe: Recipe) -> Recipe:
        async def image(version: str | None) -> str:
            return self._found.services[node.service]

        mounts = {recipe.cwd: SYSTEM} if _is_python(service) else {}
        return replace(recipe, image=image, mounts=mounts)

    def _by_command(self, node: SystemNode, recipe: Recipe, command: Sequence[str]) -> _ready.Look:
        host = node.host
        assert isinstance(host, ContainerHost)

        async def look() -> str:
            try:
                code = await host.run(list(command), recipe.env, recipe.mounts.get(recipe.cwd))
            except HarnessError as error:
                return f"{command[0]} cannot be run: {error.what}"
            return "" if code == 0 else f"{command[0]} exited with {code}"

        return look


def _check_ports() -> None:
    """The probe is known by the ports that it comes from (observe._own_ends), which nobody else may be given."""
    setting = Path("/proc/sys/net/ipv4/ip_local_port_range")
    first = int(setting.read_text().split()[0])
    if first < LOWEST:
        what = f"the kernel gives out ports from {first} on, and those below {LOWEST} are the probe's"
        raise Missing(what, where=str(setting), fix="sysctl net.ipv4.ip_local_port_range='32768 60999'")


def _images_of(system: SystemFile, images: Images) -> SystemImages:
    broker = system.broker
    if broker.image is not None:
        of_broker = images.named(broker.image, where=system.where(BROKER, "image"))
    else:
        of_broker = images.broker(broker.version)
    return SystemImages(images.hub(), of_broker, {name: _image_of(system, images, name) for name in system.services})


def _image_of(system: SystemFile, images: Images, name: str) -> str:
    service = system.services[name]
    if service.image is not None:
        return images.named(service.image, where=system.where("services", name, "image"))
    if _is_python(service):
        return images.python()
    raise UsageError(
        "it has no image, so it cannot run as a container",
        where=system.where("services", name),
        fix="give it one, or use --runtime processes",
    )


def _is_python(service: Service) -> bool:
    """Whether its command runs on our Python, and so on sources beside the system file."""
    return any("{python}" in word for word in service.command)
