"""What is under test, as data: a whole system file, and what follows from it (its replicas, nodes, links, states).

A mistake that a single value shows is found by the tables' own types; what needs a second look (a service that a
placeholder names, a measure that another one needs) by `_checks`. `loader.load_system` does both and is the way in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, PrivateAttr

from harness.errors import UnknownName
from harness.system._lines import Lines
from harness.system._service_tables import Metrics, Output, Ready, Service, Stop
from harness.system._tables import (
    KINDS,
    Broker,
    BrokerStore,
    Connect,
    Core,
    Dead,
    Effects,
    Hardening,
    Http,
    HttpAsync,
    JetStream,
    LoadTable,
    Locust,
    NatsRequest,
    Poll,
    Prepare,
    Promises,
    Publish,
    Request,
    State,
    Stream,
    Submit,
    SystemTable,
    Table,
    Tap,
    Workload,
)
from harness.system._values import Label, Name, Role, StreamName, as_tuple
from harness.system.placeholders import Address, environment_name, link_placeholders, names, strings

BROKER = "broker"
LOAD = "load"
DEFAULT_STATE = "default"
OFFERING = ("submit", "poll", "publish", "host", "env")
"""The keys of a workload whose addresses are links of the load."""

__all__ = [
    "BROKER",
    "DEFAULT_STATE",
    "KINDS",
    "LOAD",
    "OFFERING",
    "Broker",
    "BrokerStore",
    "Connect",
    "Core",
    "Dead",
    "Effects",
    "Exposure",
    "Hardening",
    "Http",
    "HttpAsync",
    "JetStream",
    "LinkSpec",
    "LoadTable",
    "Locust",
    "Metrics",
    "NatsRequest",
    "Output",
    "Poll",
    "Prepare",
    "Promises",
    "Publish",
    "Ready",
    "Request",
    "Role",
    "Service",
    "State",
    "Stop",
    "Stream",
    "Submit",
    "SystemFile",
    "SystemTable",
    "Tap",
    "Workload",
    "with_op",
]


def with_op(workload: str) -> str:
    """What the operations of a locustfile's workload are called whose context carries an id of theirs, `op`."""
    return f"{workload}.op"


@dataclass(frozen=True, slots=True)
class LinkSpec:
    """One way to one provider: `source` is a replica ("web-0") or "load", `target` a replica or a broker's node.

    `target_port` is the provider's port by name, "" for the broker's client port.
    """

    source: str
    target: str
    target_port: str


@dataclass(frozen=True, slots=True)
class Exposure:
    """One line of a state's `exposes`; `where` is its file and line, for who can tell if the scenario exists."""

    state: str
    scenario: str
    weakness: str
    clause: str
    where: str


class SystemFile(Table):
    """A whole system file. Made by `loader.load_system`, which alone checks one table against another."""

    system: SystemTable
    broker: Broker
    streams: dict[StreamName, Stream] = Field(default_factory=dict)
    services: dict[Name, Service] = Field(default_factory=dict)
    prepare: Annotated[tuple[Prepare, ...], BeforeValidator(as_tuple)] = ()
    workloads: Annotated[dict[Label, Workload], Field(min_length=1)]
    load: LoadTable = LoadTable()
    promises: Promises = Promises()
    hardening: Hardening | None = None
    states: dict[Label, State] = Field(default_factory=dict)
    weaknesses: dict[str, str] = Field(default_factory=dict)

    _path: Path = PrivateAttr(default=Path("system.toml"))
    _shown: str = PrivateAttr(default="system.toml")
    _lines: Lines = PrivateAttr(default_factory=lambda: Lines(""))

    def read_from(self, path: Path, shown: str, lines: Lines) -> SystemFile:
        """Notes the file that it was read from (absolute, and as the caller named it) and its lines. For the loader."""
        self._path, self._shown, self._lines = path, shown, lines
        return self

    @property
    def path(self) -> Path:
        """The file itself, absolute. Its folder is the services' working folder."""
        return self._path

    def where(self, *path: str | int) -> str:
        """ "file:line" of a key, for messages about it: `where("states", "documented", "exposes")`."""
        return f"{self._shown}:{self._lines.of(path)}"

    def entry(self) -> str | None:
        """The service where work is offered; None where work goes to the broker itself."""
        return next((name for name, service in self.services.items() if service.role == "entry"), None)

    def workers(self) -> list[str]:
        """The services that take work from the broker, in the file's order."""
        return [name for name, service in self.services.items() if service.role == "worker"]

    def replicas(self, service: str) -> list[str]:
        """The names of a service's replicas: "web-0", "web-1". Raises UnknownName."""
        if service not in self.services:
            raise UnknownName(service, self.services, kind="service", where=self.where("services"))
        return [f"{service}-{n}" for n in range(self.services[service].replicas)]

    def nodes(self) -> list[str]:
        """The names of the broker's nodes, "broker-0" first."""
        return [f"{BROKER}-{n}" for n in range(self.broker.nodes)]

    def scaled(self, replicas: Mapping[str, int]) -> SystemFile:
        """The same system with other numbers of replicas, for what `started_with` changes. Raises UnknownName."""
        for name in replicas:
            self.replicas(name)
        services = {
            name: service.model_copy(update={"replicas": replicas.get(name, service.replicas)})
            for name, service in self.services.items()
        }
        return self.model_copy(update={"services": services})

    def small(self) -> SystemFile:
        """The same system with little room: what each service's `small` says in the place of its `env`."""
        services = {
            name: service.model_copy(update={"env": {**service.env, **service.small}})
            for name, service in self.services.items()
        }
        return self.model_copy(update={"services": services})

    def links(self) -> list[LinkSpec]:
        """Every link: one for each replica and address in its command, env and files, and the load's.

        A service's come in the file's order, the load's last; each once.
        """
        found: dict[LinkSpec, None] = {}
        for name, service in self.services.items():
            texts = [*service.command, *service.env.values(), *service.files.values()]
            for replica in self.replicas(name):
                found.update(dict.fromkeys(self._links_of(replica, texts)))
        for workload in self.workloads.values():
            dumped = workload.model_dump()
            texts = [text for name in OFFERING for text in strings(dumped.get(name))]
            found.update(dict.fromkeys(self._links_of(LOAD, texts)))
        return list(found)

    def _links_of(self, source: str, texts: list[str]) -> Iterator[LinkSpec]:
        for to in chain.from_iterable(map(link_placeholders, texts)):
            targets, port = self._targets(to)
            yield from (LinkSpec(source, target, port) for target in (targets if to.form == "urls" else targets[:1]))

    def _targets(self, to: Address) -> tuple[list[str], str]:
        if to.provider == BROKER:
            return self.nodes(), ""
        return self.replicas(to.provider), to.port or next(iter(self.services[to.provider].ports), "")

    def state_names(self) -> list[str]:
        """The states in the file's order; a system without any has one, "default"."""
        return list(self.states) or [DEFAULT_STATE]

    def state(self, name: str) -> State:
        """A state by its name. Raises UnknownName."""
        if name in self.states:
            return self.states[name]
        if name in self.state_names():
            return State()
        raise UnknownName(name, self.state_names(), kind="state", where=self.where("states"))

    def settles_s(self, state: str) -> float:
        """Seconds after which the system, in that state, moves an open operation no more. Raises UnknownName."""
        return self.state(state).settles_s or self.promises.settles_s

    def exposures(self) -> list[Exposure]:
        """Every scenario, weakness and clause that a state's `exposes` names, with its line."""
        return [
            Exposure(name, scenario, weakness, clause, self.where("states", name, "exposes", scenario, weakness))
            for name, state in self.states.items()
            for scenario, weaknesses in state.exposes.items()
            for weakness, clause in weaknesses.items()
        ]

    def environment(self) -> list[str]:
        """The names of the environment variables that the file uses as {env:NAME}, each once."""
        used = (environment_name(name) for text in strings(self.model_dump()) for name in names(text))
        return list(dict.fromkeys(name for name in used if name is not None))
