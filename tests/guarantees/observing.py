"""Stories of services that tell what happens to them, and of services that keep it to themselves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from harness.guarantees.observable import Observable
from harness.history.rows import OpId, Outcome

from .synthetic import END, ENTRY, ENTRY_LINK, HEALED, HIT, WORKER, WORKER_LINK, Link, Story, t

CLAUSES = frozenset(clause.name for clause in Observable.clauses)
OUTPUT = {"format": "json", "time": "ts", "level": "level", "lost": "gone", "returned": "back", "failures": None}
METRICS = {"lost": "lost_total", "returned": "returned_total", "failures": "failures_total"}
LOST, BACK, POISONED = HIT + 500, HEALED + 300, 14_000
"""When a client's connection is seen to close, when it has another, and when a worker is given what it cannot take."""
POISONS = 3
READ = 40_000


def changes(**changed: Any) -> dict[str, Any]:
    """The meta of telhawk where an entry and a worker tell of themselves."""
    from harness.run.meta import SOURCES

    told = {"output": OUTPUT, "metrics": METRICS}
    return {"observed": {ENTRY: told, WORKER: told}, "sources": sorted(SOURCES)} | changed


def say(told: Story, node: str, at: float, level: str, text: str, *, own: float | None = None, ns: int = 0) -> None:
    """A log line, with a time of its own."""
    own_s = t(at if own is None else own) / 1e9
    line = {"ts": datetime.fromtimestamp(own_s, UTC).isoformat(), "level": level, "msg": text}
    told.line("output", at, ns=ns, node=node, text=json.dumps(line))


def scrape(told: Story, node: str, at: float, *, ns: int = 0, **values: float | None) -> None:
    """A scrape that was kept, which took 1 ms."""
    counted: Mapping[str, float | None] = {"lost": 0.0, "returned": 0.0, "failures": 0.0, **values}
    told.line("metrics", at, ns=ns, node=node, from_ns=t(at - 1) + ns, values=counted)


def failed(told: Story, node: str, at: float, why: str = "status 404") -> None:
    """A scrape that failed."""
    told.line("metrics", at, node=node, from_ns=t(at - 1), error=why)


def cut(told: Story, *links: Link, bit: bool = True) -> None:
    """Under load, the clients of these links lose their connections and come back."""
    told.load(0, END)
    told.fault(HIT, HEALED, links=links, bit=bit)
    for link in links:
        told.came_back(link, HIT, HEALED)


def poison(told: Story, *, bit: bool = True, times: int = POISONS) -> list[OpId]:
    """Messages among the work that no handler can take."""
    told.fault(POISONED, POISONED + 100, "poison", links=(), number=2, bit=bit)
    return [told.op(POISONED + n, Outcome.OK, workload="poison") for n in range(times)]


def ended(told: Story) -> None:
    """Everything is read to its end, and asked."""
    told.read(READ)
    told.read(READ, "connections")
    told.expect("observable")


def well(told: Story, *, bit: bool = True) -> None:
    """Each loss, each return and each failure is told, in lines and in numbers."""
    cut(told, ENTRY_LINK, WORKER_LINK, bit=bit)
    for node in (ENTRY, WORKER):
        scrape(told, node, 100)
        say(told, node, LOST + 20, "warning", "the broker is gone")
        scrape(told, node, LOST + 300, lost=1.0)
        say(told, node, BACK + 20, "info", "the broker is back")
        scrape(told, node, BACK + 300, lost=1.0, returned=1.0)
    for n, _ in enumerate(poison(told, bit=bit)):
        say(told, WORKER, POISONED + 50 + n, "error", "cannot take this")
    scrape(told, WORKER, POISONED + 400, lost=1.0, returned=1.0, failures=float(POISONS))
    ended(told)


def badly(told: Story, *, bit: bool = True) -> None:
    """Nothing is told of anything."""
    cut(told, ENTRY_LINK, WORKER_LINK, bit=bit)
    for node in (ENTRY, WORKER):
        scrape(told, node, 100)
    poison(told, bit=bit)
    ended(told)
