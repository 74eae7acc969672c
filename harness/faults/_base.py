"""The life of a fault: journal, inject, see it effective, heal on every way out, see it healed; then evidence.

A fault's `inject` and `heal` return the moment at which the mechanism itself was seen to have changed (a pidfd, the
state of a task, the proxy's answer). `evidence` never looks at them: it reads what observers and the probe recorded.
"""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic_ns
from typing import ClassVar, Protocol

import harness.faults
from harness.errors import HarnessError, UsageError, suggestion
from harness.faults import _asked
from harness.faults._counting import counted
from harness.history.reader import FaultSpan, History
from harness.history.recorder import Recorder
from harness.runtime.contract import Link, Node, Runtime
from harness.verdict import Doubt

LinkKey = tuple[str, str]
HEALED_WITHIN_S = 2.0
"""How long after healing the probe may take to cross the link again."""
EFFECT_WITHIN_S = 2.0
"""How long `inject` may take before the fault counts as not effective."""


class ProbeControl(Protocol):
    """The probe as a fault's life sees it: a process of its own that crosses the links under fault."""

    async def watch(self, fault: int, link: LinkKey, *, size: int = 0, wait: bool = True) -> None:
        """Begins to cross `link` with records of at least `size` bytes; with `wait`, until they cross both ways."""
        ...

    async def crossed(self, fault: int, link: LinkKey, *, after_ns: int, within_s: float) -> bool:
        """Waits until something arrives after that moment; False where nothing did in time."""
        ...

    async def stop(self, fault: int) -> None:
        """Ends it for this fault; what was not answered by now is recorded as such."""
        ...


class OwnWay(Protocol):
    """The harness' own way to the broker, which crosses no proxy: a connection for each message."""

    async def largest(self) -> int:
        """The largest payload that the broker takes, in bytes. Raises OSError where the broker is not there."""
        ...

    async def publish(self, subject: str, payload: bytes, marker: str) -> str:
        """Publishes, the marker as a header beside it: "" once the broker took it, or its objection.

        Raises OSError where the broker is not there, or does not answer.
        """
        ...

    async def announce(self, subject: str, size: int) -> str:
        """Begins to publish a message of that size, and sends none of it; what the broker says to that.

        The bytes would be on their way when it hangs up, and its answer be lost with the connection. Raises OSError.
        """
        ...


@dataclass(frozen=True, slots=True)
class Stage:
    """What a fault is applied to, handed to it by the run."""

    runtime: Runtime
    recorder: Recorder
    probe: ProbeControl
    observers_back: Callable[[], Awaitable[None]]
    """Waits until the harness' own subscriptions are on the broker again."""
    entry: str
    """The entry's replica, or `load` where the system has none."""
    journal: Callable[[str], None]
    """Writes a line into the run's journal before the fault is injected."""
    injecting: Callable[[], None] = lambda: None
    """Told before a fault is injected."""
    mended: Callable[[int], None] = lambda _: None
    """Told when a fault was healed, and when that was seen."""
    active: list[Fault] = field(default_factory=list)
    """Faults that were asked for and are not healed."""
    ended: list[Fault] = field(default_factory=list)
    """Faults that are over, and whose evidence is still to be read."""
    own: OwnWay | None = None
    """The harness' own way to the broker, for faults that publish."""
    subject: str = ""
    """Where the system's work is published, as its file tells; empty where it does not."""
    burst: Callable[[float, float], Awaitable[int]] | None = None
    """Lets the load offer so many times its rate for so many seconds from now on; t_ns at which that began."""


REGISTRY: dict[str, type[Fault]] = {}


@dataclass
class Fault(ABC):
    """One fault of a kind. A subclass is a dataclass in a module of its own; it is registered by its `kind`."""

    stage: Stage
    kind: ClassVar[str]
    EXAMPLE: ClassVar[Mapping[str, object]] = {}
    """What a smallest example asks beside its targets, so that each fault can be tried by itself."""
    WHOLE_BEFORE: ClassVar[bool] = True
    """Whether the probe can cross the links before the fault, which is then waited for."""
    LASTS: ClassVar[bool] = True
    """Whether it goes on until it is healed; else it is over by itself, and healing waits for that."""

    id: int = field(default=0, init=False)
    link_times: dict[LinkKey, int] = field(default_factory=dict, init=False)
    """Where links took effect or healed at moments of their own."""

    def __init_subclass__(cls) -> None:
        if "kind" in cls.__dict__:
            REGISTRY[cls.kind] = cls

    @property
    @abstractmethod
    def target(self) -> str:
        """What is hit, for people: `broker-0`, `web-0 - broker-0`."""

    @property
    def nodes(self) -> Sequence[str]:
        """Nodes hit."""
        return ()

    @property
    @abstractmethod
    def links(self) -> Sequence[LinkKey]:
        """Links that cannot work while the fault lasts."""

    @property
    def probed(self) -> Sequence[LinkKey]:
        """Links that the probe crosses meanwhile."""
        return self.links[:1]

    @property
    def probe_bytes(self) -> int:
        """How large the probe's records must be at least for the fault to be seen by them; 0 where any will do."""
        return 0

    @property
    def how(self) -> str:
        """What was asked beyond the kind, in words; empty where there is nothing."""
        return ""

    def check(self) -> None:
        """Raises UsageError for parameters that cannot be, HarnessError where its target cannot be hit as things are.

        Called before anything is made.
        """
        _asked.check(self)
        for key in self.links:
            self.link(*key)

    @abstractmethod
    async def inject(self) -> int:
        """Makes it so; t_ns at which the mechanism was seen to have changed."""

    @abstractmethod
    async def heal(self) -> int:
        """Undoes it, also when inject never ended; t_ns at which the mechanism was seen to be back."""

    @abstractmethod
    def evidence(self, history: History, span: FaultSpan) -> Mapping[str, float]:
        """What observers and the probe saw between `asked` and `healed`; the key `bit` is 1.0 or 0.0."""

    def used(self, history: History) -> bool:
        """Whether the system itself, not only the probe, ever was where the fault is."""
        return True

    def link(self, source: str, target: str) -> Link:
        """The link between two nodes; UsageError that says why there is none, and which there are."""
        links = self.stage.runtime.links
        found = links.get((source, target))
        if found is None:
            service, provider = source.rpartition("-")[0] or source, target.rpartition("-")[0] or target
            near = suggestion(f"{source} - {target}", [" - ".join(key) for key in links])
            raise UsageError(
                f"there is no link from {source} to {target}",
                where=self.kind,
                fix=f"{near}; nothing in {service}'s command, env or files names {{{provider}.url}}",
            )
        return found


@dataclass
class NodeFault(Fault):
    """A fault of one node, whose every link cannot work meanwhile; the entry's comes first, and is probed."""

    node: Node

    @property
    def target(self) -> str:
        """The node's name."""
        return self.node.name

    @property
    def nodes(self) -> Sequence[str]:
        """The one node."""
        return (self.node.name,)

    @property
    def links(self) -> Sequence[LinkKey]:
        """Every link that leads to the node, the entry's first."""
        return sorted(node_links(self.stage.runtime, self.node), key=lambda key: key[0] != self.stage.entry)


@asynccontextmanager
async def applied(fault: Fault, number: int) -> AsyncIterator[None]:
    """The life of a fault around the body of an `async with`: healed on every way out."""
    fault.id = number
    fault.check()
    stage, recorder = fault.stage, fault.stage.recorder
    for link in fault.probed:
        await stage.probe.watch(number, link, size=fault.probe_bytes, wait=fault.WHOLE_BEFORE)
    stage.journal(f"fault {number}: {fault.kind} of {fault.target}")
    recorder.line(
        "fault",
        id=number,
        event="asked",
        fault=fault.kind,
        target=fault.target,
        how=fault.how,
        links=[list(link) for link in fault.links],
        nodes=list(fault.nodes),
    )
    stage.injecting()
    stage.active.append(fault)
    try:
        async with counted(recorder, [fault.link(*key) for key in fault.probed]):
            try:
                async with asyncio.timeout(EFFECT_WITHIN_S):
                    effective = await fault.inject()
                _moment(fault, "effective", effective)
            except (TimeoutError, HarnessError) as error:
                recorder.line("fault", id=number, event="failed", detail=str(error) or f"not in {EFFECT_WITHIN_S} s")
            yield
    finally:
        try:
            await _healed(fault)
        finally:
            stage.active.remove(fault)
            stage.ended.append(fault)
        await _seen_healed(fault)
        await stage.probe.stop(number)


async def _healed(fault: Fault) -> None:
    fault.link_times.clear()
    _line = fault.stage.recorder.line
    _line("fault", id=fault.id, event="healing")
    try:
        healed = await fault.heal()
    except HarnessError as error:
        _line("fault", id=fault.id, event="failed", detail=f"healing: {error}")
        raise
    _moment(fault, "healed", healed)
    fault.stage.mended(healed)


async def _seen_healed(fault: Fault) -> None:
    """Waits until the probe's records arrive again over each link that it crosses; a trouble where they do not.

    A link that cannot work yet, since another fault is still on it, is left to that one.
    """
    after_ns = now_ns()
    for link in {*fault.probed} - {key for other in fault.stage.active for key in other.links}:
        if not await fault.stage.probe.crossed(fault.id, link, after_ns=after_ns, within_s=HEALED_WITHIN_S):
            detail = f"{fault.kind} of {fault.target}: nothing crossed {HEALED_WITHIN_S:g} s after it was healed"
            fault.stage.recorder.line("trouble", name=Doubt.HARNESS_ERROR, detail=detail)


def tell_evidence(stage: Stage, history: History) -> None:
    """Records what observers and the probe saw of each fault that has ended. It takes long: do it at the end."""
    spans = {span.id: span for span in history.faults()}
    for fault in stage.ended:
        evidence = {name: _number(value) for name, value in fault.evidence(history, spans[fault.id]).items()}
        used = fault.used(history)
        bit = evidence.pop("bit", 0.0) > 0 and used
        evidence |= {} if used else {"clients": 0}
        stage.recorder.line("fault", id=fault.id, event="evidence", bit=bit, evidence=evidence)
    stage.ended.clear()


def _number(value: float) -> float:
    """A yes or no as 1 or 0, for JSON knows the difference."""
    return int(value) if isinstance(value, bool) else value


def _moment(fault: Fault, event: str, moment_ns: int) -> None:
    line = fault.stage.recorder.line
    if moment_ns > max(fault.link_times.values(), default=0):  # a node that no link leads to may come last
        line("fault", id=fault.id, event=event, t_ns=moment_ns)
    for link, at_ns in fault.link_times.items():
        line("fault", id=fault.id, event=event, t_ns=at_ns, link=list(link))


def load_all() -> Mapping[str, type[Fault]]:
    """Imports each fault's module, so that REGISTRY knows it; returns the registry."""
    for module in pkgutil.iter_modules(harness.faults.__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"harness.faults.{module.name}")
    return REGISTRY


def now_ns() -> int:
    """The clock of the history."""
    return monotonic_ns()


def node_links(runtime: Runtime, node: Node) -> list[LinkKey]:
    """All links that lead to this node."""
    return [key for key in runtime.links if key[1] == node.name]
