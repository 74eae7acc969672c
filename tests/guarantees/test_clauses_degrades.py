"""The edges of degrades: what is in time to the nanosecond, what is typed, whose type it is, what opens a breaker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from harness.errors import UsageError
from harness.faults import load_all
from harness.guarantees import judge
from harness.guarantees._health import AWAY, ENDING
from harness.guarantees._refusals import problem_type, typed
from harness.guarantees._returns import UNTOLD, WORKING
from harness.guarantees.degrades import Degrades
from harness.history.recorder import write_meta
from harness.history.rows import Operation, OpId, Outcome, Step
from harness.verdict import Finding, Verdict

from . import degrading
from .degrading import (
    BORN,
    BROKER_AWAY,
    BUSY,
    CALL,
    FAST_MS,
    GREEN_MS,
    OPENS_AFTER,
    QUERY_FAILED,
    RED_MS,
    SEARCHES,
    STARTS_MS,
    STORE,
    UNTOLD_MS,
    WORKS_MS,
    look,
    looks,
    refused,
    slow,
    started,
    steps,
)
from .synthetic import (
    BROKER,
    END,
    ENTRY,
    ENTRY_LINK,
    HEALED,
    HIT,
    HOLDS,
    INCONCLUSIVE,
    VIOLATED,
    WORKER,
    WORKER_LINK,
    Story,
    named,
    story,
    t,
)

FIRST, SECOND = "127.0.0.1:40001", "127.0.0.1:40002"


@contextmanager
def told_of(kind: str = "kill", **fault: object) -> Iterator[Story]:
    """A fault of the entry's link to the broker, from HIT to HEALED."""
    with story(**degrading.changes()) as told:
        told.load(0, END)
        told.expect("degrades")
        told.fault(HIT, HEALED, kind, **fault)  # type: ignore[arg-type]
        yield told


def came_out(told: Story, clause: str) -> Finding:
    told.read(40_000)
    return told.judged()[f"degrades.{clause}"]


# ---- starts ---------------------------------------------------------------------------------------------------------


@contextmanager
def without_a_broker(healed: float = HEALED) -> Iterator[Story]:
    with story(**degrading.changes(health={ENTRY: ["live"], WORKER: ["ready"]})) as told:
        told.load(0, END)
        told.fault(HIT, healed, "absent", links=(ENTRY_LINK, WORKER_LINK), nodes=(BROKER,))
        started(told, ENTRY, WORKER)
        told.expect("degrades")
        yield told


@pytest.mark.parametrize(("ns", "verdict"), [(-1, HOLDS), (0, HOLDS), (1, VIOLATED)])
def test_a_service_may_live_just_in_time(ns: int, verdict: Verdict) -> None:
    with without_a_broker() as told:
        look(told, ENTRY, "live", BORN + 10, "ECONNREFUSED")
        look(told, ENTRY, "live", BORN + STARTS_MS, ns=ns)
        finding = came_out(told, "starts")
    assert (finding.verdict, finding.counted) == (verdict, 1)
    assert finding.measured == pytest.approx(STARTS_MS / 1000)


# How far a value is within its bound, in ms, where we were late by 90 ms at most, and whether it is doubted.
@pytest.mark.parametrize(
    ("margin", "verdict"),
    [(181, HOLDS), (179, INCONCLUSIVE), (-179, INCONCLUSIVE), (-899, INCONCLUSIVE), (-901, VIOLATED)],
)
def test_our_own_stall_as_processes_start_spoils_no_start_that_is_far_from_its_bound(
    margin: float, verdict: Verdict
) -> None:
    with without_a_broker(HEALED + 2_000) as told:
        look(told, ENTRY, "live", BORN + 10, "ECONNREFUSED")
        look(told, ENTRY, "live", BORN + STARTS_MS - margin)
        late: dict[str, Any] = {"lag_p99_ms": 0.0, "lag_max_ms": 90.0, "late_share": 0.02}
        told.line("noise", BORN + 1_000, what="runner", from_ns=t(BORN), cpu={}, **late)
        finding = came_out(told, "starts")
    assert finding.verdict is verdict
    assert finding.reason.startswith("noise: ") is (verdict is INCONCLUSIVE)


def test_a_service_that_lives_once_the_broker_is_there_never_lived_without() -> None:
    with without_a_broker() as told:
        look(told, ENTRY, "live", BORN + 10, "503")
        look(told, ENTRY, "live", HEALED + 1)
        finding = came_out(told, "starts")
    assert (finding.verdict, finding.reason) == (VIOLATED, "web-0 never, in 3.5 s")


@pytest.mark.parametrize(("healed", "verdict"), [(BORN + STARTS_MS, INCONCLUSIVE), (BORN + STARTS_MS + 1, VIOLATED)])
def test_a_service_that_was_waited_for_too_shortly_may_have_lived(healed: float, verdict: Verdict) -> None:
    with without_a_broker(healed) as told:
        look(told, ENTRY, "live", BORN + 10, "ECONNREFUSED")
        assert came_out(told, "starts").verdict is verdict


@pytest.mark.parametrize(("at", "verdict"), [(HEALED - 1, VIOLATED), (HEALED, HOLDS)])
def test_a_service_that_ended_did_not_start(at: float, verdict: Verdict) -> None:
    """Also one that lived for a while."""
    with without_a_broker() as told:
        look(told, ENTRY, "live", BORN + 100)
        told.line("node", at, node=ENTRY, event="exited", code=1, expected=False)
        finding = came_out(told, "starts")
    assert finding.verdict is verdict
    assert ("ended by itself" in finding.reason) is (verdict is VIOLATED)


def test_a_service_that_was_not_looked_at_or_not_started_tells_nothing() -> None:
    with without_a_broker() as told:
        assert came_out(told, "starts").verdict is INCONCLUSIVE
    with story(**degrading.changes(health={"search-7": ["live"]})) as told:
        told.fault(HIT, HEALED, "absent", nodes=(BROKER,))
        told.expect("degrades")
        assert came_out(told, "starts").reason == "too little: no replica that tells was hit"


# ---- answers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "kind", "is_typed"),
    [
        ("status 503 urn:a retry-after 1", "urn:a", True),
        ("status 503 urn:a retry-after 60", "urn:a", True),
        ("status 503 urn:a retry-after 0", "urn:a", False),
        ("status 503 urn:a retry-after 61", "urn:a", False),
        ("status 503 urn:a retry-after Wed, 21 Oct 2026 07:28:00 GMT", "urn:a", False),
        ("status 503 urn:a", "urn:a", False),
        ("status 503 retry-after 1", "", False),
        ("status 503", "", False),
        ("status 503 about:blank retry-after 1", "", False),
        ("connection refused", "", False),
        ("timeout", "", False),
    ],
)
def test_what_is_a_typed_refusal(error: str, kind: str, is_typed: bool) -> None:
    operation = Operation(OpId(0, 0), "queries", 1, 1, 2, Outcome.FAIL, status=503, error=error)
    assert (problem_type(operation), typed(operation)) == (kind, is_typed)


def test_an_unknown_answer_is_no_refusal_though_it_has_a_type() -> None:
    operation = Operation(
        OpId(0, 0), "queries", 1, 1, 2, Outcome.UNKNOWN, status=500, error="status 500 a:b retry-after 1"
    )
    assert (problem_type(operation), typed(operation)) == ("a:b", False)


def test_what_is_neither_kept_nor_refused_by_type_is_named() -> None:
    with told_of() as told:
        told.work(0, HIT)
        for at in steps(HIT, HEALED - 200, 50):
            refused(told, at)
        wrong = [
            refused(told, HEALED - 150, ""),
            told.op(HEALED - 140, Outcome.UNKNOWN, error="timeout", took=2_000),
            told.op(HEALED - 130, None),
            told.op(HEALED - 120, Outcome.UNKNOWN, error="status 500", status=500),
            told.op(HEALED - 110),
        ]
        told.end(Step.PENDING, wrong[-1], 40_000)
        others = [refused(told, HIT - 1, ""), refused(told, HEALED, "")]  # begun before and after
        assert others
        finding = came_out(told, "answers")
    assert (finding.verdict, finding.ops, finding.measured) == (VIOLATED, named(told, *wrong), 5)
    assert "1 accepted and lost" in finding.reason


@pytest.mark.parametrize(("count", "verdict"), [(19, INCONCLUSIVE), (20, HOLDS)])
@pytest.mark.parametrize("clause", ["answers", "told_apart"])
def test_few_answers_prove_nothing(clause: str, count: int, verdict: Verdict) -> None:
    with told_of() as told:
        for n in range(count):
            refused(told, HIT + n)
        assert came_out(told, clause).verdict is verdict


@pytest.mark.parametrize(("count", "verdict"), [(0, INCONCLUSIVE), (4, INCONCLUSIVE), (5, HOLDS)])
@pytest.mark.parametrize("wanted", [True, False])
def test_who_refuses_nothing_shows_nothing_of_refusals(count: int, verdict: Verdict, wanted: bool) -> None:
    with told_of() as told:
        told.expect("degrades", refusals=5 if wanted else 0)
        for op in [told.op(HIT + n) for n in range(30)]:
            told.done(op, HIT + 100)
        for n in range(count):
            refused(told, HIT + 40 + n)
        finding = came_out(told, "answers")
    assert finding.verdict is (verdict if wanted else HOLDS)
    if finding.verdict is INCONCLUSIVE:
        assert finding.reason == f"too little: {count} of {30 + count} were refused, and the scenario wants at least 5"


def test_a_wrong_answer_is_wrong_though_nothing_else_was_refused() -> None:
    with told_of() as told:
        told.expect("degrades", refusals=5)
        for op in [told.op(HIT + n) for n in range(30)]:
            told.done(op, HIT + 100)
        wrong = refused(told, HIT + 40, "")
        finding = came_out(told, "answers")
    assert (finding.verdict, finding.ops) == (VIOLATED, named(told, wrong))


def test_what_is_open_and_not_known_to_be_lost_was_perhaps_kept() -> None:
    with told_of() as told:
        for n in range(20):
            refused(told, HIT + n)
        told.op(HIT + 30)
        finding = came_out(told, "answers")
    assert finding.reason == "gap: 1 accepted are open, and no last poll or read tells of them"


@pytest.mark.parametrize("kind", sorted(load_all()))
def test_the_broker_is_away_where_a_fault_takes_it(kind: str) -> None:
    with told_of(kind) as told:
        for n in range(20):
            refused(told, HIT + n)
        finding = came_out(told, "answers")
    assert (finding.bound is None) is (kind in WORKING)


def test_the_broker_is_not_away_from_the_entry_by_a_fault_of_anothers_link() -> None:
    with told_of(links=(WORKER_LINK, CALL)) as told:
        for n in range(20):
            refused(told, HIT + n, "")
        findings = told.judged()
    assert {findings[f"degrades.{one}"].reason for one in ("answers", "told_apart")} == {
        "not asked: the broker was never away from the entry"
    }


# ---- told_apart -----------------------------------------------------------------------------------------------------


def test_a_query_that_fails_with_the_brokers_type_is_named() -> None:
    with told_of() as told:
        for n in range(20):
            refused(told, HIT + 20 * n)
        refused(told, HIT + 500, QUERY_FAILED)
        refused(told, HIT - 1_000, QUERY_FAILED)
        alike = [refused(told, HIT - 500), refused(told, HEALED + 15_001)]
        refused(told, HEALED + 14_999)  # still about the absence
        refused(told, HIT - 20, took=40)  # it waited as the broker went
        finding = came_out(told, "told_apart")
    assert (finding.verdict, finding.ops) == (VIOLATED, named(told, *alike))


@pytest.mark.parametrize("outcome", [Outcome.FAIL, Outcome.UNKNOWN])
def test_an_answer_without_a_type_tells_nothing_apart(outcome: Outcome) -> None:
    with told_of() as told:
        for n in range(20):
            refused(told, HIT + n)
        plain = told.op(HIT + 50, outcome, status=500, error="status 500")
        told.op(HIT + 60, Outcome.UNKNOWN, error="timeout")  # which is no answer
        finding = came_out(told, "told_apart")
    assert (finding.verdict, finding.ops) == (VIOLATED, named(told, plain))


def test_who_accepts_all_has_nothing_to_tell_apart() -> None:
    with told_of() as told:
        for op in [told.op(HIT + n, status=202) for n in range(30)]:
            told.done(op, HIT + 100)
        finding = came_out(told, "told_apart")
    assert (finding.verdict, finding.bound, finding.counted) == (HOLDS, 0, 30)


# ---- health ---------------------------------------------------------------------------------------------------------


@contextmanager
def healthy(kind: str = "kill", healed: float = HEALED, **fault: Any) -> Iterator[Story]:
    """The entry's connection, and the broker's new one 0.5 s after the healing."""
    with story(**degrading.changes(health={ENTRY: ["ready", "live"]})) as told:
        told.load(0, END)
        told.expect("degrades")
        told.fault(HIT, healed, kind, **fault)
        told.connection(ENTRY_LINK, FIRST, 0, reached=1, closed=HIT + 5)
        told.connection(ENTRY_LINK, SECOND, healed + 400, reached=healed + 500)
        yield told


@pytest.mark.parametrize("kind", sorted(load_all()))
@pytest.mark.parametrize(("ns", "verdict"), [(-1, HOLDS), (0, HOLDS), (1, VIOLATED)])
def test_a_replica_may_be_red_just_in_time(kind: str, ns: int, verdict: Verdict) -> None:
    bound = UNTOLD_MS if kind in UNTOLD else RED_MS
    with healthy(kind) as told:
        look(told, ENTRY, "ready", 100)
        look(told, ENTRY, "ready", HIT + bound, "503", ns=ns)
        look(told, ENTRY, "ready", HEALED + 100)
        looks(told, ENTRY, "live")
        finding = came_out(told, "health")
    if kind in WORKING:
        assert finding.bound is None
        return
    assert (finding.verdict, finding.bound) == (verdict, bound / 1000)
    assert finding.measured == pytest.approx(bound / 1000)


@pytest.mark.parametrize(("ns", "verdict"), [(0, HOLDS), (1, VIOLATED)])
def test_a_replica_may_be_green_again_just_in_time(ns: int, verdict: Verdict) -> None:
    with healthy() as told:
        looks(told, ENTRY, "live")
        look(told, ENTRY, "ready", 100)
        look(told, ENTRY, "ready", HIT + 100, "timeout")
        look(told, ENTRY, "ready", HEALED + GREEN_MS, ns=ns)
        finding = came_out(told, "health")
    assert (finding.verdict, finding.bound) == (verdict, GREEN_MS / 1000)


@pytest.mark.parametrize(("healed", "verdict"), [(HIT + RED_MS, INCONCLUSIVE), (HIT + RED_MS + 1, VIOLATED)])
def test_a_replica_that_was_never_red_had_to_be_watched_for_longer(healed: float, verdict: Verdict) -> None:
    with healthy(healed=healed) as told:
        looks(told, ENTRY, "live")
        looks(told, ENTRY, "ready")
        assert came_out(told, "health").verdict is verdict


@pytest.mark.parametrize(("until", "verdict"), [(HEALED + GREEN_MS, INCONCLUSIVE), (HEALED + GREEN_MS + 1, VIOLATED)])
def test_a_replica_that_was_never_green_again_had_to_be_watched_for_longer(until: float, verdict: Verdict) -> None:
    with healthy() as told:
        looks(told, ENTRY, "live", until=END)
        look(told, ENTRY, "ready", 100)
        look(told, ENTRY, "ready", HIT + 100, "503")
        look(told, ENTRY, "ready", until, "503")
        assert came_out(told, "health").verdict is verdict


@pytest.mark.parametrize(("reached", "verdict"), [(HIT + RED_MS, HOLDS), (HIT + RED_MS + 1, VIOLATED)])
def test_a_replica_need_not_be_red_that_was_back_before(reached: float, verdict: Verdict) -> None:
    with healthy("reset") as told:
        told.connection(ENTRY_LINK, "127.0.0.1:40003", HIT + 10, reached=reached)
        looks(told, ENTRY, "live")
        looks(told, ENTRY, "ready")
        assert came_out(told, "health").verdict is verdict


def test_not_for_a_moment_may_it_not_live() -> None:
    with healthy() as told:
        looks(told, ENTRY, "ready", (HIT, HEALED + 100))
        looks(told, ENTRY, "live", (HEALED + 50, HEALED + 300))
        finding = came_out(told, "health")
    assert (finding.verdict, finding.measured) == (VIOLATED, 0.25)
    assert finding.reason == "web-0 was not live for 0.250 s"


AGAIN, HEALING = HIT + 2_500, HEALED - 50
"""When a replica that was red is green again, with the broker away; and when the healing is asked for."""
NODE, LINK = {"node": BROKER}, {"source": ENTRY, "target": BROKER}


@contextmanager
def relapsed(kind: str = "kill", *, again: float = AGAIN, **fault: Any) -> Iterator[Story]:
    """The entry is red 0.1 s after the effect, and green from that moment on."""
    with healthy(kind, **({"healing": HEALING} | fault)) as told:
        looks(told, ENTRY, "live")
        looks(told, ENTRY, "ready", (HIT + 100, again))
        yield told


@pytest.mark.parametrize("kind", sorted(AWAY))
def test_not_for_a_moment_may_it_be_green_again(kind: str) -> None:
    with relapsed(kind) as told:
        finding = came_out(told, "health")
    assert (finding.verdict, finding.bound) == (VIOLATED, 0)
    assert finding.measured == pytest.approx(0.451)
    assert finding.reason == "web-0 was green again at +2.5 s, while the broker was away, for 0.5 s"


def test_it_is_told_for_how_long_it_was_green() -> None:
    with healthy(healing=HEALING) as told:
        looks(told, ENTRY, "live")
        looks(told, ENTRY, "ready", (HIT + 100, HIT + 1_500), (HIT + 1_800, HIT + 2_000), (HIT + 2_300, HEALED + 100))
        finding = came_out(told, "health")
    assert finding.reason == "web-0 was green again at +1.5 s, while the broker was away, for 0.6 s"


@pytest.mark.parametrize(
    ("asked", "heard", "verdict"),
    [
        (HEALING - 2, HEALING - 1, VIOLATED),
        (HEALING - 2, HEALING, HOLDS),
        (HEALING, HEALING + 1, HOLDS),
        (HIT + UNTOLD_MS, HIT + 2_500, HOLDS),  # asked for when it need not have been red
        (HIT + UNTOLD_MS + 1, HIT + 2_500, VIOLATED),
    ],
)
def test_it_was_asked_after_it_had_to_be_red_and_heard_before_the_healing(
    asked: float, heard: float, verdict: Verdict
) -> None:
    with healthy("silent", healing=HEALING) as told:
        looks(told, ENTRY, "live")
        look(told, ENTRY, "ready", 100)
        look(told, ENTRY, "ready", HIT + 100, "timeout")
        look(told, ENTRY, "ready", heard, asked=asked)
        look(told, ENTRY, "ready", heard + 40, "503")
        look(told, ENTRY, "ready", HEALED + 100)
        assert came_out(told, "health").verdict is verdict


@pytest.mark.parametrize(
    ("answer", "lasted", "verdict"),
    [("503", 501, HOLDS), ("503", 502, VIOLATED), ("timeout", 900, HOLDS)],  # a stall of its own is no word of its own
)
@pytest.mark.parametrize("other", ["none", "overlaps", "before"])
@pytest.mark.parametrize("asked", [HIT - 200, HIT + 299])
def test_who_has_said_for_half_a_second_that_it_is_red_knows_it(
    answer: str, lasted: float, verdict: Verdict, other: str, asked: float
) -> None:
    """Also where it need not be red yet, and was asked first as the fault came; but it may have spoken of another."""
    with healthy("silent", healing=HEALING) as told:
        looks(told, ENTRY, "live")
        look(told, ENTRY, "ready", 100)
        if other == "overlaps":
            told.fault(HIT + 200, HIT + 800, "pause", links=(CALL,), nodes=(STORE,), number=2, healing=HIT + 790)
        if other == "before":
            told.fault(HIT - 2_000, HIT - 200, "kill", number=2, healing=HIT - 210)
            look(told, ENTRY, "ready", HIT - 1_900, "503")
        look(told, ENTRY, "ready", HIT + 300, answer, asked=asked)
        look(told, ENTRY, "ready", HIT + 300 + lasted)
        look(told, ENTRY, "ready", HIT + 1_500, "503")
        look(told, ENTRY, "ready", HEALED + 100)
        finding = came_out(told, "health")
    assert finding.verdict is (verdict if other == "none" else HOLDS)
    if finding.verdict is VIOLATED:
        assert finding.reason == "web-0 was green again at +0.8 s, while the broker was away, for 0.7 s"


def test_what_was_asked_before_the_red_answer_says_nothing_of_after_it() -> None:
    with healthy("silent", healing=HEALING) as told:
        looks(told, ENTRY, "live")
        look(told, ENTRY, "ready", 100)
        look(told, ENTRY, "ready", HIT + UNTOLD_MS, "503")
        look(told, ENTRY, "ready", HIT + UNTOLD_MS + 200, asked=HIT + UNTOLD_MS - 1)
        look(told, ENTRY, "ready", HIT + UNTOLD_MS + 300, "503")
        look(told, ENTRY, "ready", HEALED + 100)
        assert came_out(told, "health").verdict is HOLDS


def test_who_is_red_until_the_healing_was_not_green_again() -> None:
    with relapsed(again=HEALED + 300) as told:
        finding = came_out(told, "health")
    assert (finding.verdict, finding.counted) == (HOLDS, 2)


@pytest.mark.parametrize("kind", sorted(load_all().keys() - AWAY))
def test_where_something_may_cross_in_between_green_is_nobodys_affair(kind: str) -> None:
    """So it is of a broker that is asked to stop, for as long as it has not ended."""
    with relapsed(kind) as told:
        assert came_out(told, "health").verdict is HOLDS


@pytest.mark.parametrize("how", ["way to", "way from", "way both"])
def test_of_a_fault_of_one_way_a_green_answer_may_be_true(how: str) -> None:
    with relapsed("silent", how=how) as told:
        assert came_out(told, "health").verdict is (VIOLATED if how == "way both" else HOLDS)


@pytest.mark.parametrize("kind", sorted(ENDING))
@pytest.mark.parametrize(("gone", "verdict"), [(HIT + 100, VIOLATED), (AGAIN - 1_002, VIOLATED), (AGAIN, HOLDS)])
def test_a_broker_that_was_asked_to_stop_is_away_once_it_has_ended(kind: str, gone: float, verdict: Verdict) -> None:
    with relapsed(kind) as told:
        told.line("node", gone, node=BROKER, event="exited", code=0)
        assert came_out(told, "health").verdict is verdict


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("node", NODE | {"event": "started"}),  # as in a crash loop
        ("node", NODE | {"event": "resumed"}),
        ("node", {"node": ENTRY, "event": "exited", "code": 1}),
        ("node", {"node": ENTRY, "event": "started"}),
        ("link", LINK | {"event": "open"}),
        ("link", LINK | {"event": "mended"}),
        ("link", LINK | {"event": "replaced"}),
    ],
)
def test_what_may_have_let_it_through_ends_what_is_known(kind: str, line: dict[str, Any]) -> None:
    for at, verdict in ((AGAIN - 10, HOLDS), (HIT - 10, VIOLATED)):
        with relapsed() as told:
            told.line(kind, at, **line)
            assert came_out(told, "health").verdict is verdict


@pytest.mark.parametrize("known", ["reached", "another fault", "another broker", "no healing"])
def test_where_it_may_have_had_a_broker_it_is_not_judged(known: str) -> None:
    healing = None if known == "no healing" else HEALING
    with relapsed("refused" if known == "reached" else "kill", healing=healing) as told:
        if known == "reached":
            told.connection(ENTRY_LINK, "127.0.0.1:40003", AGAIN - 30, reached=AGAIN - 20, closed=AGAIN + 20)
        if known == "another fault":
            told.fault(HIT + 200, AGAIN - 10, "silent", number=2, healing=AGAIN - 20)
        if known == "another broker":
            told.meta["brokers"].append("broker-1")
            told.connection((ENTRY, "broker-1"), SECOND, 0, reached=1)
            write_meta(told.folder, told.meta)
        assert came_out(told, "health").verdict is HOLDS


def test_a_connection_that_reached_the_broker_over_a_silent_link_carries_nothing() -> None:
    with relapsed("silent") as told:
        told.connection(ENTRY_LINK, "127.0.0.1:40003", HIT + 600, reached=HIT + 601, closed=HIT + 1_000)
        assert came_out(told, "health").verdict is VIOLATED


def test_red_from_the_fault_before_it_may_be_green_for_as_long_as_it_need_not_be_red() -> None:
    """What it had just learned came in before the second fault."""
    with healthy(healing=HEALING) as told:
        told.fault(HIT - 2_000, HIT - 300, "kill", number=2, healing=HIT - 400)
        looks(told, ENTRY, "live")
        looks(told, ENTRY, "ready", (HIT - 1_900, HIT + 50), (HIT + 400, HEALED + 100))
        assert came_out(told, "health").verdict is HOLDS


def test_each_replica_is_judged() -> None:
    with relapsed(again=HEALED + 300, links=(ENTRY_LINK, WORKER_LINK)) as told:
        told.connection(WORKER_LINK, "127.0.0.1:40004", 0, reached=1, closed=HIT + 5)
        told.meta["health"][WORKER] = ["ready", "live"]
        write_meta(told.folder, told.meta)
        looks(told, WORKER, "live")
        looks(told, WORKER, "ready")
        finding = came_out(told, "health")
    assert (finding.verdict, finding.reason) == (VIOLATED, "search-0 was never red, in 3.0 s")


def test_before_and_long_after_the_fault_it_is_nobodys_affair() -> None:
    with healthy() as told:
        looks(told, ENTRY, "ready", (HIT, HEALED + 100), (15_000, 16_000))
        looks(told, ENTRY, "live", (5_000 - 700, 5_000 - 200), (15_000, 16_000), since=100)
        assert came_out(told, "health").verdict is HOLDS


def test_a_replica_that_tells_nothing_or_had_no_connection_is_not_judged() -> None:
    with told_of() as told:
        assert came_out(told, "health").reason == "too little: no replica that tells was hit"
    with told_of(links=(CALL,)) as told:
        assert came_out(told, "health").reason == "not asked: no link to the broker was under a fault"


# ---- breaker --------------------------------------------------------------------------------------------------------


@contextmanager
def away(failures: int = OPENS_AFTER) -> Iterator[Story]:
    """What the entry calls is away from HIT to HEALED; so many searches failed slowly, the last at HIT + 600."""
    with story(**degrading.changes()) as told:
        told.load(0, END)
        told.expect("degrades")
        told.fault(HIT, HEALED, "pause", links=(CALL,), nodes=(STORE,))
        for n in range(failures):
            refused(told, HIT + 100 + n, BUSY, workload=SEARCHES, took=500 - n)
        yield told


def fast(told: Story, count: int = 40) -> list[OpId]:
    return [refused(told, HIT + 700 + 50 * n, BUSY, workload=SEARCHES, took=2) for n in range(count)]


def back(told: Story, at: float = HEALED + 100, *, took: float = 20) -> OpId:
    return told.op(at, workload=SEARCHES, took=took, status=200)


@pytest.mark.parametrize(("failures", "asked"), [(OPENS_AFTER - 1, False), (OPENS_AFTER, True)])
def test_a_breaker_is_open_after_so_many(failures: int, asked: bool) -> None:
    with away(failures) as told:
        fast(told)
        back(told)
        finding = came_out(told, "breaker")
    assert finding.verdict is HOLDS
    assert (finding.bound is not None) is asked


def test_what_is_accepted_in_between_closes_it() -> None:
    with away(OPENS_AFTER - 1) as told:
        told.op(HIT + 601, workload=SEARCHES, took=1)
        refused(told, HIT + 602, BUSY, workload=SEARCHES, took=500)
        fast(told)
        assert came_out(told, "breaker").bound is None


@pytest.mark.parametrize(("second", "beside"), [(1_699, True), (1_700, False)])
def test_one_probe_at_a_time(second: float, beside: bool) -> None:
    with away() as told:
        fast(told)
        refused(told, HIT + 1_200, BUSY, workload=SEARCHES, took=500)
        other = refused(told, HIT + second, BUSY, workload=SEARCHES, took=500)
        back(told)
        finding = came_out(told, "breaker")
    assert (finding.verdict, finding.ops) == ((VIOLATED, named(told, other)) if beside else (HOLDS, ()))


@pytest.mark.parametrize(("count", "verdict"), [(2, HOLDS), (3, VIOLATED)])
def test_few_refusals_may_be_slow(count: int, verdict: Verdict) -> None:
    """One in twenty; what takes half as long as the failures is a probe, and no refusal."""
    with away() as told:
        fast(told, 40 - count)
        late = [refused(told, HIT + 2_700 + n, BUSY, workload=SEARCHES, took=FAST_MS) for n in range(count)]
        back(told)
        finding = came_out(told, "breaker")
    assert finding.verdict is verdict
    assert finding.ops == (named(told, *late) if verdict is VIOLATED else ())


def test_who_refuses_nothing_at_once_has_no_breaker() -> None:
    """However few ask: here each waits for the one before. And however late we were: that makes some slow, not all."""
    with away() as told:
        late = slow(told, HIT + 700, HEALED, 100, took=100)
        back(told)
        measured: dict[str, Any] = {"lag_p99_ms": 300.0, "lag_max_ms": 300.0, "late_share": 0.5}
        told.line("noise", HEALED, what="load", from_ns=t(HIT), cpu={}, **measured)
        finding = came_out(told, "breaker")
    assert (finding.verdict, finding.ops_total) == (VIOLATED, len(late))
    assert finding.reason == f"none of {len(late)} was refused at once: there is no breaker"


def test_few_that_ask_an_open_breaker_prove_nothing() -> None:
    with away() as told:
        fast(told, 19)
        back(told)
        assert came_out(told, "breaker").reason.startswith("too little: 19 operations were offered after 5")


@pytest.mark.parametrize(("at", "verdict"), [(WORKS_MS, HOLDS), (WORKS_MS + 1, VIOLATED)])
def test_a_breaker_may_close_just_in_time(at: float, verdict: Verdict) -> None:
    with away() as told:
        fast(told)
        refusal = refused(told, HEALED + 10, BUSY, workload=SEARCHES)
        first = back(told, HEALED + at - 20)
        back(told, HEALED + at + 1)
        finding = came_out(told, "breaker")
    assert finding.verdict is verdict
    assert finding.ops == (named(told, refusal, first) if verdict is VIOLATED else ())


@pytest.mark.parametrize(("load_ends", "verdict"), [(WORKS_MS, INCONCLUSIVE), (WORKS_MS + 1, VIOLATED)])
def test_a_breaker_that_never_closed_had_to_be_watched_for_longer(load_ends: float, verdict: Verdict) -> None:
    with story(**degrading.changes()) as told:
        told.load(0, HEALED + load_ends)
        told.expect("degrades")
        told.fault(HIT, HEALED, "pause", links=(CALL,), nodes=(STORE,))
        slow(told, HIT + 100, HIT + 150, 10)
        fast(told)
        refusal = refused(told, HEALED + 10, BUSY, workload=SEARCHES)
        finding = came_out(told, "breaker")
    assert finding.verdict is verdict
    assert finding.ops == (named(told, refusal) if verdict is VIOLATED else ())


def test_who_was_never_asked_while_open_is_told_for_what_came_after() -> None:
    """It opened only as the provider came back: that nothing was refused at once says nothing then."""
    with story(**degrading.changes()) as told:
        told.load(0, END)
        told.expect("degrades")
        told.fault(HIT, HEALED, "pause", links=(CALL,), nodes=(STORE,))
        for n in range(20):
            refused(told, HIT + 100 + n, BUSY, workload=SEARCHES, took=2)
        slow(told, HEALED - 200, HEALED - 150, 10, took=500)
        late = [refused(told, HEALED + 600 + n, BUSY, workload=SEARCHES) for n in range(3)]
        first = back(told, HEALED + WORKS_MS + 100)
        finding = came_out(told, "breaker")
    assert (finding.verdict, finding.measured) == (VIOLATED, 4)
    assert finding.ops == named(told, *late, first)
    assert finding.reason == f"4 refused until later than {WORKS_MS / 1000:g} s after the healing"


def test_what_the_entry_does_not_call_needs_no_breaker() -> None:
    with told_of(links=(WORKER_LINK,)) as told:
        assert came_out(told, "breaker").reason == "not asked: nothing that the entry calls was away"


# ---- bounds, sources ------------------------------------------------------------------------------------------------


def test_the_scenarios_bounds_beat_the_systems() -> None:
    bounds = Degrades(red_s=0.5, reconnects_s=0.1, opens_after=7).bounds()
    with healthy() as told:
        told.expect("degrades", **bounds)
        looks(told, ENTRY, "live")
        looks(told, ENTRY, "ready", (HIT + 550, HEALED + 1_200))
        finding = came_out(told, "health")
    assert (finding.verdict, finding.bound, finding.measured) == (VIOLATED, 1.1, 1.2)
    assert finding.reason == "web-0 was red after 0.550 s; web-0 was green again after 1.200 s"


def test_a_bound_that_means_nothing_is_told() -> None:
    with pytest.raises(UsageError, match="red_s is 0"):
        Degrades(red_s=0)


@pytest.mark.parametrize(("lacking", "clauses"), [("live", 1), ("health", 1), ("answers", 3)])
def test_what_the_file_does_not_offer_is_not_judged_with_the_line_to_add(lacking: str, clauses: int) -> None:
    changed = degrading.changes()
    changed["sources"] = [source for source in changed["sources"] if source != lacking]
    with story(**changed) as told:
        degrading.well(told)
        findings, not_judged = judge(told.ended())
    found = {finding.clause for finding in findings} & degrading.CLAUSES
    assert found | not_judged.keys() == degrading.CLAUSES
    assert not found & not_judged.keys()
    assert len(not_judged) == clauses
    assert set(not_judged.values()) == {told.meta["lines_to_add"][lacking]}


def test_types_of_a_story_are_types() -> None:
    assert len({BROKER_AWAY, QUERY_FAILED, BUSY}) == 3
