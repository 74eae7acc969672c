"""The tables of a service: how it runs, how it is watched, and how it is asked to stop."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from harness.system._tables import Table
from harness.system._values import (
    Count,
    Duration,
    Metric,
    PathOrUrl,
    Port,
    RegularExpression,
    ServiceRole,
    Texts,
    Variable,
    Word,
    as_http,
    as_path,
)


class Ready(Table):
    """How a service shows that it is ready; exactly one. `ready = "/path"` is short for `{ http = "/path" }`.

    `http` is a path at the service's own first port, or a URL with placeholders, which then give direct addresses.
    """

    http: PathOrUrl | None = None
    tcp: str | None = None
    log: RegularExpression | None = None
    command: Texts | None = None


class Metrics(Table):
    """Where a service tells its metrics, as Prometheus text, and which of them count what happened to it.

    `lost` counts lost connections to the broker, `returned` those that came back, `failures` messages that a handler
    failed on. `metrics = "/path"` is short for a table that names none.
    """

    path: PathOrUrl
    lost: Metric | None = None
    returned: Metric | None = None
    failures: Metric | None = None


class Output(Table):
    """How to read a service's log lines: the keys of time and level in each.

    `lost`, `returned` and `failures` are what a line says of such an event, in any case; None: its level is enough.
    """

    format: Literal["json", "logfmt"]
    time: str
    level: str
    lost: RegularExpression | None = "disconnected"
    returned: RegularExpression | None = "connected"
    failures: RegularExpression | None = None


class Stop(Table):
    """How a service is asked to stop: the signal, without SIG, and the seconds that it may take."""

    signal: Literal["TERM", "INT", "QUIT", "HUP", "USR1", "USR2"] = "TERM"
    grace: Duration = 10.0


class Service(Table):
    """`[services.NAME]`. `ready` None: ready as soon as its process runs. `health` is read like it.

    `small` is what takes the place of variables in `env` where a scenario asks for a system with little room.
    """

    role: ServiceRole
    command: Texts = ()
    image: str | None = None
    replicas: Count = 1
    ports: dict[Word, Port] = Field(default_factory=dict)
    fixed: bool = False
    env: dict[Variable, str] = Field(default_factory=dict)
    small: dict[Variable, str] = Field(default_factory=dict)
    files: dict[str, str] = Field(default_factory=dict)
    ready: Annotated[Ready | None, BeforeValidator(as_http)] = None
    health: PathOrUrl | None = None
    metrics: Annotated[Metrics | None, BeforeValidator(as_path)] = None
    output: Output | None = None
    stop: Stop = Stop()
