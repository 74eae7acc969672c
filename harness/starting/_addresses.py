"""Addresses of services in texts: `nats://nats:4222`, `http://store:8080/v1`, `nats:4222`, or NATS_HOST, NATS_PORT."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from harness.starting._services import Service

USUAL_PORTS = {"nats": 4222, "http": 80, "https": 443, "redis": 6379, "postgres": 5432, "postgresql": 5432,
               "mysql": 3306, "mongodb": 27017, "amqp": 5672}  # fmt: skip
_HOST_VARIABLE = re.compile(r"(.*?)_?(HOST|HOSTNAME|ADDR|ADDRESS|SERVER|SERVERS|ENDPOINT)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Mention:
    """An address of the service `target`. `scheme` "" where there is none; `user` is "user:password@" or "".

    `port` None: not said, and not usual for the scheme. `host_alone`: a name without a port, whose port is elsewhere.
    """

    target: str
    scheme: str
    user: str
    port: int | None
    host_alone: bool = False


class Directory:
    """Finds the addresses of these services in texts of a compose file."""

    def __init__(self, services: Iterable[Service]) -> None:
        self._owner: dict[str, str] = {}
        for service in services:
            for host in service.hosts:
                self._owner.setdefault(host, service.name)
        hosts = "|".join(sorted(map(re.escape, self._owner), key=len, reverse=True))
        self._pattern = re.compile(
            rf"(?<![\w./@+-])(?:(?P<scheme>[a-z][a-z0-9+.-]*)://)?(?P<user>[^\s/@,;=]+@)?(?P<host>{hosts})"
            r"(?![\w-]|\.\w)(?::(?P<port>\d+)(?![\w.-]))?"
        )

    def rewritten(self, text: str, by: Callable[[Mention], str | None]) -> str:
        """`text` with each address replaced by what `by` gives for it; None leaves it."""

        def replace(match: re.Match[str]) -> str:
            scheme, port = match["scheme"] or "", match["port"]
            if not scheme and not port:
                return match[0]  # a word that happens to be a service's name
            number = int(port) if port else USUAL_PORTS.get(scheme)
            new = by(Mention(self._owner[match["host"]], scheme, match["user"] or "", number))
            return match[0] if new is None else new

        return self._pattern.sub(replace, text)

    def host(self, name: str, text: str) -> str | None:
        """The service that an environment variable names as its host (NATS_HOST = "nats"), or None."""
        return self._owner.get(text) if _HOST_VARIABLE.fullmatch(name) else None

    def owner(self, word: str) -> str | None:
        """The service of which this whole word is a name, or None."""
        return self._owner.get(word)

    def named_by(self, service: Service) -> list[Mention]:
        """Every address in what a service is given, its own left out."""
        found: list[Mention] = []

        def noted(mention: Mention) -> None:
            found.append(mention)

        for text in service.texts:
            self.rewritten(text, noted)
        for name, text in service.env.items():
            target = self.host(name, text)
            if target is not None:
                found.append(Mention(target, "", "", paired_port(service.env, name), host_alone=True))
        return [mention for mention in found if mention.target != service.name]


def port_variable(name: str) -> str:
    """The variable of the port beside one of a host: NATS_PORT of NATS_HOST."""
    match = _HOST_VARIABLE.fullmatch(name)
    return f"{match[1]}_PORT" if match and match[1] else "PORT"


def paired_port(env: dict[str, str], name: str) -> int | None:
    """The number in that variable, or None."""
    number = env.get(port_variable(name), "")
    return int(number) if number.isdecimal() else None


def called_ports(mentions: Iterable[Mention], target: str) -> Iterator[tuple[int, str]]:
    """The ports of `target` that are called, the most often called first, each with the scheme that it is called by."""
    counted = Counter(mention.port for mention in mentions if mention.target == target and mention.port)
    schemes = {mention.port: mention.scheme for mention in mentions if mention.target == target and mention.scheme}
    for port, _ in counted.most_common():
        if port is not None:
            yield port, schemes.get(port, "")
