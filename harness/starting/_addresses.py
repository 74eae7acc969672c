"""Addresses of services in texts: `nats://nats:4222`, `http://store:8080/v1`, `nats:4222`, or NATS_HOST, NATS_PORT."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from harness.starting._services import Service

USUAL_PORTS = {"nats": 4222, "http": 80, "https": 443, "redis": 6379, "postgres": 5432, "postgresql": 5432,
               "mysql": 3306, "mongodb": 27017, "amqp": 5672}  # fmt: skip
_HOST_VARIABLE = re.compile(r"(.*?)_*(HOST|HOSTNAME|ADDR|ADDRESS|SERVER|SERVERS|ENDPOINT)", re.IGNORECASE)
_NATS_LIST = re.compile(r"(?<![\w+.-])(?:nats|tls)://(?:\[[0-9A-Fa-f:.]*\]|[^\s\"'<>|)\]])+")
_WAITING = r"(?:nc|ncat|netcat|telnet|ping|getent|nslookup|dig|wait-for\S*|wait_for\S*)\s[^;&|\n]*?"


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

    def elsewhere(self, text: str) -> list[str]:
        """NATS addresses in a text that lead to none of the services: nats://nats2:4222, or nats://{env:HOST}."""
        found: list[str] = []
        for several in _NATS_LIST.findall(text):
            scheme = several.partition("://")[0]
            for one in re.split(r"[,;]", several):
                address = one.rpartition("://")[2].rpartition("@")[2].partition("/")[0]
                host = address if address.startswith(("{", "[")) else address.partition(":")[0]
                if host and host not in self._owner:
                    found.append(f"{scheme}://{address}")
        return list(dict.fromkeys(found))

    def in_shell(self, text: str) -> list[str]:
        """Names of services that a line of shell may dial: `nc -z nats 4222`, /dev/tcp/nats/4222."""
        hosts = "|".join(sorted(map(re.escape, self._owner), key=len, reverse=True))
        dialled = rf"(?:/dev/tcp/|\b{_WAITING}(?<=\s))({hosts})(?![\w.:-])|(?<=\s)({hosts})(?=\s+\d+(?![\w.]))"
        return list(dict.fromkeys(first or second for first, second in re.findall(dialled, text)))


def port_variable(env: Mapping[str, str], name: str) -> str:
    """The variable of the port beside one of a host, or "": NATS_PORT of NATS_HOST, Nats__Port of Nats__Host."""
    match = _HOST_VARIABLE.fullmatch(name)
    if match is None:
        return ""
    partner = re.compile(rf"{re.escape(match[1])}_*(?:CLIENT_?)?PORT(?:_*(?:NUMBER|NUM|NO))?", re.IGNORECASE)
    return next((one for one, text in env.items() if partner.fullmatch(one) and text.isdecimal()), "")


def paired_port(env: Mapping[str, str], name: str) -> int | None:
    """The number in that variable, or None."""
    number = env.get(port_variable(env, name), "")
    return int(number) if number else None


def called_ports(mentions: Iterable[Mention], target: str) -> Iterator[tuple[int, str]]:
    """The ports of `target` that are called, the most often called first, each with the scheme that it is called by."""
    counted = Counter(mention.port for mention in mentions if mention.target == target and mention.port)
    schemes = {mention.port: mention.scheme for mention in mentions if mention.target == target and mention.scheme}
    for port, _ in counted.most_common():
        if port is not None:
            yield port, schemes.get(port, "")
