"""Reads a compose file, whatever style it is written in."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

import dotenv

from harness.errors import UsageError, suggestion
from harness.starting import _yaml
from harness.starting._interpolation import escaped, interpolate, looks_secret, variables
from harness.starting._services import Compose, Mount, Port, Service
from harness.starting._yaml import Item

ONE_FILE = "write the whole with `docker compose config > whole.yml`, and name that"
MOST_PORTS = 20
LONGEST_FILE = 64 * 1024
CARRIED = (
    *("image", "build", "entrypoint", "command", "environment", "env_file", "ports", "expose", "volumes"),
    *("healthcheck", "stop_signal", "stop_grace_period", "depends_on", "deploy", "scale", "profiles", "restart"),
    *("container_name", "hostname", "networks", "labels", "annotations", "logging", "pull_policy", "platform"),
    *("tty", "stdin_open", "init", "links"),
)
"""The keys of a service that are carried over, or that do not matter to a run of the harness."""
_BLANK = Item(None, 0)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(us|ms|h|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6}


def read(path: Path) -> Compose:
    """Reads a compose file and the .env and env files that it uses. Raises UsageError with file, line and fix."""
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        fix = suggestion(path.name, [one.name for one in path.parent.glob("*.y*ml")])
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path), fix=fix) from None
    except UnicodeDecodeError:
        raise UsageError("not UTF-8", where=str(path), fix="save the file as UTF-8") from None
    top = _yaml.read(text, str(path))
    if not isinstance(top.value, dict):
        raise UsageError("not a compose file: no table of services", where=str(path), fix="it begins with services:")
    if "include" in top.value:
        raise UsageError("include is not followed", where=f"{path}:{top.value['include'].line}", fix=ONE_FILE)
    services = top.value.get("services", _BLANK)
    if not isinstance(services.value, dict) or not services.value:
        fix = "give it services:, each with an image or a build"
        raise UsageError("no services", where=f"{path}:{services.line or top.line}", fix=fix)
    values = _env_file(path.parent / ".env") if (path.parent / ".env").is_file() else {}
    found = {name: _Reader(path, name, item, values) for name, item in services.value.items()}
    waited = frozenset(other for reader in found.values() for other in reader.waits_for_the_end_of())
    project = values.get("COMPOSE_PROJECT_NAME") or path.resolve().parent.name
    if isinstance(name := top.value.get("name", _BLANK).value, str):
        project = plain(interpolate(name, values, str(path)), str(path), "name")
    made = {name: reader.service() for name, reader in found.items()}
    for reader in found.values():
        for name, alias in reader.links():
            if name in made and alias not in made:
                made[name].hosts = tuple(dict.fromkeys([*made[name].hosts, alias]))
    return Compose(path, project, made, waited)


def plain(template: str, where: str, what: str) -> str:
    """The text of a template that names no variable. Raises UsageError where it does: `what` has to be known now."""
    asked = variables(template)
    if asked:
        fix = f"add {asked[0]}=... to the .env file beside it, or give it a default: ${{{asked[0]}:-...}}"
        raise UsageError(f"{what}: {asked[0]} has no value", where=where, fix=fix)
    return template.replace("{{", "{").replace("}}", "}")


def _env_file(path: Path) -> dict[str, str]:
    return {name: text for name, text in dotenv.dotenv_values(path).items() if text is not None}


class _Reader:
    """Reads one service."""

    def __init__(self, path: Path, name: str, item: Item, values: Mapping[str, str]) -> None:
        self._path, self._name, self._values, self._line = path, name, values, item.line
        self._secrets: set[str] = set()
        if not isinstance(item.value, dict):
            raise self._wrong(item.line, f"services.{name} should be a table", "give it an image or a build")
        self._table = item.value
        if "extends" in item.value:
            raise self._wrong(item.value["extends"].line, f"services.{name}.extends is not followed", ONE_FILE)
        if not {"image", "build"} & item.value.keys():
            meant = ("image", "build")
            near = [(key, one) for one in meant for key in difflib.get_close_matches(one, item.value, 1)]
            line = item.value[near[0][0]].line if near else item.line
            fix = f"{near[0][0]}: did you mean `{near[0][1]}`?" if near else "give it an image or a build"
            raise self._wrong(line, f"services.{name}: no image or build", fix)

    def service(self) -> Service:
        env, unset = self._environment()
        return Service(
            self._name,
            f"{self._path}:{self._line}",
            image=self._text(self._get("image")),
            built="build" in self._table,
            entrypoint=self._words("entrypoint"),
            command=self._words("command"),
            env=env,
            unset=unset,
            ports=list(dict.fromkeys(self._ports())),
            mounts=list(self._mounts()),
            health=self._health(),
            hosts=tuple(dict.fromkeys(self._hosts())),
            needs=self._needs(),
            profiles=tuple(self._text(one) for one in self._list("profiles")),
            replicas=self._replicas(),
            stop_signal=self._text(self._get("stop_signal")).removeprefix("SIG"),
            stop_grace=self._seconds(self._get("stop_grace_period"), "stop_grace_period"),
            start_period=self._start_period(),
            restarts=self._restarts(),
            secrets=tuple(sorted(self._secrets)),
            ignored=tuple(self._ignored()),
            lines={key: self._at(item.line) for key, item in self._table.items()},
        )

    def links(self) -> Iterator[tuple[str, str]]:
        """The aliases that its `links` give to other services."""
        for item in self._list("links"):
            name, colon, alias = self._text(item).partition(":")
            if colon:
                yield name, alias

    def waits_for_the_end_of(self) -> list[str]:
        """Services that have to have ended before this one starts: jobs."""
        needs = self._get("depends_on").value
        if not isinstance(needs, dict):
            return []
        conditions = {name: self._below(need, "condition").value for name, need in needs.items()}
        return [name for name, condition in conditions.items() if condition == "service_completed_successfully"]

    # ---- values -----------------------------------------------------------------------------------------------------

    def _get(self, key: str) -> Item:
        return self._table.get(key, _BLANK)

    def _below(self, item: Item, key: str) -> Item:
        return item.value.get(key, _BLANK) if isinstance(item.value, dict) else _BLANK

    def _at(self, line: int) -> str:
        return f"{self._path}:{line}"

    def _wrong(self, line: int, what: str, fix: str) -> UsageError:
        return UsageError(what, where=self._at(line), fix=fix)

    def _text(self, item: Item) -> str:
        """A text as a template; "" where there is none."""
        if item.value is None:
            return ""
        if not isinstance(item.value, str):
            raise self._wrong(item.line, f"services.{self._name}: a text is wanted here", "write one value")
        return interpolate(item.value, self._values, self._at(item.line), self._secrets)

    def _plain(self, item: Item, what: str) -> str:
        return plain(self._text(item), self._at(item.line), f"services.{self._name}.{what}")

    def _list(self, key: str) -> list[Item]:
        """A list; a single value counts as a list of it."""
        item = self._get(key)
        if isinstance(item.value, list):
            return item.value
        return [] if item.value is None else [item]

    def _words(self, key: str) -> tuple[str, ...] | None:
        item = self._get(key)
        if item.value is None:
            return None
        if isinstance(item.value, list):
            return tuple(self._text(word) for word in item.value)
        text = self._text(item)
        try:
            return tuple(shlex.split(text))
        except ValueError as error:
            raise self._wrong(item.line, f"services.{self._name}.{key}: {error}", "close the quote") from None

    # ---- environment ------------------------------------------------------------------------------------------------

    def _environment(self) -> tuple[dict[str, str], list[str]]:
        """Env files first, `environment` over them; and the variables that are named without a value."""
        env: dict[str, str] = {}
        for item in self._list("env_file"):
            env.update(self._from_file(item))
        named = list(self._named_values())
        env.update({name: text for name, text in named if text is not None})
        return env, [name for name, text in named if text is None and name not in env]

    def _named_values(self) -> Iterator[tuple[str, str | None]]:
        item = self._get("environment")
        if isinstance(item.value, dict):
            for name, one in item.value.items():
                yield name, None if one.value is None else self._text(one)
            return
        if isinstance(item.value, str):
            raise self._wrong(item.line, f"services.{self._name}.environment is no table or list", "write NAME: value")
        for one in self._list("environment"):
            name, equals, text = self._text(one).partition("=")
            yield name, text if equals else None

    def _from_file(self, item: Item) -> dict[str, str]:
        """An env file's values; one that looks like a secret stays there, and is asked for as {env:NAME}."""
        named = self._below(item, "path") if isinstance(item.value, dict) else item
        path = self._path.parent / self._plain(named, "env_file")
        if not path.is_file():
            if self._below(item, "required").value == "false":
                return {}
            raise self._wrong(item.line, f"services.{self._name}.env_file: no such file: {path}", "make it, or name it")
        values = _env_file(path)
        return {name: f"{{env:{name}}}" if looks_secret(name) else escaped(text) for name, text in values.items()}

    # ---- network ----------------------------------------------------------------------------------------------------

    def _hosts(self) -> Iterator[str]:
        yield self._name
        named = [self._get("container_name"), self._get("hostname")]
        networks = self._get("networks").value
        for network in networks.values() if isinstance(networks, dict) else ():
            aliases = self._below(network, "aliases").value
            named += aliases if isinstance(aliases, list) else []
        texts = filter(None, map(self._text, named))
        yield from (text for text in texts if not variables(text))

    def _ports(self) -> Iterator[Port]:
        for item in self._list("ports"):
            yield from self._long_port(item) if isinstance(item.value, dict) else self._short_port(item, published=True)
        for item in self._list("expose"):
            yield from self._short_port(item, published=False)

    def _short_port(self, item: Item, *, published: bool) -> Iterator[Port]:
        """`[[ADDRESS:]HOST:]CONTAINER[/PROTOCOL]`, where a port can be a range."""
        text = self._plain(item, "ports")
        inside, _, protocol = text.rpartition(":")[2].partition("/")
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", inside)
        if match is None:
            raise self._wrong(item.line, f"services.{self._name}.ports: {text!r} is no port", 'write "3000:3000"')
        first, last = int(match[1]), int(match[2] or match[1])
        if not 0 < first <= last <= 65535:
            raise self._wrong(item.line, f"services.{self._name}.ports: {text!r} is no port", "1 to 65535 are")
        if protocol in ("", "tcp"):
            yield from (Port(number, published) for number in range(first, min(last, first + MOST_PORTS - 1) + 1))

    def _long_port(self, item: Item) -> Iterator[Port]:
        target = self._below(item, "target")
        if target.value is None:
            raise self._wrong(item.line, f"services.{self._name}.ports: no target", "write target: 3000")
        if self._below(item, "protocol").value not in (None, "tcp"):
            return
        name = self._below(item, "name").value or self._below(item, "app_protocol").value
        published = self._below(item, "published").value is not None
        for port in self._short_port(target, published=published):
            yield Port(port.number, port.published, name if isinstance(name, str) else "")

    # ---- start and end ----------------------------------------------------------------------------------------------

    def _seconds(self, item: Item, key: str) -> float | None:
        """A duration as compose writes it (1m30s); None where there is none."""
        text = self._plain(item, key)
        if not text:
            return None
        if not re.fullmatch(rf"(?:{_DURATION.pattern})+", text):
            raise self._wrong(item.line, f"services.{self._name}.{key}: {text!r} is no duration", "write 10s or 1m30s")
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in _DURATION.findall(text))
        if not seconds and key == "stop_grace_period":
            what = f"services.{self._name}.{key}: {text}, and the harness asks before it kills"
            raise self._wrong(item.line, what, "write 1s in a copy of the file, and name that")
        return seconds

    def _start_period(self) -> float:
        return self._seconds(self._below(self._get("healthcheck"), "start_period"), "healthcheck.start_period") or 0

    def _restarts(self) -> bool:
        policy = self._below(self._get("deploy"), "restart_policy")
        if policy.value is not None:
            return self._below(policy, "condition").value != "none"
        return self._get("restart").value not in (None, "no")

    def _ignored(self) -> Iterator[str]:
        yield from (key for key in self._table if key not in CARRIED and not key.startswith("x-"))
        if self._below(self._below(self._get("deploy"), "resources"), "limits").value:
            yield "deploy.resources.limits"
        ports = [
            self._below(item, "protocol") if isinstance(item.value, dict) else item for item in self._list("ports")
        ]
        if any(isinstance(item.value, str) and item.value.endswith("udp") for item in [*ports, *self._list("expose")]):
            yield "UDP ports"

    # ---- the rest ---------------------------------------------------------------------------------------------------

    def _health(self) -> tuple[str, ...]:
        check = self._get("healthcheck")
        test = self._below(check, "test")
        if test.value is None or self._below(check, "disable").value == "true":
            return ()
        if not isinstance(test.value, list):
            return ("sh", "-c", self._text(test))
        how, *words = [self._text(word) for word in test.value] or ["NONE"]
        return {"NONE": (), "CMD-SHELL": ("sh", "-c", *words)}.get(how, tuple(words))

    def _mounts(self) -> Iterator[Mount]:
        for item in self._list("volumes"):
            if isinstance(item.value, dict):
                if self._below(item, "type").value == "tmpfs":
                    continue
                source, target = self._text(self._below(item, "source")), self._text(self._below(item, "target"))
                bind = self._below(item, "type").value == "bind"
            else:
                parts = self._text(item).split(":")
                source, target = (parts[0], parts[1]) if len(parts) > 1 else ("", parts[0])
                bind = source.startswith((".", "/", "~"))
            yield Mount(source, target, bind, self._content(source) if bind else None)

    def _content(self, source: str) -> str | None:
        path = self._path.parent / source
        try:
            if variables(source) or not path.is_file() or path.stat().st_size > LONGEST_FILE:
                return None
            return escaped(path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError):
            return None

    def _needs(self) -> tuple[str, ...]:
        needs = self._get("depends_on")
        return tuple(needs.value) if isinstance(needs.value, dict) else tuple(map(self._text, self._list("depends_on")))

    def _replicas(self) -> int:
        item = self._below(self._get("deploy"), "replicas")
        item = self._get("scale") if item.value is None else item
        text = self._plain(item, "deploy.replicas")
        if text and not text.isdecimal():
            raise self._wrong(item.line, f"services.{self._name}: {text!r} replicas", "write a whole number")
        return int(text or 1)
