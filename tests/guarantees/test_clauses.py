"""Every registered clause: what says nothing must not come out as `holds`, and doubt reaches what rests on it alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from harness.guarantees import REGISTRY, clause_names
from harness.history.rows import OpId, Outcome
from harness.run.meta import SOURCES
from harness.verdict import Doubt, Finding, Verdict

from . import degrading, observing
from .synthetic import ENTRY_LINK, HEALED, HIT, OWN_STORIES, WORKER_LINK, Story, ask_all, broken, kept, story, t

ABOUT_WORK = clause_names() - {"reconnects.notices", "reconnects.reconnects", "bounded.returns"}
CLAUSES = [clause for guarantee in REGISTRY.values() for clause in guarantee.clauses]
TIMING = frozenset(clause.name for clause in CLAUSES if clause.timing)
COUNTED = clause_names() - TIMING
ONLY_MEASURED = {"core_loss"}  # never with a bound, and of a kind of work that these systems do not have
OWN = frozenset(clause.name for name in OWN_STORIES for clause in REGISTRY[name].clauses)
BASES: list[tuple[Callable[..., None], dict[str, Any], Verdict, frozenset[str]]] = [
    (kept, {}, Verdict.HOLDS, clause_names() - ONLY_MEASURED - OWN),
    (broken, {}, Verdict.VIOLATED, clause_names() - ONLY_MEASURED - OWN),
    (degrading.well, degrading.changes(), Verdict.HOLDS, degrading.CLAUSES),
    (degrading.badly, degrading.changes(), Verdict.VIOLATED, degrading.CLAUSES),
    (observing.well, observing.changes(), Verdict.HOLDS, observing.CLAUSES),
    (observing.badly, observing.changes(), Verdict.VIOLATED, observing.CLAUSES),
]
"""Stories in which every promise of these clauses was kept, or broken; and what their systems are."""
COMPARES = frozenset(clause.name for clause in CLAUSES if clause.compares)
AT_START = frozenset(clause.name for clause in CLAUSES if clause.at_start)
WAITS = frozenset(clause.name for clause in CLAUSES if clause.waits_s)
COUNTS_LATE = frozenset(clause.name for clause in CLAUSES if clause.counts_late)
OF_CONNECTIONS = frozenset(clause.name for clause in CLAUSES if "connections" in clause.sources)
OF_HEALTH = frozenset(clause.name for clause in CLAUSES if "health" in clause.sources)


def holding(findings: Mapping[str, Finding]) -> set[str]:
    """What holds a bound; what was not asked of a scenario has none, and decides nothing."""
    return {
        name for name, finding in findings.items() if finding.verdict is Verdict.HOLDS and not finding.only_measured
    }


# ---- what says nothing ----------------------------------------------------------------------------------------------


def empty(told: Story) -> None:
    """Not a line of it."""


def started_and_stopped(told: Story) -> None:
    """A fault with evidence, clients that came back, reads to the end, and not one operation."""
    told.load(0, 20_000)
    told.fault(HIT, HEALED, links=(ENTRY_LINK, WORKER_LINK))
    told.read(40_000)


def without_a_fault(told: Story) -> None:
    """Work that went well, with clients that came back from nothing at all."""
    told.load(0, 20_000)
    told.work(0, 20_000)
    told.came_back(ENTRY_LINK, HIT, HEALED)
    told.came_back(WORKER_LINK, HIT, HEALED)
    told.read(40_000)


@pytest.mark.parametrize("tell", [empty, started_and_stopped, without_a_fault])
@pytest.mark.parametrize("system", ["telhawk", "bare"])
def test_nothing_holds_where_nothing_was_tried(system: str, tell: Callable[[Story], None]) -> None:
    with story(system, sources=list(SOURCES)) as told:
        if tell is without_a_fault and system == "bare":
            told.load(0, 20_000)
            for at in range(0, 20_000, 100):
                told.op(at, workload="messages", seq=at + 1)
        else:
            tell(told)
        ask_all(told)
        findings = told.judged()
    assert set(findings) == clause_names()
    assert holding(findings) == set()


@pytest.mark.parametrize("tell", [empty, started_and_stopped])
def test_calm_without_work_does_not_hold(tell: Callable[[Story], None]) -> None:
    with story(calm=True) as told:
        tell(told)
        ask_all(told)
        assert holding(told.judged()) == set()


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("back", [True, False])
@pytest.mark.parametrize("failed", [None, 0.5])
def test_nothing_about_work_holds_where_every_operation_is_unknown(
    finished: bool, back: bool, failed: float | None
) -> None:
    with story() as told:
        told.load(0, 20_000)
        for at in range(0, 20_000, 50):
            told.op(at, Outcome.UNKNOWN if finished else None)
        told.fault(HIT, HEALED, links=(ENTRY_LINK, WORKER_LINK))
        if back:
            told.came_back(ENTRY_LINK, HIT, HEALED)
            told.came_back(WORKER_LINK, HIT, HEALED)
        told.read(40_000)
        ask_all(told)
        told.expect("available", failed=failed)
        findings = told.judged()
    judged = {name: finding for name, finding in findings.items() if finding.bound is not None}
    assert holding(judged) & ABOUT_WORK == set()
    assert findings["available.failed"].measured == 1.0


# ---- doubt ----------------------------------------------------------------------------------------------------------


def trouble(name: Doubt) -> Callable[[Story], None]:
    return lambda told: told.trouble(name)


def a_gap(source: str) -> Callable[[Story], None]:
    return lambda told: told.line("gap", 6_000, source=source, from_ns=1, to_ns=None, why="of a gap")


def noise(
    what: str, at: float, *, late_share: float = 0.0, lag_p99_ms: float = 0.0, lag_max_ms: float = 30_000.0
) -> Callable[[Story], None]:
    def tell(told: Story) -> None:
        measured: dict[str, Any] = {
            "lag_p99_ms": lag_p99_ms,
            "lag_max_ms": lag_max_ms,
            "late_share": late_share,
            "slip_p99_ms": 0.0,
        }
        told.line("noise", at, what=what, from_ns=t(at - 1_000), cpu={}, **measured)

    return tell


def behind(offered: int) -> Callable[[Story], None]:
    return lambda told: told.line("phase", 8_000, name="steady", from_ns=1, to_ns=2, offered=offered, intended=100)


def refs_twice(told: Story) -> None:
    for at in (1, 2):
        told.done(told.op(at, ref="the same"), at)


LATE = (noise("runner", 6_500, late_share=0.02), noise("load", 6_500, late_share=0.02))
STALL = noise("load", 6_500, lag_max_ms=1_000.0)
LATE_BEFORE = noise("runner", 4_999, late_share=0.5)
NONE: frozenset[str] = frozenset()
REACHES: list[tuple[str, Doubt, Callable[[Story], None], frozenset[str]]] = [
    ("a trouble by itself", Doubt.HARNESS_ERROR, trouble(Doubt.HARNESS_ERROR), clause_names()),
    ("a trouble by itself", Doubt.HISTORY_INCOMPLETE, trouble(Doubt.HISTORY_INCOMPLETE), clause_names()),
    ("a trouble by itself", Doubt.BYPASS, trouble(Doubt.BYPASS), clause_names()),
    ("a trouble by itself", Doubt.NO_EVIDENCE, trouble(Doubt.NO_EVIDENCE), clause_names()),
    ("a trouble by itself", Doubt.TOO_LITTLE, trouble(Doubt.TOO_LITTLE), clause_names()),
    ("a trouble by itself", Doubt.LOAD_BEHIND, trouble(Doubt.LOAD_BEHIND), clause_names()),
    ("a trouble by itself", Doubt.GAP, trouble(Doubt.GAP), clause_names()),
    ("a trouble by itself", Doubt.CLOCK_STEPPED, trouble(Doubt.CLOCK_STEPPED), TIMING),
    ("a trouble by itself", Doubt.PROXY_REPLACED, trouble(Doubt.PROXY_REPLACED), TIMING),
    ("a trouble by itself", Doubt.NOISE, trouble(Doubt.NOISE), TIMING),
    ("a trouble by itself", Doubt.IDS_UNCLEAR, trouble(Doubt.IDS_UNCLEAR), COUNTED),
    ("94 % offered", Doubt.LOAD_BEHIND, behind(94), clause_names()),
    ("95 % offered", Doubt.LOAD_BEHIND, behind(95), NONE),
    ("connections not read", Doubt.GAP, a_gap("connections"), OF_CONNECTIONS),
    ("metrics not read", Doubt.GAP, a_gap("metrics"), NONE),
    ("health not read", Doubt.GAP, a_gap("health"), OF_HEALTH),
    ("a ref given twice", Doubt.IDS_UNCLEAR, refs_twice, COUNTED),
    ("nobody woke for a second", Doubt.NOISE, STALL, WAITS),
    ("the runner late", Doubt.NOISE, LATE[0], TIMING - COMPARES),
    ("the load late", Doubt.NOISE, LATE[1], TIMING - COMPARES),
    ("the runner just not late", Doubt.NOISE, noise("runner", 6_000, late_share=0.01, lag_max_ms=999.0), NONE),
    ("the runner late before the fault", Doubt.NOISE, LATE_BEFORE, COMPARES | AT_START),
    ("the runner late long before the fault", Doubt.NOISE, noise("runner", 2_999, late_share=0.5), NONE),
]


@pytest.mark.parametrize(
    ("doubt", "tell", "reached"), [pytest.param(*row[1:], id=f"{row[0]}, {row[1]}") for row in REACHES]
)
@pytest.mark.parametrize("base", BASES, ids=lambda base: base[0].__name__)
def test_a_doubt_reaches_what_rests_on_it(
    base: Any, doubt: Doubt, tell: Callable[[Story], None], reached: frozenset[str]
) -> None:
    """What counts what is late, or did not come in time, is believed where it holds, however late we were.

    So is what compares where it is violated, however late we were before the fault.
    """
    tell_base, changed, untouched, clauses = base
    if tell is STALL and untouched is Verdict.HOLDS:
        reached -= WAITS
    if tell in LATE and untouched is Verdict.VIOLATED:
        reached |= WAITS
    if untouched is Verdict.VIOLATED:
        reached -= COMPARES if tell is LATE_BEFORE else NONE
    if tell in LATE and untouched is Verdict.HOLDS:
        reached -= COUNTS_LATE
    with story(**changed) as told:
        tell_base(told)
        tell(told)
        findings = {name: finding for name, finding in told.judged().items() if name in clauses}
    assert {name: finding.verdict for name, finding in findings.items()} == {
        name: Verdict.INCONCLUSIVE if name in reached else untouched for name in clauses
    }
    assert {finding.reason.partition(":")[0] for name, finding in findings.items() if name in reached} <= {str(doubt)}


@pytest.mark.parametrize(
    ("stretch", "others", "doubted"),
    [
        pytest.param(3.0, 1.5, True, id="others had the cores"),
        pytest.param(2.9, 1.5, False, id="others had some of them"),
        pytest.param(3.0, 0.4, False, id="the system itself had them"),
        pytest.param(None, 1.5, False, id="nobody asked for one"),
    ],
)
@pytest.mark.parametrize("base", BASES, ids=lambda base: base[0].__name__)
def test_what_took_too_long_may_be_others_doing(base: Any, stretch: float | None, others: float, doubted: bool) -> None:
    """Where others had the cores, what broke its bound is believed beyond so many times it; what kept it always."""
    tell_base, changed, untouched, clauses = base
    with story(**changed) as told:
        tell_base(told)
        before = {name: finding for name, finding in told.judged().items() if name in clauses}
    with story(**changed) as told:
        tell_base(told)
        late: dict[str, Any] = {"lag_p99_ms": 0.0, "lag_max_ms": 0.0, "late_share": 0.0}
        cpu = {"system": 0.3, "runner": 0.2}
        told.line("noise", 60_000, what="runner", from_ns=t(-5_000), cpu=cpu, others=others, stretch=stretch, **late)
        after = {name: finding.verdict for name, finding in told.judged().items() if name in clauses}
    may_be = {
        name
        for name, finding in before.items()
        if doubted and untouched is Verdict.VIOLATED and name in TIMING
        if finding.unit not in ("s", "ms") or (finding.measured or 0) <= (finding.bound or 0) * (stretch or 0)
    }
    assert may_be or not doubted or untouched is Verdict.HOLDS or not TIMING & clauses
    assert {name for name, verdict in after.items() if verdict is Verdict.INCONCLUSIVE} == may_be


@pytest.mark.parametrize("base", BASES, ids=lambda base: base[0].__name__)
def test_a_fault_without_evidence_makes_all_inconclusive(base: Any) -> None:
    tell_base, changed, _, clauses = base
    with story(**changed) as told:
        tell_base(told, bit=False)
        findings = {name: finding for name, finding in told.judged().items() if name in clauses}
    assert {finding.verdict for finding in findings.values()} == {Verdict.INCONCLUSIVE}
    assert {finding.reason.partition(":")[0] for finding in findings.values()} == {"no evidence"}


def test_a_fault_that_never_took_effect_is_no_evidence_of_anything() -> None:
    with story() as told:
        told.load(0, 20_000)
        told.work(0, 20_000, every=100)
        told.came_back(ENTRY_LINK, HIT, HEALED)
        told.line("fault", HIT, event="asked", id=1, fault="silent", target="web-0", links=[ENTRY_LINK], nodes=[])
        told.line("fault", HEALED, event="failed", id=1, detail="not in 2 s")
        told.read(40_000)
        ask_all(told)
        findings = told.judged()
    assert {name for name, f in findings.items() if f.verdict != Verdict.INCONCLUSIVE and f.bound is not None} == set()


def test_a_writer_that_died_makes_all_inconclusive() -> None:
    with story() as told:
        kept(told)
        told.recorder._ops.close()  # type: ignore[union-attr]  # as SIGKILL does, with no word in the header
        told.recorder._lines.close()
        findings = told.judged()
    assert {finding.reason.partition(":")[0] for finding in findings.values()} == {"history incomplete"}


@pytest.mark.parametrize("doubt", Doubt)
def test_what_is_measured_and_not_judged_is_in_doubt_where_the_harness_failed_alone(doubt: Doubt) -> None:
    with story() as told:
        kept(told)
        told.expect("available")
        told.trouble(doubt)
        finding = told.judged()["available.failed"]
    assert (finding.bound, finding.measured) == (None, 0.0)
    assert finding.verdict is (Verdict.INCONCLUSIVE if doubt is Doubt.HARNESS_ERROR else Verdict.HOLDS)


def test_a_failure_of_the_harness_is_what_every_finding_tells_first() -> None:
    """Also one that would be inconclusive for a reason of its own."""
    with story() as told:
        told.fault(HIT, HEALED, bit=False)
        ask_all(told)
        told.trouble(Doubt.BYPASS)
        told.trouble(Doubt.HARNESS_ERROR)
        findings = told.judged()
    assert {finding.reason for finding in findings.values()} == {"harness error: as the story has it"}


def test_a_gap_tells_how_long_it_was() -> None:
    with story() as told:
        kept(told)
        told.line("gap", 6_000, source="connections", from_ns=t(5_000), to_ns=t(6_000), why="of a gap")
        closed = told.judged()["reconnects.works"]
    with story() as told:
        kept(told)
        told.line("gap", 6_000, source="connections", from_ns=t(5_000), to_ns=None, why="of a gap")
        left_open = told.judged()["reconnects.works"]
    assert closed.reason == "gap: connections was not being read for 1.00 s"
    assert left_open.reason == "gap: connections was not being read to the end"


def test_a_tainted_finding_keeps_what_it_measured() -> None:
    with story() as told:
        broken(told)
        told.trouble(Doubt.HARNESS_ERROR)
        findings = told.judged()
    assert findings["no_loss"].measured == 1
    assert findings["no_loss"].ops == (told.marker(OpId(0, 250)),)
    assert findings["reconnects.notices"].measured == 3.0


def test_every_doubt_is_asked_of_every_clause() -> None:
    assert {doubt for _, doubt, *_ in REACHES} == set(Doubt)


# How far the value is within its bound, in ms, while our lag was 90 ms at most and late too often.
@pytest.mark.parametrize(("margin", "doubted"), [(181, False), (179, True), (-1_500, True)])
def test_a_busy_machine_spoils_what_it_may_have_decided(margin: float, doubted: bool) -> None:
    """It makes what it times later: a bound that is kept by more than twice our lag is kept; a broken one is not."""
    with story() as told:
        told.load(0, 20_000)
        told.work(0, 20_000)
        told.fault(HIT, HEALED)
        told.connection(ENTRY_LINK, "127.0.0.1:1", 0, reached=1, closed=HIT + 500)
        told.connection(ENTRY_LINK, "127.0.0.1:2", HEALED, reached=HEALED + 2_000 - margin)
        noise("runner", 6_500, late_share=0.02, lag_max_ms=90.0)(told)
        told.read(40_000)
        ask_all(told)
        finding = told.judged()["reconnects.reconnects"]
    assert finding.reason.startswith("noise: ") is doubted
    assert finding.verdict is (Verdict.INCONCLUSIVE if doubted else Verdict.HOLDS)


# Our own lag, how far the value is within its bound (both in ms), and whether that is too near to tell.
@pytest.mark.parametrize(
    ("lag", "margin", "near"),
    [(100, 199, True), (100, 201, False), (0, 0, False), (100, -199, True), (100, -201, False)],
)
def test_a_value_nearer_to_its_bound_than_twice_our_lag_is_noise(lag: float, margin: float, near: bool) -> None:
    with story() as told:
        told.load(0, 20_000)
        told.work(0, 20_000)
        told.fault(HIT, HEALED)
        told.connection(ENTRY_LINK, "127.0.0.1:1", 0, reached=1, closed=HIT + 500)
        told.connection(ENTRY_LINK, "127.0.0.1:2", HEALED, reached=HEALED + 2_000 - margin)
        noise("runner", 6_000, lag_p99_ms=lag)(told)
        told.read(40_000)
        ask_all(told)
        finding = told.judged()["reconnects.reconnects"]
    expected = Verdict.HOLDS if margin >= 0 else Verdict.VIOLATED
    assert finding.verdict is (Verdict.INCONCLUSIVE if near else expected)
    assert finding.reason.startswith("noise: ") is near
