"""A compose file as services in one form.

Texts are templates of a system file already: variables are resolved, and what is not known is `{env:NAME}`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Port:
    """A port inside the container; `published`: on the host too. `name` is the file's own for it, "" mostly."""

    number: int
    published: bool = False
    name: str = ""


@dataclass(frozen=True, slots=True)
class Mount:
    """What is mounted where; `source` "" is a volume without a name. `bind`: a path of the host, not a volume.

    `content` is a small text file's, as a template; None where it is something else.
    """

    source: str
    target: str
    bind: bool
    content: str | None = None


@dataclass(slots=True)
class Service:
    """A service, as the compose file has it. `command` None: the image's own. `health`: the test's words.

    `hosts`: the names by which others reach it. `needs`: what it waits for. `unset`: variables that compose hands
    through from the shell. `ignored`: keys that a system file has no place for, and that may matter. `lines`: where
    each key stands. `restarts`: compose starts it again where it ends. `secrets`: variables whose names look like a
    secret's, and whose default is taken. `stop_grace` and `start_period` are seconds.
    """

    name: str
    where: str
    image: str = ""
    built: bool = False
    entrypoint: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    env: dict[str, str] = field(default_factory=dict)
    unset: list[str] = field(default_factory=list)
    ports: list[Port] = field(default_factory=list)
    mounts: list[Mount] = field(default_factory=list)
    health: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    replicas: int = 1
    stop_signal: str = ""
    stop_grace: float | None = None
    start_period: float = 0
    restarts: bool = False
    secrets: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    lines: dict[str, str] = field(default_factory=dict)

    @property
    def words(self) -> tuple[str, ...]:
        """Entrypoint and command together, as far as the file has them."""
        return (self.entrypoint or ()) + (self.command or ())

    def line(self, key: str) -> str:
        """File and line of one of its keys; its own where it has none of that name."""
        return self.lines.get(key, self.where)

    @property
    def texts(self) -> list[str]:
        """Every text that it is given: its words, its environment, and the files that are mounted."""
        mounted = (mount.content for mount in self.mounts if mount.content is not None)
        return [*self.words, *self.env.values(), *mounted]


@dataclass(frozen=True, slots=True)
class Compose:
    """A compose file. `project` begins the names of images that it builds; `one_shot` are jobs that others wait for."""

    path: Path
    project: str
    services: dict[str, Service]
    one_shot: frozenset[str]
