"""What a load is told: sent by the driver as JSON to the load's process. Knows neither Locust nor asyncio."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from harness.errors import UsageError

CONTROL_VARIABLE = "NATS_HARNESS_LOAD"  # the number of the inherited socket over which the runner speaks
PROOF_VARIABLE = "NATS_HARNESS_LOAD_PROOF"  # what a worker of Locust's shows its master
KINDS_VARIABLE = "NATS_HARNESS_LOAD_KINDS"  # the kinds of workload that will be offered, by comma
LONGEST_MESSAGE = 1 << 24  # a payload of the system file may be large

# What stands for {op}, {ref} and {pad} in rendered texts until an operation fills them; no URL, header or TOML holds
# these.
OP, REF, PAD = "\x01op\x01", "\x01ref\x01", "\x01pad\x01"

MOST_IN_FLIGHT = 20_000
"""Operations in flight beyond which arrivals wait, so that a system that answers nothing cannot eat our memory."""


@dataclass(frozen=True, slots=True)
class Amount:
    """How much is offered: each of `workloads` (none named: all) at `times` its rate; {pad} of `padding` letters."""

    times: float = 1.0
    workloads: Sequence[str] = ()
    padding: int = 0

    @classmethod
    def of(cls, message: Mapping[str, Any]) -> Amount:
        """Out of the word `start`."""
        return cls(float(message["times"]), tuple(message["workloads"]), int(message["padding"]))

    def names(self, workload: str) -> bool:
        """Whether that workload is offered."""
        return not self.workloads or workload in self.workloads


@dataclass(frozen=True, slots=True)
class LoadConfig:
    """One load: who records, and what work is offered.

    `history` is the folder of the history, `name` and `writer` the recorder's. `workloads` are the system file's
    tables, rendered, with OP, REF and PAD in place of {op}, {ref} and {pad}. `direct` is the broker's address past
    every proxy, for the final read of a stream; `connect` its user and password, token, or creds. `secrets` never reach
    a file.

    Where `parts` processes carry the load, this one is number `part`: `for_part` says how they differ.
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
    part: int = 0
    parts: int = 1

    def for_part(self, part: int, parts: int) -> LoadConfig:
        """What process `part` of `parts` is told: a writer, a name, its share of what may be in flight."""
        return replace(
            self,
            writer=self.writer + part,
            name=part_name(self.name, part),
            most_in_flight=max(1, self.most_in_flight // parts),
            part=part,
            parts=parts,
        )

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
            if is_elsewhere(url):
                raise UsageError(
                    f"load is offered on this machine only, and {urlsplit(url).hostname or url!r} is not its loopback",
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
            if workload.get("host"):
                yield f"workloads.{name}.host", workload["host"]
            for variable, text in (workload.get("env") or {}).items():
                yield from ((f"workloads.{name}.env.{variable}", url) for url in text.split(",") if "://" in url)


def part_name(name: str, part: int) -> str:
    """The recorder's name of process `part` of the load "load-0": load-0, load-1 ..."""
    stem, _, first = name.rpartition("-")
    return f"{stem}-{int(first) + part}"


def is_elsewhere(url: str) -> bool:
    """Whether a URL leads off this machine, or nowhere that we know."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True
