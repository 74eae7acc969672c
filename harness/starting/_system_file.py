"""The system file that is made from a compose file, as text."""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from harness.runtime import binaries
from harness.starting._interpolation import variables
from harness.starting._parts import Part, parts
from harness.starting._roles import Roles, image_name, roles_of
from harness.starting._services import Compose, Service
from harness.system import _toml

WIDTH = 118
LONGEST_ENV = 100
WORK = Path(__file__).parent / "templates" / "work.toml"


@dataclass(slots=True)
class Made:
    """A system file as text, and what could not be known: (whom it concerns, what), in the file's order."""

    text: str
    guessed: list[tuple[str, str]] = field(default_factory=list)
    open: list[tuple[str, str]] = field(default_factory=list)


def made_from(compose: Compose, folder: Path) -> Made:
    """The system file for a compose file, to be in `folder`. Raises UsageError where there is not one broker."""
    roles = roles_of(compose)
    services = parts(compose, roles)
    alike = {what: [name for name, said in roles.missing.items() if said == what] for what in roles.missing.values()}
    together = [*((", ".join(whom), what) for what, whom in alike.items()), *_together(services)]
    broker, broker_notes = _broker(compose, roles, folder)
    entry = next((part for part in services if part.role == "entry"), None)
    name = re.sub(r"[^a-z0-9-]", "-", compose.project.lower()).strip("-")
    chunks = [
        _head(compose, roles, together),
        f"[system]\nname = {_toml.text(name if name[:1].isalpha() else f'system-{name}'.strip('-'))}",
        broker,
        *map(_service, services),
        _work(entry),
    ]
    made = Made("\n\n".join(chunks) + "\n")
    made.guessed = [(part.name, f"{part.role}: {part.reason}") for part in services]
    made.guessed += [(name, f"left out: {reason}") for name, reason in roles.left_out.items()]
    made.open = [("broker", note) for note in broker_notes]
    if any(compose.services[name].built for name in roles.roles):
        made.open.append(("images", f"build them first: docker compose -f {compose.path} build"))
    made.open += together
    made.open += [(part.name, note) for part in services for note in part.notes]
    if entry is None:
        made.open.append(("services", "no client of the broker has a port: which is the entry, where work is offered?"))
    asked = [name for part in services for text in part.texts() for name in variables(text)]
    if asked:
        exports = " ".join(f"{name}=..." for name in dict.fromkeys(asked))
        made.open.append(("environment", f"set before a run: export {exports}"))
    made.open.append(("workloads", "how work is offered, and where its result is found"))
    return made


def _comment(words: str, prefix: str = "# ") -> str:
    words = "".join(character if character.isprintable() else " " for character in words)
    wrapper = textwrap.TextWrapper(
        WIDTH, initial_indent=prefix, subsequent_indent="# ", break_on_hyphens=False, break_long_words=False
    )
    return wrapper.fill(words)


def _todo(words: str) -> str:
    return _comment(words, "# TODO: ")


def _together(services: list[Part]) -> Iterator[tuple[str, str]]:
    """What is the same for several services, said once: (who they are, what)."""
    lost = [f"{part.name} ({', '.join(part.lost)})" for part in services if part.lost]
    said = {
        "nothing tells when it is ready: it counts as ready as soon as it runs": [p.name for p in services if p.blind],
        "a service that ends by itself stays down: the harness does not restart it; if it relies on its restart"
        " policy, reconnects will be violated": [part.name for part in services if part.restarts],
        "what is stored there does not outlive a kill: a folder that env or command names would, as {dir}": lost,
    }
    yield from ((", ".join(whom), what) for what, whom in said.items() if whom)


def _head(compose: Compose, roles: Roles, together: list[tuple[str, str]]) -> str:
    told = [
        f"Made from {compose.path.name} by `nats-harness init --compose`. What it could not know is marked TODO; roles"
        " are guesses, each with its reason. Each {name.url} is a link through a proxy of its own, where faults act;"
        " braces that mean themselves are doubled."
    ]
    told += [f"Left out: {name}: {reason}." for name, reason in roles.left_out.items()]
    return "\n".join([*map(_comment, told), *(_todo(f"{whom}: {what}") for whom, what in together)])


# ---- broker ---------------------------------------------------------------------------------------------------------


def _broker(compose: Compose, roles: Roles, folder: Path) -> tuple[str, list[str]]:
    """The table and what could not be known."""
    service = roles.broker
    version, image = _version(service), service.image or "its image"
    include, missing = _include(compose, service, folder)
    asks = next((word for word in service.words if re.match(r"--?(user|pass|auth|tls)", word)), "")
    streams = include or missing or re.search(r"(^|\s)(-js|--jetstream)\b", " ".join(service.words))
    notes = [
        *([] if version else [f"{image} does not tell the version: which one runs in production?"]),
        *([missing] if missing else []),
        *([f"{asks} is not carried over: put it into a configuration file, and include that"] if asks else []),
        *([] if streams else ["nothing in its command switches JetStream on; in the harness it is on"]),
    ]
    lines = [
        _comment(
            f"{service.name} in the compose file. The harness writes its configuration: ports, monitoring, store."
        ),
        *([_comment(f"What {include} says is included, but for what the harness writes itself.")] if include else []),
        *map(_todo, notes),
        "[broker]",
        f"version = {_toml.text(version or binaries.installed_nats_version() or '2.12.8')}",
        *([f"include = {_toml.text(include)}", *_connect(roles)] if include else []),
    ]
    return "\n".join(lines), notes


def _version(service: Service) -> str:
    """The broker's version, where its image's tag tells it whole."""
    image, tag = image_name(service.image)
    match = re.match(r"\d+\.\d+\.\d+", tag) if image == "nats" else None
    return match[0] if match else ""


def _include(compose: Compose, service: Service, folder: Path) -> tuple[str, str]:
    """The configuration that its command names, as a file beside the compose file; or a note."""
    words = list(service.words)
    flags = [number for number, word in enumerate(words[:-1]) if word in ("-c", "--config", "-config")]
    named = [words[number + 1] for number in flags]
    named += [word.partition("=")[2] for word in words if word.startswith(("--config=", "-c="))]
    if not named:
        return "", ""
    for mount in service.mounts:
        inside = Path(named[0])
        if mount.bind and (inside == Path(mount.target) or Path(mount.target) in inside.parents):
            path = compose.path.parent / mount.source / inside.relative_to(mount.target)
            if path.is_file():
                asked = _asked_by(path)
                if not asked:
                    return os.path.relpath(path, folder), ""
                given = service.line("environment" if "environment" in service.lines else "env_file")
                return "", (
                    f"its configuration {mount.source} asks for {', '.join(asked)}, which compose hands to it ({given})"
                    ' and the harness does not: write the values into a copy, and add include = "FILE"'
                )
    return "", f'its configuration {named[0]} is not here: copy it out of the image, and add include = "FILE"'


def _asked_by(path: Path) -> list[str]:
    """The variables of its environment that a broker's configuration asks for, as $NAME."""
    text = re.sub(r"\"[^\"\n]*\"|'[^'\n]*'|(?:#|//).*", '""', path.read_text("utf-8", "replace"))
    set_there = set(re.findall(r"(?:^|[\s{,;])([A-Za-z_]\w*)\s*[:=]", text))
    asked = dict.fromkeys(re.findall(r"(?<=[\s:=,\[{(])\$([A-Za-z_]\w*)", text))
    return [name for name in asked if name not in set_there]


def _connect(roles: Roles) -> list[str]:
    """How the harness signs in, where an included configuration may ask for it: as the first client does."""
    users = [m.user for found in roles.mentions.values() for m in found if m.target == roles.broker.name and m.user]
    if not users:
        return []
    user, colon, password = users[0].removesuffix("@").partition(":")
    who = {"user": user, "password": password} if colon else {"token": user}
    return [f"connect = {_toml.table(who)}  # as a client does"]


# ---- services -------------------------------------------------------------------------------------------------------


def _service(part: Part) -> str:
    lines = [_comment(f"{part.role}, since {part.reason}."), *map(_todo, part.notes)]
    lines += [f"[services.{part.name}]", f"role = {_toml.text(part.role)}"]
    if part.replicas > 1:
        lines.append(f"replicas = {part.replicas}")
    if part.image:
        lines.append(f"image = {_toml.text(part.image)}")
    if part.command:
        lines.append(f"command = {_toml.array(part.command)}")
    if part.ports:
        lines.append(f"ports = {_toml.table(part.ports)}")
    if isinstance(part.ready, str):
        lines.append(f"ready = {_toml.text(part.ready)}")
    elif part.ready:
        lines.append(f"ready = {{ command = {_toml.array(part.ready)} }}")
    if part.stop:
        lines.append(f"stop = {_toml.table(part.stop)}")
    lines += _table(part, "env", part.env)
    if part.files:
        lines += ["", f"[services.{part.name}.files]"]
        lines += [f"{_toml.key(name)} = {_toml.lines(text)}" for name, text in part.files.items()]
    return "\n".join(lines)


def _table(part: Part, name: str, values: dict[str, str]) -> Iterator[str]:
    """A table inline where it is short, or below the service's own keys."""
    inline = _toml.table(values)
    if values and len(inline) <= LONGEST_ENV:
        yield f"{name} = {inline}"
    elif values:
        yield from ("", f"[services.{part.name}.{name}]")
        yield from (f"{_toml.key(key)} = {_toml.text(value)}" for key, value in values.items())


# ---- work -----------------------------------------------------------------------------------------------------------


def _work(entry: Part | None) -> str:
    return WORK.read_text("utf-8").replace("{entry.url}", f"{{{entry.name if entry else 'web'}.url}}").strip()
