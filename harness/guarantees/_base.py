"""What a guarantee is: clauses, findings, and the windows that they look at.

A guarantee is a frozen dataclass that holds its bounds and judges a History, nothing else. Each of its clauses says
what it rests on; a trouble makes exactly the findings inconclusive that rest on what it names.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from harness.errors import UnknownName, UsageError
from harness.guarantees._sets import Named
from harness.history.reader import History
from harness.history.rows import Operation, OpId, marker
from harness.verdict import Doubt, Finding, Verdict

LEAST_OPERATIONS = 20
"""Fewer operations than this in a window prove nothing (docs/guarantees.md)."""
SHOWN_OPS = 20
"""How many offending operations a finding names; `ops_total` counts all."""
NS = 1_000_000_000

REGISTRY: dict[str, type[Guarantee]] = {}


@dataclass(frozen=True)
class Clause:
    """One sentence of a promise: its full name, its unit, and what it rests on.

    `timing`: a moment or a duration is judged, so that noise and late arrivals can spoil it; `compares`: those of the
    two `stretches` alone; `at_start`: from the services' start on; `counts_late`: it counts what is late, which being
    late ourselves can only make more; `waits_s`: it counts what did not come within so many seconds; `crossings`: they
    violate it, whatever ids are unclear besides. `sources`:
    observers without which it says nothing; `needs`: sources that the system file must offer for this clause alone.
    `judged`: false for what is measured and never judged.
    """

    name: str
    unit: str
    timing: bool = False
    compares: bool = False
    at_start: bool = False
    counts_late: bool = False
    waits_s: float = 0.0
    crossings: bool = False
    sources: frozenset[str] = frozenset()
    judged: bool = True
    needs: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Guarantee(ABC):
    """A promise. `name` is its word in files and reports, `needs` the sources that the system file must offer.

    Its fields are its bounds. Raises UsageError for one that is unknown, or that could mean nothing.
    """

    name: ClassVar[str]
    clauses: ClassVar[tuple[Clause, ...]]
    needs: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls) -> None:
        REGISTRY[cls.name] = cls

    def __new__(cls, *bounds: object, **named: object) -> Self:
        """Tells of a bound that the promise does not have, before its `__init__` would by a TypeError."""
        known = [field.name for field in dataclasses.fields(cls)]
        for name in named:
            if name not in known:
                raise UnknownName(name, known, kind=f"bound of {cls.name}")
        if len(bounds) > len(known):
            raise UsageError(f"{len(bounds)} bounds are too many", where=cls.name, fix=f"it has {len(known)}")
        return super().__new__(cls)

    def __post_init__(self) -> None:
        """Checks each bound by what its name ends in."""
        for name, bound in self.bounds().items():
            if bound is not None and (instead := _instead(name, bound)):
                raise UsageError(f"{name} is {bound!r:.60}", where=self.name, fix=instead)

    @abstractmethod
    def judge(self, history: History) -> Sequence[Finding]:
        """The findings, one a clause that applies; taints are not its business."""

    def bounds(self) -> dict[str, float | None]:
        """Its parameters, for the history's `expect` line."""
        return dataclasses.asdict(self)


def _instead(name: str, bound: object) -> str:
    """What a bound of that name must be, where it is something else; empty where it is right."""
    number = math.nan
    if isinstance(bound, (int, float)) and not isinstance(bound, bool) and math.isfinite(bound):
        number = bound
    if name == "failed":
        return "" if 0 <= number <= 1 else "a share, from 0 to 1"
    if name.endswith(("_s", "_ms")):
        return "" if number > 0 else "a time above 0"
    return "" if number >= 0 else "a number, 0 or more"


def clause_names() -> frozenset[str]:
    """Every clause of every guarantee, by its full name."""
    return frozenset(clause.name for guarantee in REGISTRY.values() for clause in guarantee.clauses)


def judged_clauses() -> frozenset[str]:
    """Those that can come out violated."""
    return frozenset(clause.name for guarantee in REGISTRY.values() for clause in guarantee.clauses if clause.judged)


def promise(history: History, name: str) -> float:
    """A bound in seconds out of the system file's promises, for the state that was run."""
    return float(history.meta["promises"][name])


@dataclass(frozen=True)
class Window:
    """Where a clause looks: under the fault (effect to healing), or in calm the whole load. In t_ns."""

    from_ns: int
    to_ns: int
    faults: tuple[int, ...] = ()

    def holds(self, operation: Operation) -> bool:
        """Was the operation accepted in the window, or in flight at some moment of it?"""
        end = operation.end_ns if operation.end_ns is not None else self.to_ns
        return operation.start_ns <= self.to_ns and end >= self.from_ns


def window(history: History) -> Window:
    """The scenario's window: first effect to last healing, or the load's whole time where there is no fault."""
    spans = [span for span in history.faults() if span.effective_ns is not None]
    if not spans:
        return load_window(history)
    first = min(span.effective_ns for span in spans if span.effective_ns is not None)
    last = max(span.healed_ns or first for span in spans)
    return Window(first, last, tuple(span.id for span in spans))


AROUND_NS = 2 * NS
"""How far before its effect and after its healing a fault puts accepted work at risk (docs/guarantees.md)."""


def risk_window(history: History) -> Window:
    """The scenario's window and the edges of it: also what is accepted just before a fault must survive it."""
    seen = window(history)
    return Window(seen.from_ns - AROUND_NS, seen.to_ns + AROUND_NS, seen.faults) if seen.faults else seen


def load_window(history: History) -> Window:
    """From the start of the load to the end of its arrivals; of several, from the first to the last."""
    moments: dict[str, list[int]] = {"started": [], "stopping": [], "stopped": []}
    for line in history.lines("load"):
        moments.setdefault(line["event"], []).append(line["t_ns"])
    started, stopped = moments["started"], moments["stopping"] or moments["stopped"]
    from_ns = min(started or stopped, default=0)
    return Window(from_ns, max(stopped, default=from_ns))


STRETCH_NS = 2 * NS
"""How much of the load is compared: the last of it before the first fault, and the last of all."""
GRACE_NS = NS
"""How much later than its deadline an operation may be completed and not count as hung."""


def stretches(history: History) -> tuple[Window, Window]:
    """What is compared: the last of the load before the first fault was asked for, and the last of all."""
    load = load_window(history)
    asked = min((span.asked_ns for span in history.faults()), default=load.to_ns)
    before = Window(min(max(load.from_ns, asked - STRETCH_NS), asked), asked)
    return before, Window(max(load.from_ns, load.to_ns - STRETCH_NS), load.to_ns)


POLL = "poll"


def crossings(history: History) -> list[str]:
    """Of each result that was asked for one operation's and carries another's id, the text that names both."""
    return [line["text"] for line in history.lines("phantom") if line["source"] == POLL]


def end_ns(history: History) -> int:
    """When the last thing was recorded: until then, what did not happen was watched for."""
    return max((line["t_ns"] for line in history.lines("phase", "read", "load", "anchor")), default=0)


def healed_ns(history: History) -> int:
    """The last moment of healing; 0 where there was no fault."""
    return max((span.healed_ns or span.asked_ns for span in history.faults()), default=0)


def inconclusive(clause: str, doubt: Doubt, sentence: str, **more: object) -> Finding:
    """A finding that says why nothing can be said."""
    return Finding(clause, Verdict.INCONCLUSIVE, reason=f"{doubt}: {sentence}", **more)  # type: ignore[arg-type]


NOBODY = Named()


def measured(
    history: History,
    clause: Clause,
    value: float,
    bound: float | None,
    counted: int,
    reason: str,
    ops: Named = NOBODY,
    faults: Sequence[int] = (),
) -> Finding:
    """A finding that is violated where the value is above its bound; without one it is measured alone."""
    verdict = Verdict.VIOLATED if bound is not None and value > bound else Verdict.HOLDS
    told = reason if bound is not None else f"{reason}; measured, not judged"
    return Finding(
        clause.name, verdict, bound, value, clause.unit, counted, told, names(history, ops.first), ops.total, faults
    )


def names(history: History, ops: Sequence[OpId]) -> tuple[str, ...]:
    """The first operations of a finding, as text."""
    return tuple(marker(str(history.meta["nonce"]), op) for op in ops[:SHOWN_OPS])
