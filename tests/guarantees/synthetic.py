"""Histories made up moment by moment: written by the real Recorder, whose clock is the story's, and judged.

Times are whole milliseconds of the story, or nanoseconds where an edge is meant (`ns=`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from hypothesis import HealthCheck, settings

from harness.guarantees import REGISTRY, judge
from harness.history import clock, recorder
from harness.history.clock import Anchor
from harness.history.reader import History
from harness.history.recorder import Recorder, write_meta
from harness.history.rows import OpId, Outcome, Step, marker
from harness.run.meta import meta
from harness.run.setting import Setting
from harness.system.loader import load_system
from harness.verdict import Finding, Verdict

MS = 1_000_000
T0 = 1_000_000 * MS
"""The story's beginning."""
WORK = "queries"
"""The workload of telhawk, of whose roles the stories are told."""
ENTRY, WORKER, OTHER, BROKER = "web-0", "search-0", "search-1", "broker-0"
ENTRY_LINK, WORKER_LINK = (ENTRY, BROKER), (WORKER, BROKER)
PROMISES = {
    "notices_s": 1.0,
    "reconnects_s": 2.0,
    "works_s": 3.0,
    "settles_s": 4.0,
    "stops_s": 1.0,
    "redelivers_s": 5.0,
}
SETTLES_MS = 4_000
RESULTS_MS = 10_000
NOBODYS = OpId(0, 1_000_000)
HIT, HEALED, END = 5_000, 8_000, 20_000
"""When the fault of a story takes effect and is healed, and when its load ends."""
HOLDS, VIOLATED, INCONCLUSIVE = Verdict.HOLDS, Verdict.VIOLATED, Verdict.INCONCLUSIVE
few_examples = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])

Link = tuple[str, str]


@dataclass
class Clock:
    """What the Recorder takes for the time, in t_ns."""

    now: int = T0


@dataclass
class Story:
    """A history that is being written; by several `writers`, the operations go round among them."""

    folder: Path
    meta: dict[str, Any]
    clock: Clock
    writers: tuple[int, ...] = (0,)
    recorders: list[Recorder] = field(init=False)
    offered: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        write_meta(self.folder, self.meta)
        nonce = self.meta["nonce"]
        self.recorders = [Recorder(self.folder, name=f"load-{n}", nonce=nonce, writer=n) for n in self.writers]

    @property
    def recorder(self) -> Recorder:
        """The first writer's, which records everything but operations."""
        return self.recorders[0]

    # ---- work -----------------------------------------------------------------------------------------------------

    def op(
        self,
        at: float,
        outcome: Outcome | None = Outcome.OK,
        *,
        took: float = 1,
        intended: float | None = None,
        workload: str = WORK,
        **finish: Any,
    ) -> OpId:
        """An operation begun at `at` and answered `took` later; outcome None: never finished."""
        writer = self.recorders[self.offered % len(self.recorders)]
        self.offered += 1
        self.clock.now = t(at)
        n = writer.begin(workload, t(at if intended is None else intended))
        if outcome is not None:
            self.clock.now = t(at) + int(took * MS)
            writer.finish(n, outcome, **finish)
        return OpId(writer.writer or 0, n)

    def work(self, since: float, until: float, *, every: float = 50, by: str = WORKER) -> list[OpId]:
        """Operations that are accepted, done once, and have their result 10 ms later."""
        return [self.done(self.op(at), at, by=by) for at in _every(since, until, every)]

    def done(self, op: OpId, at: float, *, by: str = WORKER) -> OpId:
        """An effect 5 ms after `at`, and a proved result 10 ms after it."""
        self.effect(op, at + 5, by=by)
        self.result(op, at + 10)
        return op

    def effect(
        self,
        op: OpId | None,
        at: float,
        *,
        by: str = WORKER,
        step: Step = Step.EFFECT,
        ref: str = "",
        attempt: int = 1,
        ns: int = 0,
    ) -> None:
        """A record of the effects."""
        self.recorder.sight(step, t_ns=t(at) + ns, source="effects", op=op, by=by, ref=ref, attempt=attempt)

    def result(self, op: OpId, at: float, *, proved: bool = True) -> None:
        """A result, of the operation itself or (not proved) of nobody knows which."""
        self.recorder.sight(Step.RESULT, t_ns=t(at), source="poll", op=op, proved=proved)

    def end(self, step: Step, op: OpId, at: float, *, ns: int = 0) -> None:
        """A failure, a dead letter, or a poll that was answered pending or gone."""
        self.recorder.sight(step, t_ns=t(at) + ns, source="poll", op=op)

    # ---- what happened --------------------------------------------------------------------------------------------

    def line(self, kind: str, at: float, *, ns: int = 0, **fields: Any) -> None:
        """A line at that moment."""
        self.recorder.line(kind, t_ns=t(at) + ns, **fields)

    def load(self, since: float, until: float) -> None:
        """The load's start and the end of its arrivals."""
        self.line("load", since, event="started")
        self.line("load", until, event="stopping")

    def read(self, at: float, source: str = "effects", *, complete: bool = True) -> None:
        """A final read."""
        self.line("read", at, source=source, complete=complete, count=0, from_ns=t(at))

    def fault(
        self,
        at: float,
        healed: float,
        kind: str = "silent",
        *,
        links: tuple[Link, ...] = (ENTRY_LINK,),
        own: Mapping[Link, float] | None = None,
        bit: bool = True,
        healed_ns: int = 0,
        number: int = 1,
        took: float = 0,
        nodes: tuple[str, ...] = (),
        healing: float | None = None,
        how: str = "",
    ) -> None:
        """A fault, asked for `took` before its effect; `own`: links that healed at a time of their own."""
        told: dict[str, Any] = {"id": number, "fault": kind, "target": BROKER}
        self.line("fault", at - took, event="asked", links=links, nodes=nodes, how=how, **told)
        self.line("fault", at, event="effective", id=number)
        if healing is not None:
            self.line("fault", healing, event="healing", id=number)
        for link, own_at in (own or {}).items():
            self.line("fault", own_at, event="healed", id=number, link=link)
        if not own:
            self.line("fault", healed, ns=healed_ns, event="healed", id=number)
        self.line("fault", healed, event="evidence", id=number, bit=bit, evidence={})

    def down(
        self,
        node: str,
        at: float,
        *,
        gone: float,
        code: int,
        back: float,
        asked: bool = True,
        number: int = 2,
        bit: bool = True,
        gone_ns: int = 0,
        asking: float | None = None,
    ) -> None:
        """A node that was asked to stop (from `asking` on), or killed, at `at`; gone then, and back and healed then."""
        self.fault(at, back, "terminate" if asked else "kill", links=(), nodes=(node,), number=number, bit=bit)
        if asked:
            began = {} if asking is None else {"from_ns": t(asking)}
            self.line("node", at, node=node, event="stopping", **began)
        how = {"signal": -code} if code < 0 else {"code": code}
        self.line("node", gone, ns=gone_ns, node=node, event="exited", expected=True, **how)
        self.line("node", back, node=node, event="started")

    def poison(self, at: float, *, letters: int = 1, reason: str | None = "why", payload: bool = True) -> OpId:
        """A poison that the broker took, and as many dead letters of it a tenth of a second later."""
        op = self.op(at, workload="poison")
        for _ in range(letters):
            self.letter(op, at + 100, reason=reason, payload=payload)
        return op

    def letter(self, op: OpId, at: float, *, reason: str | None = "why", payload: bool = True) -> None:
        """A dead letter."""
        self.recorder.sight(Step.DEAD_LETTER, t_ns=t(at), source="dead letters", op=op)
        told: dict[str, Any] = {"subject": "dead.why", "ref": "", "reason": reason, "payload": payload}
        self.line("dead_letter", at, op=self.marker(op), **told)

    def connection(
        self,
        link: Link,
        client: str,
        opened: float,
        *,
        reached: float | None = None,
        closed: float | None = None,
        by: str | None = "client",
        closed_ns: int = 0,
        reached_ns: int = 0,
    ) -> None:
        """A connection through a link's proxy; what is None was never seen."""
        told: dict[str, Any] = {"source": link[0], "target": link[1], "client": client}
        self.line("connection", opened, event="opened", via="proxy", **told)
        if reached is not None:
            self.line("connection", reached, ns=reached_ns, event="reached", via="connz", **told)
        if closed is not None:
            self.line("connection", closed, ns=closed_ns, event="closed", via="proxy", by=by, **told)

    def came_back(self, link: Link, hit: float, healed: float, *, after: float = 300) -> None:
        """A client that noticed after 0.5 s and was back `after` the healing."""
        port = 40000 + 10 * int(link == ENTRY_LINK)
        self.connection(link, f"127.0.0.1:{port}", 0, reached=1, closed=hit + 500)
        self.connection(link, f"127.0.0.1:{port + 1}", healed + after - 50, reached=healed + after)

    def expect(self, guarantee: str, **bounds: float | None) -> None:
        """A scenario's expectation."""
        self.line("expect", 0, guarantee=guarantee, bounds=bounds)

    def trouble(self, name: str) -> None:
        """What went wrong in the measuring."""
        self.line("trouble", 0, name=name, detail="as the story has it")

    # ---- judging --------------------------------------------------------------------------------------------------

    def marker(self, op: OpId) -> str:
        """How a finding names an operation."""
        return marker(self.meta["nonce"], op)

    def ended(self, until: float = 60_000) -> History:
        """Ends the story at `until`; its history."""
        self.clock.now = t(until)
        for writer in self.recorders:
            writer.close()
        return History.open(self.folder)

    def judged(self, until: float = 60_000) -> dict[str, Finding]:
        """Ends the story at `until`, and judges it; the findings by clause."""
        return by_clause(self.ended(until))


def by_clause(history: History) -> dict[str, Finding]:
    """What is found of a history, by clause."""
    return {finding.clause: finding for finding in judge(history)[0]}


@contextmanager
def story(
    system: str = "telhawk",
    *,
    calm: bool = False,
    promises: Mapping[str, Any] | None = None,
    writers: tuple[int, ...] = (0,),
    **changed: Any,
) -> Iterator[Story]:
    """A story of that system, with the meta that a run of it would write; `promises` are added to PROMISES."""
    with TemporaryDirectory() as name:
        folder = Path(name) / "history"
        known = meta(_setting(system, Path(name), calm=calm)) | {"began_ns": T0} | changed
        known["promises"] = known["promises"] | PROMISES | (promises or {})
        time = Clock()
        with (
            patch.object(recorder, "_now_ns", lambda: time.now),
            patch.object(clock, "take_anchor", lambda: Anchor(time.now, time.now)),
        ):
            yield Story(folder, known, time, writers)


BOUNDED: Mapping[str, float | None] = {"failed": 1.0, "latency_ms": 500.0, "silence_s": 2.0}
"""Bounds of availability, which without them is measured alone."""
AT_ONCE = 2
"""How many clients may come back at once."""


OWN_STORIES = frozenset({"degrades", "observable"})
"""Guarantees that need stories of their own to be kept or broken."""


def ask_all(told: Story, *, but: Collection[str] = (), **bounds: float | None) -> None:
    """Every guarantee is expected, so that each clause is asked; with bounds where it is only measured without."""
    given: dict[str, Mapping[str, float | None]] = {"available": {**BOUNDED, **bounds}, "bounded": {"returns": AT_ONCE}}
    for name in sorted(REGISTRY.keys() - set(but)):
        told.expect(name, **given.get(name, {}))


def kept(told: Story, *, bit: bool = True) -> None:
    """A fault of both clients' links, after which every promise was kept."""
    told.load(0, 20_000)
    told.work(0, 20_000)
    told.fault(HIT, HEALED, links=(ENTRY_LINK, WORKER_LINK), bit=bit)
    told.came_back(ENTRY_LINK, HIT, HEALED)
    told.came_back(WORKER_LINK, HIT, HEALED)
    handed_over(told, bit=bit)
    told.read(40_000)
    told.read(40_000, "connections")
    told.read(40_000, "dead letters")
    ask_all(told, but=OWN_STORIES)


def broken(told: Story, *, bit: bool = True) -> None:
    """The same fault, after which every promise was broken."""
    told.load(0, 20_000)
    work = told.work(0, HIT)
    for at in range(HIT, 20_000, 100):
        told.op(at, Outcome.FAIL, took=600)
    told.fault(HIT, HEALED, links=(ENTRY_LINK, WORKER_LINK), bit=bit)
    for link in (ENTRY_LINK, WORKER_LINK):
        told.connection(link, f"127.0.0.1:4{link[0].startswith('web'):04}", 0, reached=1, closed=HEALED + 100)
    for number in range(AT_ONCE + 1):  # all at once, and gone before they count as back
        at = HEALED + 200 + 10 * number
        told.connection(ENTRY_LINK, f"127.0.0.1:4600{number}", at, reached=at + 1, closed=at + 100)
    told.end(Step.PENDING, told.op(4_990), 40_000)
    told.op(HIT, None)
    told.effect(work[0], 9_000)
    told.effect(NOBODYS, 9_000)
    dropped(told, bit=bit)
    told.read(40_000)
    told.read(40_000, "connections")
    told.read(40_000, "dead letters")
    ask_all(told, but=OWN_STORIES, failed=0.0)


def handed_over(told: Story, *, bit: bool = True) -> None:
    """A worker that finishes before it ends, dies with work that another does then, and poison that is put aside."""
    for at in range(5_000, 5_050, 10):
        told.result(begun(told, at), 5_300)
    told.result(begun(told, 5_145), 5_300)
    told.down(OTHER, 5_100, gone=5_600, code=0, back=5_900, bit=bit)
    for op in [begun(told, at) for at in range(6_300, 6_350, 10)]:
        told.effect(op, 7_000, step=Step.REPEAT, attempt=2)
        told.result(op, 7_100)
    told.down(OTHER, 6_500, gone=6_500, code=-9, back=7_400, asked=False, number=3, bit=bit)
    for at in (6_000, 6_010, 6_020):
        told.poison(at)
    told.fault(6_030, 7_500, "poison", links=(), number=4, bit=bit)


def dropped(told: Story, *, bit: bool = True) -> None:
    """A worker dies, and nobody does what it had; its successor goes on taking, and ends late; and poison vanishes."""
    for op in [begun(told, at) for at in range(5_000, 5_050, 10)]:
        told.end(Step.FAILURE, op, 9_000)
    told.letter(begun(told, 5_050), 9_000)
    told.down(OTHER, 5_060, gone=5_060, code=-9, back=5_200, asked=False, bit=bit)
    for op in [begun(told, at) for at in range(5_210, 5_260, 10)]:
        told.effect(op, 6_000, step=Step.REPEAT, attempt=4)
        told.result(op, 7_100)
    told.result(begun(told, 5_600), 30_000)
    told.down(OTHER, 5_300, gone=7_300, code=0, back=7_400, number=3, bit=bit)
    for at in (5_060, 5_061, 5_062):
        told.poison(at, letters=0)
    told.fault(5_070, 7_500, "poison", links=(), number=4, bit=bit)


def begun(told: Story, at: float, *, by: str = OTHER) -> OpId:
    """An operation that a worker began, and whose end is still to come."""
    op = told.op(at)
    told.effect(op, at + 5, by=by)
    return op


def begin(told: Story) -> None:
    """Work that went well before, under and after a fault of the entry's link."""
    told.load(0, END)
    told.work(1_000, END - 1_000, every=200)
    told.fault(HIT, HEALED)


def came_out(told: Story, clause: str) -> Finding:
    """The clause's finding, once the effects are read to their end."""
    told.read(40_000)
    return told.judged()[clause]


def named(told: Story, *ops: OpId) -> tuple[str, ...]:
    """How a finding names these operations."""
    return tuple(map(told.marker, ops))


def t(at: float) -> int:
    """The t_ns of a moment of the story, given in milliseconds."""
    return T0 + round(at * MS)


def _every(since: float, until: float, every: float) -> Iterator[float]:
    at = since
    while at < until:
        yield at
        at += every


def _setting(system: str, folder: Path, *, calm: bool) -> Setting:
    return Setting(
        system=load_system(system),
        planned_id="story[told]",
        scenario="story",
        state="told",
        settles_s=PROMISES["settles_s"],
        hardening=None,
        expect="holds",
        exposes={},
        calm=calm,
        run="run",
        seed=1,
        folder=folder,
        repro="",
    )
