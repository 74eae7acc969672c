"""What a service is told by its environment, and which measures are on."""

from __future__ import annotations

import difflib
import os
import re
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

EXIT_USAGE = 64


class SettingsError(Exception):
    """The environment asks for something that cannot be; the message says what, and what would be right."""


def _measure(*, needs: str = "") -> bool:
    switch: bool = field(default=True, metadata={"needs": needs})
    return switch


@dataclass(frozen=True)
class Measures:
    """The measures that can be switched, each with the measure that it builds on."""

    jetstream: bool = _measure()
    acks: bool = _measure(needs="jetstream")
    outbox: bool = _measure()
    results: bool = _measure(needs="jetstream")
    dedup: bool = _measure(needs="jetstream")
    monitor: bool = _measure()
    lazy_connect: bool = _measure()
    retry: bool = _measure()
    breaker: bool = _measure()
    downstream: bool = _measure()
    errors: bool = _measure()
    drain: bool = _measure()
    logging: bool = _measure()
    metrics: bool = _measure()
    health: bool = _measure()
    correlation: bool = _measure()

    @classmethod
    def parse(cls, spec: str) -> Measures:
        """`none`, `all`, names joined by commas, or `all` with exceptions (`all,-monitor`).

        Raises SettingsError for an unknown name, and for a measure whose base is off.
        """
        known = {_switch(f.name): f.metadata["needs"] for f in fields(cls)}
        words = [word.strip() for word in spec.split(",")]
        on: set[str] = set()
        for position, word in enumerate(words):
            name = word.removeprefix("-")
            if word == "none" and len(words) == 1:
                continue
            if word == "all" and position == 0:
                on = set(known)
            elif name not in known:
                near = difflib.get_close_matches(name, known, 1, 0.5)
                hint = f"did you mean {near[0]}? " if near else ""
                raise SettingsError(
                    f"TELHAWK_HARDENING={spec}: {word!r} is no measure; {hint}none, all, or some of: {', '.join(known)}"
                )
            elif word.startswith("-"):
                on.discard(name)
            else:
                on.add(name)
        for name in known:
            base = known[name]
            if name in on and base and base not in on:
                raise SettingsError(f"TELHAWK_HARDENING={spec}: {name} needs {base}, which is off")
        return cls(**{f.name: _switch(f.name) in on for f in fields(cls)})


@dataclass(frozen=True)
class Settings:
    """All settings of all services; a service reads those that concern it."""

    host: str
    port: int
    nats_url: str
    nats_user: str
    nats_password: str
    nats_token: str
    eventstore_url: str
    authenticate_url: str
    search_url: str
    database: str
    replica: str
    ack_wait_s: float
    outbox: str
    outbox_limit: int
    user: str
    password: str
    measures: Measures

    @classmethod
    def from_env(cls, env: Mapping[str, str], *, port: int) -> Settings:
        """Read the environment; `port` is the service's own default. Raises SettingsError."""
        return cls(
            host=env.get("HOST", "127.0.0.1"),
            port=_whole(env, "PORT", port, least=0),
            nats_url=env.get("NATS_URL", "nats://nats:4222"),
            nats_user=env.get("NATS_USER", ""),
            nats_password=env.get("NATS_PASSWORD", ""),
            nats_token=env.get("NATS_TOKEN", ""),
            eventstore_url=env.get("EVENTSTORE_URL", "http://eventstore:9200").rstrip("/"),
            authenticate_url=env.get("AUTHENTICATE_SERVICE_URL", "http://authenticate:8080").rstrip("/"),
            search_url=env.get("SEARCH_URL", "http://search:8082").rstrip("/"),
            database=env.get("DATABASE", "events.db"),
            replica=env.get("REPLICA") or socket.gethostname(),
            ack_wait_s=_seconds(env, "ACK_WAIT", "30s"),
            outbox=env.get("OUTBOX", "outbox.db"),
            outbox_limit=_whole(env, "OUTBOX_LIMIT", 1000, least=1),
            user=env.get("TELHAWK_USER", "admin"),
            password=env.get("TELHAWK_PASSWORD", "admin"),
            measures=Measures.parse(env.get("TELHAWK_HARDENING", "all")),
        )


def _switch(name: str) -> str:
    """A measure's name as it is written in a specification."""
    return name.replace("_", "-")


def load(*, port: int) -> Settings:
    """The settings of this process; a mistake ends it with exit code 64 and a line that says what is wrong."""
    for stream in (sys.stdout, sys.stderr):
        # A pipe is block-buffered by default, and what a killed process had not flushed is lost; Go's prints are not.
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    try:
        return Settings.from_env(os.environ, port=port)
    except SettingsError as error:
        print(f"telhawk: {error}", file=sys.stderr)
        raise SystemExit(EXIT_USAGE) from None


def _whole(env: Mapping[str, str], name: str, default: int, *, least: int) -> int:
    text = env.get(name, str(default))
    if not text.isascii() or not text.isdigit() or int(text) < least:
        raise SettingsError(f"{name}={text}: a whole number of at least {least} is wanted")
    return int(text)


_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def _seconds(env: Mapping[str, str], name: str, default: str) -> float:
    text = env.get(name, default)
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text)
    total_s = sum(float(number) * _UNITS_S[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != text or total_s <= 0:
        raise SettingsError(f"{name}={text}: a duration like 3s, 500ms or 1m30s is wanted")
    return total_s
