"""A compose file's services as tables of a system file: addresses become placeholders, and what is not known a note."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from harness.runtime.contract import READY_WITHIN_S
from harness.starting._addresses import Mention, called_ports, paired_port, port_variable
from harness.starting._interpolation import looks_secret
from harness.starting._roles import Roles
from harness.starting._services import Compose, Port, Service
from harness.starting._unknown import bare_names, other_addresses
from harness.system.placeholders import ADDRESS_FORMS, RESERVED, names

_OWN_PORT = re.compile(r"((HTTP|LISTEN|SERVER|APP|WEB|API)_?)?PORT", re.IGNORECASE)
_PORT_FLAG = re.compile(r"(--?[\w.-]*port)(?:=(\d+))?", re.IGNORECASE)
_VARIABLE = re.compile(r"[A-Za-z_]\w*")
_PASSWORD = re.compile(
    r"[a-z][a-z0-9+.-]*://(?:[^\s/@:{]|\{env:\w+\})*:(?!\{env:)[^\s/@]+@|\b(?:nats|tls)://(?!\{)[^\s/@:]+@"
)
_NUMBERED = {"1": "HUP", "2": "INT", "3": "QUIT", "10": "USR1", "12": "USR2", "15": "TERM"}


@dataclass(slots=True)
class Part:
    """One `[services.NAME]` to be. `reason` is why it has its role; `notes` say what could not be known.

    `ready` is a path or URL that is asked, or a command; empty for nothing. `blind`: nothing tells when it is ready.
    `lost` are folders of volumes that have no place here. `restarts`: compose starts it again where it ends.
    """

    name: str
    role: str
    reason: str
    image: str = ""
    command: tuple[str, ...] = ()
    replicas: int = 1
    ports: dict[str, int] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    ready: str | tuple[str, ...] = ()
    stop: dict[str, str] = field(default_factory=dict)
    blind: bool = False
    restarts: bool = False
    lost: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def texts(self) -> list[str]:
        """Every text in which a placeholder can stand."""
        return [self.image, *self.command, *self.env.values(), *self.files.values()]


def parts(compose: Compose, roles: Roles) -> list[Part]:
    """The services of the system file, in the compose file's order. Raises UsageError."""
    called = _our_names(roles)
    ports = {name: _ports(compose.services[name], roles) for name in roles.roles}
    return [_Translation(compose, roles, called, ports, name).part() for name in roles.roles]


def _our_names(roles: Roles) -> dict[str, str]:
    """What the services are called in the system file, which allows less than compose does."""
    found: dict[str, str] = {}
    for name in roles.roles:
        ours = re.sub(r"[^a-z0-9-]", "-", name.lower())
        ours = re.sub(r"-(\d+)$", r"\1", ours).strip("-")
        if ours in RESERVED or not ours[:1].isalpha():
            ours = f"service-{ours}"
        while ours in found.values():
            ours += "x"
        found[name] = ours
    return found


def _ports(service: Service, roles: Roles) -> dict[int, str]:
    """The ports of a service, each with a name: the one that others call first, then as the file has them."""
    mentions = [mention for found in roles.mentions.values() for mention in found]
    schemes = dict(called_ports(mentions, service.name))
    own = [Port(int(text)) for name, text in service.env.items() if _OWN_PORT.fullmatch(name) and _is_port(text)]
    declared = {port.number: port.name for port in [*service.ports, *own]}
    found: dict[int, str] = {}
    for number in dict.fromkeys([*schemes, *sorted(declared, key=lambda number: not _is_published(service, number))]):
        wanted = re.sub(r"\W", "_", (declared.get(number) or schemes.get(number) or "http").lower())
        fits = re.fullmatch(r"[a-z]\w*", wanted) and wanted not in ADDRESS_FORMS and wanted not in found.values()
        found[number] = wanted if fits else f"port_{number}"
    return found


def _is_port(text: str) -> bool:
    return text.isdecimal() and 0 < int(text) <= 65535


def _is_published(service: Service, number: int) -> bool:
    return any(port.published for port in service.ports if port.number == number)


class _Translation:
    """One service on its way into the system file."""

    def __init__(
        self, compose: Compose, roles: Roles, called: dict[str, str], ports: dict[str, dict[int, str]], name: str
    ) -> None:
        self._compose, self._roles, self._called, self._all_ports = compose, roles, called, ports
        self._service, self._ports = compose.services[name], ports[name]
        role, reason = roles.roles[name]
        self._part = Part(called[name], role, reason, replicas=self._service.replicas)
        self._kept: dict[str, str] = {}
        self._ways: dict[str, int] = {}

    def part(self) -> Part:
        part, service = self._part, self._service
        part.restarts = service.restarts
        if part.name != service.name:
            part.reason += f"; {service.name} in the compose file"
        part.ports = {name: number for number, name in self._ports.items()}
        self._find_mounts()
        self._image()
        part.env = self._env()
        part.command = tuple(self._word(number) for number in range(len(service.words)))
        self._find_ready()
        self._find_stop()
        self._note_the_rest()
        return part

    def _note(self, text: str) -> None:
        if text not in self._part.notes:
            self._part.notes.append(text)

    # ---- addresses --------------------------------------------------------------------------------------------------

    def _text(self, text: str) -> str:
        """A text with addresses and kept folders as placeholders."""
        text = self._roles.directory.rewritten(text, self._placeholder)
        for folder, instead in self._kept.items():
            text = re.sub(rf"(?<![\w.}}/-]){re.escape(folder)}(?![\w.-])", instead.replace("\\", r"\\"), text)
        return text

    def _placeholder(self, mention: Mention) -> str | None:
        if mention.target == self._service.name:
            return None
        if mention.target == self._roles.broker.name:
            return self._to_broker(mention)
        if mention.target not in self._called:
            self._note(f"it is given an address of {mention.target}, which is left out: nothing answers there")
            return None
        name, ports = self._called[mention.target], self._all_ports[mention.target]
        if not ports or (mention.port is not None and mention.port not in ports):
            self._note(
                f"it is given an address of {mention.target} whose port is nowhere: add ports there, and {{{name}.url}}"
            )
            return None
        first = next(iter(ports))
        port = mention.port or first
        if self._ways.setdefault(mention.target, port) != port:
            self._note(f"it calls a second port of {name}, {port}: a link leads to one, so this address stays as it is")
            return None
        if port != first:
            name += f".{ports[port]}"
        if mention.host_alone:
            return f"{{{name}.host}}"
        if mention.scheme == "http" and not mention.user:
            return f"{{{name}.url}}"
        scheme = f"{mention.scheme}://" if mention.scheme else ""
        return f"{scheme}{mention.user}{{{name}.host}}:{{{name}.port}}"

    def _to_broker(self, mention: Mention) -> str | None:
        if mention.host_alone and mention.port in (None, self._roles.client_port):
            return "{broker.host}"
        if mention.scheme not in ("", "nats", "tls") or mention.port not in (None, self._roles.client_port):
            at = f"{mention.scheme}://" if mention.scheme else f"port {mention.port}"
            self._note(
                f"it is given another address of the broker ({at}): the harness' broker serves NATS clients alone"
            )
            return None
        if mention.scheme == "tls":
            self._note("it is given a tls:// address: the harness' broker has no TLS unless an included file says so")
        if mention.scheme == "nats" and not mention.user:
            return "{broker.url}"
        scheme = f"{mention.scheme}://" if mention.scheme else ""
        return f"{scheme}{mention.user}{{broker.host}}:{{broker.port}}"

    # ---- what it is given -------------------------------------------------------------------------------------------

    def _env(self) -> dict[str, str]:
        service, env = self._service, {}
        for name, text in service.env.items():
            if not _VARIABLE.fullmatch(name):
                self._note(f"{name} is left out: no shell could set a variable of that name")
                continue
            env[name] = self._text(text)
            if _OWN_PORT.fullmatch(name) and _is_port(text):
                env[name] = self._own_port(int(text))
            elif re.search(r"ADDR|LISTEN|BIND", name, re.IGNORECASE):
                env[name] = re.sub(r"(?<=:)\d+$", lambda match: self._own_port(int(match[0])), env[name])
            if text and ((looks_secret(name) and not names(text)) or _PASSWORD.search(text)):
                self._note(
                    f"{name} is written out, as in the compose file; {{env:{name}}} would keep it out of reports"
                )
        for name, text in service.env.items():
            self._pair(name, text, env)
        return env

    def _own_port(self, number: int) -> str:
        """`{port}` for one of its own ports; any other number stays."""
        if number not in self._ports:
            return str(number)
        return "{port}" if number == next(iter(self._ports)) else f"{{port.{self._ports[number]}}}"

    def _pair(self, name: str, text: str, env: dict[str, str]) -> None:
        """A host and its port in two variables, as the two placeholders."""
        target = self._roles.directory.host(name, text)
        if target is None:
            return
        number, variable = paired_port(self._service.env, name), port_variable(self._service.env, name)
        if variable.upper() == "PORT" and number in self._ports:
            number = None  # its own
        host = self._placeholder(Mention(target, "", "", number, host_alone=True))
        if host is not None:
            env[name] = host
            port = host.replace(".host}", ".port}")
            if number is not None:
                env[variable] = port
                return
            self._note(
                f"{name} names {target} without a port: a client dials its default port then, and the link listens on"
                f" another. Give the variable of its port {port}, or write {name} = {host}:{port}, as it reads them"
            )

    def _word(self, number: int) -> str:
        """A word of the command; a port that it names as its own becomes {port}."""
        words = self._service.words
        word = self._text(words[number])
        flag = _PORT_FLAG.fullmatch(words[number])
        if flag and flag[2]:
            return f"{flag[1]}={self._own_port(int(flag[2]))}"
        before = _PORT_FLAG.fullmatch(words[number - 1]) if number else None
        return self._own_port(int(word)) if before and not before[2] and _is_port(word) else word

    # ---- image, volumes, files --------------------------------------------------------------------------------------

    def _image(self) -> None:
        part, service = self._part, self._service
        part.image = service.image
        if not service.image and service.built:
            project = re.sub(r"[^a-z0-9_-]", "", self._compose.project.lower())
            part.image = f"{project}-{service.name}"
            self._note(f"`docker compose build` calls its image so; docker-compose 1 says {project}_{service.name}")
        elif not service.image:
            self._note("it has neither image nor build: write an image, or a command that this machine has")
        if service.entrypoint and part.image:
            self._note("compose gives it an entrypoint; a command here does not replace the image's own, if it has one")

    def _find_mounts(self) -> None:
        """Volumes that it names become {dir}, files that it names go into it; what it does not name has no place."""
        named = [mount for mount in self._service.mounts if any(mount.target in text for text in self._own_texts())]
        folder = next((mount for mount in named if not mount.bind), None)
        for mount in self._service.mounts:
            name = Path(mount.target).name
            if mount is folder:
                self._kept[mount.target.rstrip("/")] = "{dir}"
            elif mount in named and mount.content is not None:
                self._part.files[name] = self._text(mount.content)
                self._kept[mount.target] = f"{{dir}}/{name}"
            elif not mount.bind:
                self._part.lost.append(mount.target)
            else:
                self._note(
                    f"{mount.source} is mounted at {mount.target}, and here nothing is: it should be in the image, or"
                    " in files and named as {dir}/..."
                )

    def _own_texts(self) -> list[str]:
        return [*self._service.words, *self._service.env.values()]

    # ---- start and end ----------------------------------------------------------------------------------------------

    def _find_ready(self) -> None:
        """What the health check asks over HTTP, or else the check itself."""
        service, part = self._service, self._part
        hosts = "|".join(["localhost", r"127\.0\.0\.1", r"0\.0\.0\.0", r"\[::1\]", *map(re.escape, service.hosts)])
        found = re.search(rf"http://(?:{hosts})(?::(\d+))?(/[^\s\"'|;&)]*)?", " ".join(service.health))
        if not found:
            part.ready = service.health
            part.blind = not service.health and not self._ports
            return
        path, number = found[2] or "/", int(found[1] or 80)
        if number not in self._ports:
            part.ports[f"port_{number}"] = number
        names_of = {port: name for name, port in part.ports.items()}
        first = next(iter(names_of))
        part.ready = path if number == first else f"{{{part.name}.{names_of[number]}.url}}{path}"

    def _find_stop(self) -> None:
        service, stop = self._service, self._part.stop
        signal = _NUMBERED.get(service.stop_signal, service.stop_signal)
        if signal in ("INT", "QUIT", "HUP", "USR1", "USR2"):
            stop["signal"] = signal
        elif signal not in ("", "TERM"):
            self._note(f"stop_signal {signal} is none that the harness sends: it sends TERM")
        if service.stop_grace:
            stop["grace"] = f"{service.stop_grace:g}s"
        if service.start_period > READY_WITHIN_S:
            self._note(
                f"start_period is {service.start_period:g} s, and the harness waits {READY_WITHIN_S:g} s for it to be"
                " ready: it has to come up faster"
            )

    def _note_the_rest(self) -> None:
        service, broker = self._service, self._roles.broker
        for note in (*self._roles.unknown.get(service.name, ()), *other_addresses(service)):
            self._note(note)
        for name in service.secrets:
            self._note(f"the default of {name} is written out; {{env:{name}}} would keep it out of reports")
        if any(map(_PASSWORD.search, [*service.words, *self._part.files.values()])):
            self._note(
                "a password in a URL is written out, as in the compose file; {env:NAME} would keep it out of reports"
            )
        told = " ".join(self._part.notes)
        for name in service.unset:
            if f"{name} = {{env:{name}}}" in told:
                continue
            self._note(f'{name} comes from the shell in compose: for it, env should have {name} = "{{env:{name}}}"')
        if service.name in self._roles.presumed:
            self._note(
                f"it waits for {broker.name}, but nothing that it is given names its address: without {{broker.url}} in"
                " env or command there is no link to break"
            )
        if service.ignored:
            self._note(f"nothing here is like {', '.join(service.ignored)} of the compose file: does it matter?")
        for word, owner in bare_names(service, self._roles.directory).items():
            name = "broker" if owner == broker.name else self._called.get(owner, "broker")
            self._note(
                f"{word!r} may be an address in what it is given: if so, write a placeholder such as {{{name}.host}},"
                f" and {{{name}.port}} for its port"
            )
        for other in self._silent_needs():
            self._note(f"it waits for {other}, but nothing that it is given names its address: no way leads there")

    def _silent_needs(self) -> Iterable[str]:
        mentioned = {mention.target for mention in self._roles.mentions[self._service.name]}
        return [name for name in self._service.needs if name in self._called and name not in mentioned]
