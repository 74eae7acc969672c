"""What a load is told: sent by the driver as JSON to the load's process. Knows neither Locust nor asyncio."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import urlsplit

from harness.errors import UsageError

CONTROL_VARIABLE = "NATS_HARNESS_LOAD"  # the number of the inherited socket over which the runner speaks
LONGEST_MESSAGE = 1 << 20

# What stands for {op} and {ref} in rendered texts until an operation fills them; no URL, header or TOML holds these.
OP, REF = "\x01op\x01", "\x01ref\x01"

MOST_IN_FLIGHT = 20_000
"""Operations in flight beyond which arrivals wait, so that a system that answers nothing cannot eat our memory."""


@dataclass(frozen=True, slots=True)
class LoadConfig:
    """One load: who records, and what work is offered.

    `history` is the folder of the history, `name` and `writer` the recorder's. `workloads` are the system file's
    tables, rendered, with OP and REF in place of {op} and {ref}. `direct` is the broker's address past every proxy,
    for the final read of a stream; `connect` its user and password, token, or creds. `secrets` never reach a file.
    """

    nonce: str
    writer: int
    name: str
    history: str
    workloads: Mapping[str, Mapping[str, Any]] = field(repr=False)
    direct: str = ""
    connect: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: Sequence[str] = field(default=(), repr=False)
    most_in_flight: int = MOST_IN_FLIGHT

    def to_json(self) -> dict[str, Any]:
        """As it is sent."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LoadConfig:
        """Checked, from what was sent. Raises UsageError where it names another host."""
        config = cls(**data)
        config.check()
        return config

    def check(self) -> None:
        """Raises UsageError unless every address is on this machine's loopback."""
        for where, url in self._urls():
            host = urlsplit(url).hostname or ""
            if not _is_loopback(host):
                raise UsageError(
                    f"load is offered on this machine only, and {host or url!r} is not its loopback",
                    where=where,
                    fix="name a service by its placeholder ({web.url}), so that the work crosses a link",
                )

    def _urls(self) -> Iterator[tuple[str, str]]:
        if self.direct:
            yield "broker", self.direct
        for name, workload in self.workloads.items():
            for table in ("submit", "poll", "publish"):
                if workload.get(table):
                    yield f"workloads.{name}.{table}.url", workload[table]["url"]


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
