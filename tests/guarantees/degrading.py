"""Stories of a system that degrades, and of one that only breaks: the broker comes late, then a provider is away."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from harness.guarantees.degrades import Degrades
from harness.history.rows import OpId, Outcome

from .synthetic import BROKER, END, ENTRY, ENTRY_LINK, WORKER, WORKER_LINK, Story, t

SEARCHES = "searches"
"""A workload of kind http; its answers come from what the entry calls."""
STORE = "store-0"
CALL = (ENTRY, STORE)
CLAUSES = frozenset(clause.name for clause in Degrades.clauses)
BROKER_AWAY, QUERY_FAILED, BUSY = "urn:t:broker-away", "urn:t:query-failed", "urn:t:search-away"
BORN, ABSENT, COMES, DOWN, UP = 4_550, 5_000, 8_000, 10_000, 14_000
"""When the services start, without a broker; when that counts, and the broker comes; when the entry's provider goes,
and when it is back."""
RED_MS, UNTOLD_MS, GREEN_MS, STARTS_MS = 1_000, 2_000, 3_000, 3_000
"""The bounds of a story: its promises (synthetic.PROMISES) and a second, and those of the clauses themselves."""
FAST_MS, OPENS_AFTER, WORKS_MS = 50, 5, 3_000


def changes(**changed: Any) -> dict[str, Any]:
    """The meta of telhawk with a synchronous workload, and with all that a load balancer can ask."""
    from harness.run.meta import SOURCES

    workload = {"answers_s": 2.0, "results_s": 10.0, "polled": False, "read": "", "effects": False, "arrives": ""}
    return {
        "health": {ENTRY: ["ready", "live"], WORKER: ["ready", "live"]},
        "sources": sorted(SOURCES),
        "workloads": {
            "queries": {
                **workload,
                "kind": "http-async",
                "rate": 30,
                "polled": True,
                "effects": True,
                "followed": True,
            },
            SEARCHES: {**workload, "kind": "http", "rate": 30, "followed": False},
        },
    } | changed


def look(
    told: Story, node: str, what: str, at: float, answer: str = "200", *, ns: int = 0, asked: float | None = None
) -> None:
    """An answer that was new, or told again; asked for a millisecond before, unless said."""
    from_ns = t(at - 1 if asked is None else asked)
    told.line("health", at, ns=ns, node=node, what=what, answer=answer, green=answer == "200", from_ns=from_ns)


def looks(
    told: Story, node: str, what: str, *red: tuple[float, float], until: float = END, since: float = BORN + 150
) -> None:
    """Green but for these times, told once a second until the end."""
    for at in range(int(since), int(until) + 1, 1_000):
        dark = any(begin <= at < end for begin, end in red)
        look(told, node, what, at, "503" if dark else "200")
    for begin, end in red:
        look(told, node, what, begin, "503")
        if end <= until:
            look(told, node, what, end)


def refused(told: Story, at: float, kind: str = BROKER_AWAY, *, after: str = "1", **more: Any) -> OpId:
    """A refusal with its problem type, and when to come back."""
    words = f"status 503{kind and f' {kind}'}{after and f' retry-after {after}'}"
    return told.op(at, Outcome.FAIL, status=503, error=words, **more)


def started(told: Story, *nodes: str) -> None:
    """The services' processes began."""
    for node in nodes:
        told.line("node", BORN, node=node, event="started", pid=1)


def slow(told: Story, since: float, until: float, every: float, *, took: float = 500) -> list[OpId]:
    """Searches that a breaker's provider did not answer."""
    return [refused(told, at, BUSY, workload=SEARCHES, took=took) for at in steps(since, until, every)]


def steps(since: float, until: float, every: float) -> Iterable[float]:
    return (since + every * n for n in range(int((until - since) / every)))


def begin(told: Story, *, bit: bool = True) -> None:
    """The broker is absent until COMES; later the store that the entry calls is paused."""
    told.load(4_600, END)
    started(told, ENTRY, WORKER)
    told.fault(ABSENT, COMES, "absent", links=(ENTRY_LINK, WORKER_LINK), nodes=(BROKER,), bit=bit)
    told.fault(DOWN, UP, "pause", links=(CALL,), nodes=(STORE,), number=2, bit=bit)
    for at in steps(4_600, ABSENT, 50):
        told.done(told.op(at), at)


def end(told: Story) -> None:
    told.read(40_000)
    told.read(40_000, "connections")
    told.expect("degrades")


def well(told: Story, *, bit: bool = True) -> None:
    """Every promise of degrading was kept."""
    begin(told, bit=bit)
    for at in steps(ABSENT, COMES, 50):
        refused(told, at)
    told.work(COMES, END)
    for at in steps(ABSENT, DOWN, 50):
        told.op(at, workload=SEARCHES, took=20, status=200)
    slow(told, DOWN, DOWN + 500, 50)
    for at in steps(DOWN + 500, UP, 50):
        refused(told, at, BUSY, workload=SEARCHES, took=2 if at % 1_000 else 400)
    for at in steps(UP, END, 50):
        told.op(at, workload=SEARCHES, took=20, status=200)
    for node in (ENTRY, WORKER):
        looks(told, node, "live")
        looks(told, node, "ready", (BORN, COMES + 600))
    end(told)


def badly(told: Story, *, bit: bool = True) -> None:
    """Every promise of degrading was broken."""
    begin(told, bit=bit)
    for at in steps(ABSENT, COMES, 50):
        refused(told, at, "", after="")
    told.work(COMES, END)
    slow(told, DOWN, UP, 50)
    refused(told, UP - 25, BUSY, workload=SEARCHES)  # at once: there is a breaker, and it lets others through
    slow(told, UP, END, 50, took=100)
    told.line("node", BORN + 900, node=WORKER, event="exited", code=1, expected=False)
    looks(told, ENTRY, "live", (DOWN, DOWN + 200))
    looks(told, ENTRY, "ready")
    looks(told, WORKER, "live", (0, END + 1))
    looks(told, WORKER, "ready", (0, END + 1))
    end(told)
