"""What the faults of one link share; each kind is a file of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.errors import UsageError
from harness.faults._base import Fault, LinkKey
from harness.faults._evidence import partitioned
from harness.history import probes
from harness.history.reader import FaultSpan, History
from harness.runtime.contract import Node, Way

WAYS: Mapping[Way, Sequence[probes.Way]] = {"both": ("to", "from"), "to": ("to",), "from": ("from",)}


@dataclass
class LinkFault(Fault):
    """A fault of the link from `source` (a node, or None for the load) to `provider`."""

    source: Node | None
    provider: Node

    @property
    def key(self) -> LinkKey:
        """The link's two ends."""
        return (self.source.name if self.source else "load", self.provider.name)

    @property
    def target(self) -> str:
        """Both ends of the link."""
        return " - ".join(self.key)

    @property
    def links(self) -> Sequence[LinkKey]:
        """The one link."""
        return (self.key,)

    @property
    def to_broker(self) -> bool:
        """Whether the provider is a broker: there the probe sees each way by itself."""
        return self.provider.role == "broker"

    def check(self) -> None:
        """Raises UsageError where there is no such link, or it is under another fault of its own."""
        super().check()
        for other in self.stage.active:
            if isinstance(other, LinkFault) and other.key == self.key:
                raise UsageError(
                    f"the link {self.target} is under {other.kind} already, and cannot be under {self.kind} too",
                    fix="end the one before, or take another link",
                )

    def used(self, history: History) -> bool:
        """Whether a client ever connected over the link, so that there was somebody to be hurt."""
        return any(
            (line["source"], line["target"]) == self.key and line["via"] == "proxy" and not line.get("probe")
            for line in history.lines("connection")
        )

    async def heal(self) -> int:
        """The moment at which the proxy's answer, or its state, said that the link was whole again."""
        return await self.link(*self.key).mend()


@dataclass
class OneWayFault(LinkFault):
    """A fault of one way of a link, or of both: `to` is from the source to the provider, `from` is the answers."""

    way: Way = field(default="both", kw_only=True)

    @property
    def how(self) -> str:
        """The way."""
        return f"way {self.way}"


@dataclass
class Cut(OneWayFault):
    """Nothing crosses the link: either way, or one."""

    def evidence(self, history: History, span: FaultSpan) -> Mapping[str, float]:
        """The probe's records and the kernel's bytes: none arrived that way, and those of the other way did."""
        return partitioned(history, span, self.key, self.way)


@dataclass
class SwollenFault(OneWayFault):
    """A fault that only large records show. The probe cannot swell a service's answers, so it sees the way `to` alone.

    With `both` on a link to a service the answers are under the fault too, and nothing proves it.
    """

    @property
    def most_bytes(self) -> int:
        """How large the probe makes its records: a broker takes a megabyte, a service some kilobytes of a question."""
        return 65_536 if self.to_broker else 4096

    @property
    def records_s(self) -> float:
        """How many records the probe sends each second, each way."""
        return 100 if self.to_broker else 50

    @property
    def ways_seen(self) -> Sequence[probes.Way]:
        """The ways of which the probe's records tell."""
        return WAYS[self.way] if self.to_broker else ("round",)

    def check(self) -> None:
        """Raises UsageError for the answers of a service, of which nothing would tell."""
        super().check()
        if self.way == "from" and not self.to_broker:
            raise UsageError(
                f"nothing could show that {self.kind} of {self.provider.name}'s answers alone bit",
                where=self.kind,
                fix='way="to" or "both", or latency with way="from"',
            )
