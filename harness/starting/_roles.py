"""Which service of a compose file is the broker, and what the others are to it: guesses, each with its reason."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from harness.errors import UsageError
from harness.starting._addresses import Directory, Mention
from harness.starting._services import Compose, Service
from harness.starting._unknown import bare_names, nats_addresses

CLIENT_PORT = 4222
_IMAGE = re.compile(r"(?:.*/)?([^/:@]+)(?::([^/@]+))?(?:@.*)?")
_ENTRY = re.compile(r"web|api|gateway|front|ingest|ingress|http|edge|server")
_WORKER = re.compile(r"worker|consumer|process|job|runner|executor")
_JOB = re.compile(r"(?:^|[-_.])(?:migrat\w*|setup|init|seed\w*|provision\w*|bootstrap)(?:$|[-_.\d])")
_TOOLS = {
    "nats-box": "a shell of NATS' own tools",
    "nats-surveyor": "a monitor",
    "prometheus-nats-exporter": "a monitor",
}
_STREAMING = "nats-streaming"


@dataclass(slots=True)
class Roles:
    """What each service is. `roles`: name -> role and reason, in the file's order; `left_out`: name -> reason."""

    broker: Service
    directory: Directory
    mentions: dict[str, list[Mention]]
    roles: dict[str, tuple[str, str]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    presumed: set[str] = field(default_factory=set)
    """Clients of the broker by depends_on alone: nothing that they are given names its address."""
    unknown: dict[str, list[str]] = field(default_factory=dict)
    """NATS addresses that lead to none of the services: name -> what is said of each."""
    missing: dict[str, str] = field(default_factory=dict)
    """Left out as well, but something has to be done: name -> what."""

    @property
    def client_port(self) -> int:
        """The port on which the broker of the compose file takes clients."""
        flag = re.search(r"(?:^| )(?:-p|--?port)[ =](\d+)", " ".join(self.broker.words))
        return int(flag[1]) if flag else CLIENT_PORT

    def calls(self, name: str, other: Service) -> bool:
        """Whether `name` is given an address of `other`."""
        return any(mention.target == other.name for mention in self.mentions[name])


def image_name(image: str) -> tuple[str, str]:
    """The name and tag of an image, without the registry and the owner: ("nats", "2.12-alpine")."""
    match = _IMAGE.fullmatch(image)
    return (match[1], match[2] or "") if match else ("", "")


def roles_of(compose: Compose) -> Roles:
    """Finds the broker, and guesses the others' roles. Raises UsageError where there is not exactly one broker."""
    services = compose.services
    broker = _broker(compose)
    directory = Directory(services.values())
    found = Roles(broker, directory, {name: directory.named_by(service) for name, service in services.items()})
    candidates = {
        name: one for name, one in services.items() if name != broker.name and not _aside(compose, one, found)
    }
    clients = [name for name in candidates if found.calls(name, broker)]
    found.presumed = {name for name in candidates if broker.name in candidates[name].needs} - set(clients)
    unknown = {name: nats_addresses(one, directory) for name, one in candidates.items()}
    found.unknown = {name: notes for name, notes in unknown.items() if notes}
    clients = [name for name in candidates if name in clients or name in found.presumed or name in found.unknown]
    called = _called(found, candidates, clients)
    entry, reason = _entry([candidates[name] for name in clients], found)
    for name in candidates:
        if name == entry:
            found.roles[name] = ("entry", reason)
        elif name in clients:
            found.roles[name] = ("worker", f"it {_talks(name, found)}, and is not the entry")
        elif name in called:
            found.roles[name] = ("dependency", f"{called[name]} calls it, and it does not talk to the broker")
        elif broker.name in (words := bare_names(candidates[name], directory)).values():
            word = next(word for word, owner in words.items() if owner == broker.name)
            found.missing[name] = (
                f"left out, but {word!r} in what it is given may be the broker's address: is it a client?"
            )
        else:
            found.left_out[name] = "it does not talk to the broker, and nobody who does calls it"
    return found


def _broker(compose: Compose) -> Service:
    services = [one for one in compose.services.values() if not one.profiles]
    by_name = [one for one in services if _is_nats(one)]
    brokers = by_name or [one for one in services if any(port.number == CLIENT_PORT for port in one.ports)]
    if len(brokers) == 1:
        return brokers[0]
    if brokers:
        names = " and ".join(f"{one.name} (line {one.where.rpartition(':')[2]})" for one in brokers)
        fix = "leave one in a copy of the file, and name that: a broker of several nodes is not there yet"
        raise UsageError(f"{len(brokers)} brokers: {names}", where=brokers[1].where, fix=fix)
    for one in services:
        if image_name(one.image)[0] == _STREAMING:
            what = f"{one.name} is NATS Streaming, which is another protocol than JetStream"
            raise UsageError(what, where=one.where, fix="move to image: nats with JetStream; the harness breaks that")
    fix = "one service should have image: nats, the command nats-server, or port 4222; for none, plain `init`"
    raise UsageError(f"no NATS broker among {', '.join(compose.services)}", where=str(compose.path), fix=fix)


def _is_nats(service: Service) -> bool:
    program = service.words[0].rpartition("/")[2] if service.words else ""
    return image_name(service.image)[0] == "nats" or program == "nats-server"


def _aside(compose: Compose, service: Service, found: Roles) -> bool:
    """Whether a service is none of the system's, by what it is; the reason is noted."""
    image = image_name(service.image)[0]
    if service.profiles:
        found.left_out[service.name] = f"compose starts it with the profile {service.profiles[0]} alone"
    elif service.name in compose.one_shot or _is_job(service):
        found.missing[service.name] = (
            "left out, as a job that ends: what it makes (a schema, a stream) will be missing; let a service make it"
        )
    elif not service.replicas:
        found.left_out[service.name] = "compose starts none of it (replicas: 0)"
    elif image in _TOOLS:
        found.left_out[service.name] = f"{_TOOLS[image]}, no part of the system"
    elif image == _STREAMING:
        found.left_out[service.name] = "NATS Streaming, which is another protocol than JetStream"
    return service.name in found.left_out or service.name in found.missing


def _is_job(service: Service) -> bool:
    """Whether it makes something and ends, by its name or, with NATS' tools, by its command."""
    if image_name(service.image)[0] == "nats-box":
        return re.search(r"\b(add|create|put|restore|import)\b", " ".join(service.words)) is not None
    return not service.ports and not service.restarts and _JOB.search(service.name) is not None


def _called(found: Roles, candidates: dict[str, Service], clients: list[str]) -> dict[str, str]:
    """Who is called by a client, or by one who is: name -> by whom."""
    called: dict[str, str] = {}
    ways = list(clients)
    while ways:
        name = ways.pop(0)
        for other in (*(mention.target for mention in found.mentions[name]), *candidates[name].needs):
            if other in candidates and other not in called and other not in clients:
                called[other] = name
                ways.append(other)
    return called


def _talks(name: str, found: Roles) -> str:
    if name in found.unknown and not found.calls(name, found.broker):
        return "is given a NATS address of no service here"
    return "waits for the broker" if name in found.presumed else "talks to the broker"


def _entry(clients: list[Service], found: Roles) -> tuple[str | None, str]:
    """The client that is most likely where work is offered, and why."""

    def rank(service: Service) -> tuple[bool, bool, bool]:
        published = any(port.published for port in service.ports)
        return (not _WORKER.search(service.name), published, _ENTRY.search(service.name) is not None)

    able = [service for service in clients if service.ports and any(rank(service)[1:])]
    if not able:
        return None, ""
    best = max(able, key=rank)
    port = next((port.number for port in best.ports if port.published), None)
    why = f"it publishes port {port}" if port else "its name says so"
    others = " or ".join(service.name for service in able if service is not best)
    why += f", and it {_talks(best.name, found)}"
    return best.name, why + (f" (it could also be {others})" if others else "")
