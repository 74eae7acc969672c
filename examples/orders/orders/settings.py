"""Settings: a small TOML file each for the shop and the packers."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Broker:
    """How to reach the broker, and after how many unanswered pings its connection counts as lost."""

    url: str
    ping_s: float
    pings_outstanding: int


@dataclass(frozen=True)
class Settings:
    """One service's file. `table` is what it holds beside `[broker]`."""

    broker: Broker
    table: dict[str, Any]


def read(path: Path) -> Settings:
    """The settings in `path`. Raises OSError, tomllib.TOMLDecodeError, KeyError: without them, better not to start."""
    table = tomllib.loads(path.read_text())
    broker = table.pop("broker")
    ping = broker["ping"]
    return Settings(Broker(broker["url"], float(ping["every_s"]), int(ping["outstanding"])), table)
