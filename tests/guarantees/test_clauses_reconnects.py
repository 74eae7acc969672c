"""The edges of reconnects: what noticing, coming back and working are, to the nanosecond of their bounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.faults import load_all
from harness.guarantees._returns import UNTOLD, WITHHELD, WORKING
from harness.history.rows import Outcome, Step
from harness.verdict import Finding, Verdict

from .synthetic import (
    END,
    ENTRY,
    ENTRY_LINK,
    HEALED,
    HIT,
    HOLDS,
    INCONCLUSIVE,
    OTHER,
    PROMISES,
    VIOLATED,
    WORKER,
    WORKER_LINK,
    Link,
    Story,
    few_examples,
    story,
    t,
)

NOTICES_MS, RECONNECTS_MS, WORKS_MS = (int(1000 * PROMISES[name]) for name in ("notices_s", "reconnects_s", "works_s"))
LIVED_MS = 200
FIRST, SECOND = "127.0.0.1:40001", "127.0.0.1:40002"
CLAUSES = ("reconnects.notices", "reconnects.reconnects", "reconnects.works")


def hit(told: Story, *, asked: Mapping[str, float] | None = None, **fault: object) -> None:
    told.load(0, END)
    told.fault(HIT, HEALED, **fault)  # type: ignore[arg-type]
    told.expect("reconnects", **(asked or {}))


def closed_again(told: Story, at: float, via: str, by: str | None) -> None:
    link = {"source": ENTRY_LINK[0], "target": ENTRY_LINK[1], "client": FIRST}
    told.line("connection", at, event="closed", via=via, by=by, **link)  # type: ignore[arg-type]


def came_out(told: Story, clause: str) -> Finding:
    told.read(40_000)
    return told.judged(40_000)[f"reconnects.{clause}"]


# ---- notices --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["silent", "frozen", "pause"])
@pytest.mark.parametrize(("ns", "verdict"), [(-1, HOLDS), (0, HOLDS), (1, VIOLATED)])
def test_a_client_may_notice_just_in_time(kind: str, ns: int, verdict: Verdict) -> None:
    with story() as told:
        hit(told, kind=kind)
        told.connection(ENTRY_LINK, FIRST, 0, reached=1, closed=HIT + NOTICES_MS, closed_ns=ns)
        finding = came_out(told, "notices")
    assert (finding.verdict, finding.counted) == (verdict, 1)
    assert finding.measured == pytest.approx(PROMISES["notices_s"])


@pytest.mark.parametrize("by", ["upstream", "proxy", None])
def test_a_close_that_is_not_the_clients_is_no_noticing(by: str | None) -> None:
    with story() as told:
        hit(told)
        told.connection(ENTRY_LINK, FIRST, 0, reached=1, closed=HIT + 500, by=by)
        finding = came_out(told, "notices")
    assert (finding.verdict, finding.measured) == (VIOLATED, 3.0)
    assert finding.reason == "web-0 never closed its connection in 3.0 s"


def test_noticing_is_the_clients_own_close_whoever_else_closed_before() -> None:
    with story() as told:
        hit(told)
        told.connection(ENTRY_LINK, FIRST, 0, reached=1, closed=HIT + 200, by="upstream")
        ends = {"source": ENTRY_LINK[0], "target": ENTRY_LINK[1], "client": FIRST}
        told.recorder.line("connection", t_ns=t(HIT + 1_500), event="closed", via="close_wait", by="client", **ends)
        finding = came_out(told, "notices")
    assert (finding.verdict, finding.measured) == (VIOLATED, 1.5)


@pytest.mark.parametrize(("ns", "noticed"), [(-1, True), (0, False)])
def test_a_close_counts_until_the_healing(ns: int, noticed: bool) -> None:
    with story(promises={"notices_s": 2.0}) as told:
        hit(told)
        told.connection(ENTRY_LINK, FIRST, 0, reached=1, closed=HEALED, closed_ns=ns)
        finding = came_out(told, "notices")
    assert finding.verdict is VIOLATED
    assert ("never" in finding.reason) is not noticed


@pytest.mark.parametrize(("ns", "verdict"), [(0, HOLDS), (-1, INCONCLUSIVE)])
def test_a_fault_that_tells_nobody_must_last_a_second_more_than_the_bound(ns: int, verdict: Verdict) -> None:
    with story(promises={"notices_s": 2.0}) as told:
        hit(told, healed_ns=ns)
        told.connection(ENTRY_LINK, FIRST, 0, reached=1, closed=HIT + 500)
        finding = came_out(told, "notices")
    assert finding.verdict is verdict
    assert finding.reason.startswith("too little: ") is (verdict is INCONCLUSIVE)


@pytest.mark.parametrize(
    ("closed", "by", "came"),
    [
        (500, "client", (HOLDS, 0.5)),
        (1_500, "client", (VIOLATED, 1.5)),
        (1_500, "upstream", (VIOLATED, 1.5)),
        (500, "upstream", (INCONCLUSIVE, None)),
        (None, None, (VIOLATED, 3.0)),
    ],
)
def test_a_client_may_be_asked_to_leave_a_broker_that_told_of_its_end(
    closed: float | None, by: str | None, came: tuple[Verdict, float | None]
) -> None:
    """It left where its close is the first that its proxy saw; the broker may have told of any end of it before."""
    with story() as told:
        hit(told, kind="lame_duck", asked={"notices_s": 1.0})
        told.connection(ENTRY_LINK, FIRST, 0, reached=1, closed=closed and HIT + closed, by=by)
        if by == "upstream":
            closed_again(told, HIT + 2_000, "proxy", "client")
        elif by == "client":
            closed_again(told, HIT + 100, "connz", None)
        finding = came_out(told, "notices")
    assert finding.verdict is came[0]
    assert finding.measured == pytest.approx(came[1])


@pytest.mark.parametrize("kind", sorted(load_all()))
@pytest.mark.parametrize("closed", [None, HIT + 2_500])
def test_noticing_is_judged_where_the_fault_tells_nobody(kind: str, closed: float | None) -> None:
    """Of every fault that there is: one that is neither sorted in here nor closes connections is found out."""
    with story() as told:
        hit(told, kind=kind)
        told.connection(ENTRY_LINK, FIRST, 0, reached=1, closed=closed)
        finding = came_out(told, "notices")
    if kind in UNTOLD:
        assert (finding.verdict, finding.bound, finding.measured) == (VIOLATED, 1.0, 2.5 if closed else 3.0)
    else:
        assert (finding.verdict, finding.bound, finding.measured) == (HOLDS, None, None)
        assert finding.reason.startswith("told: " if kind in TOLD else "not asked: ")


TOLD = {
    "burst",
    "crash_loop",
    "kill",
    "lame_duck",
    "oversize",
    "poison",
    "refused",
    "reset",
    "restart",
    "rolling_restart",
    "terminate",
}
"""The kinds that close connections themselves; and the three that hit no link, and are never asked."""


def test_every_fault_is_sorted() -> None:
    sorted_in = TOLD | UNTOLD | WORKING | {WITHHELD}
    where = "UNTOLD or WORKING of harness/guarantees/_returns.py; TOLD above, if it closes connections itself"
    assert load_all().keys() - sorted_in == set(), f"put it into {where}"
    assert sorted_in - load_all().keys() == set(), "there is no such fault"


def test_the_slowest_of_several_links_counts() -> None:
    with story() as told:
        hit(told, links=(ENTRY_LINK, WORKER_LINK))
        told.connection(ENTRY_LINK, FIRST, 0, reached=1, closed=HIT + 500)
        told.connection(WORKER_LINK, FIRST, 0, reached=1, closed=HIT + 1_500)
        told.connection(WORKER_LINK, SECOND, 0, reached=1, closed=HIT + 2_500)
        finding = came_out(told, "notices")
    assert (finding.verdict, finding.measured, finding.counted) == (VIOLATED, 1.5, 2)
    assert finding.reason == "search-0 after 1.500 s"


@pytest.mark.parametrize("numbers", [(1, 2), (2, 1)])
def test_one_that_certainly_did_not_notice_is_a_violation_whatever_another_fault_was_too_short_for(
    numbers: tuple[int, int],
) -> None:
    with story() as told:
        hit(told, number=numbers[0])
        told.fault(9_000, 10_500, links=(WORKER_LINK,), number=numbers[1])
        for link in (ENTRY_LINK, WORKER_LINK):
            told.connection(link, FIRST, 0, reached=1)
        finding = came_out(told, "notices")
    assert (finding.verdict, finding.measured, finding.faults) == (VIOLATED, 3.0, [1, 2])
    assert finding.reason == "web-0 never closed its connection in 3.0 s"


# ---- who is hit -----------------------------------------------------------------------------------------------------


def without_any(told: Story) -> None:
    """Nobody was ever connected."""


def closed_before(told: Story) -> None:
    told.connection(ENTRY_LINK, FIRST, 0, reached=1, closed=HIT)


def opened_after(told: Story) -> None:
    told.connection(ENTRY_LINK, FIRST, HIT + 1e-6, reached=HIT + 1)


def on_another_link(told: Story) -> None:
    told.connection(WORKER_LINK, FIRST, 0, reached=1)


def the_probes_alone(told: Story) -> None:
    told.line(
        "connection",
        1,
        source=ENTRY_LINK[0],
        target=ENTRY_LINK[1],
        client="127.0.0.77:1",
        event="opened",
        via="proxy",
        probe=True,
    )


@pytest.mark.parametrize("tell", [without_any, closed_before, opened_after, on_another_link, the_probes_alone])
def test_who_had_no_connection_at_effect_is_not_hit(tell: Callable[[Story], None]) -> None:
    with story() as told:
        hit(told)
        tell(told)
        told.read(40_000)
        findings = told.judged()
    assert {findings[clause].reason for clause in CLAUSES} == {"too little: no client link with a connection was hit"}


@pytest.mark.parametrize(("kind", "is_hit"), [("kill", True), ("silent", False), ("pause", False)])
def test_who_is_killed_closes_before_it_is_seen_to_have_ended(kind: str, is_hit: bool) -> None:
    """Between the asking and the effect; what tells nobody closes nothing, so there it was the client's own doing."""
    with story() as told:
        hit(told, kind=kind, took=50)
        told.connection(ENTRY_LINK, FIRST, 0, reached=1, closed=HIT - 10, by="upstream")
        told.connection(ENTRY_LINK, SECOND, HEALED, reached=HEALED + 100)
        finding = came_out(told, "reconnects")
    assert (finding.verdict, finding.measured) == ((HOLDS, 0.1) if is_hit else (INCONCLUSIVE, None))


def test_a_client_of_a_withheld_broker_is_hit_though_it_never_was_connected() -> None:
    with story() as told:
        told.load(0, END)
        told.fault(HIT, HEALED, "absent", links=(ENTRY_LINK, WORKER_LINK))
        told.expect("reconnects")
        told.connection(ENTRY_LINK, FIRST, HEALED + 400, reached=HEALED + 500)
        told.read(40_000)
        findings = told.judged(40_000)
    notices, back = findings["reconnects.notices"], findings["reconnects.reconnects"]
    assert (notices.verdict, notices.bound, notices.reason) == (HOLDS, None, "not asked: there was no connection")
    assert (back.verdict, back.counted, back.reason) == (VIOLATED, 2, "search-0 never, in 32.0 s")


@pytest.mark.parametrize("kind", ["kill", "terminate", "pause"])
@pytest.mark.parametrize(("since", "until", "is_hit"), [(HIT + 100, HIT + 200, False), (0, HIT - 1, True)])
def test_a_client_that_was_under_a_fault_of_its_own_meanwhile_is_not_judged(
    kind: str, since: float, until: float, is_hit: bool
) -> None:
    """Its death closes its connections too, which is no noticing."""
    with story() as told:
        hit(told, links=(ENTRY_LINK, WORKER_LINK))
        told.fault(since, until, kind, links=(("load", ENTRY),), nodes=(ENTRY,), number=2)
        for link in (ENTRY_LINK, WORKER_LINK):
            told.connection(link, FIRST, 0, reached=1, closed=HIT + 500)
        finding = came_out(told, "notices")
    assert (finding.verdict, finding.counted) == (HOLDS, 2 if is_hit else 1)


def test_of_several_cuts_in_one_fault_the_last_mending_counts() -> None:
    """Cut at 5, 6 and 7 s, whole for good at 8 s: the connections between the cuts are none that came back."""
    with story() as told:
        hit(told, kind="flapping", took=10)
        for second, client in ((5, FIRST), (6, SECOND), (7, "127.0.0.1:40003")):
            since = 1_000 * second - 650 if second > 5 else 0
            told.connection(ENTRY_LINK, client, since, reached=since + 10, closed=1_000 * second, by="proxy")
        told.connection(ENTRY_LINK, "127.0.0.1:40004", HEALED + 700, reached=HEALED + 750)
        finding = came_out(told, "reconnects")
    assert (finding.verdict, finding.measured, finding.counted) == (HOLDS, 0.75, 1)


@pytest.mark.parametrize("link", [("load", "web-0"), ("search-0", "eventstore-0")])
def test_only_links_to_the_broker_are_hit(link: Link) -> None:
    with story() as told:
        hit(told, links=(link,))
        told.connection(link, FIRST, 0, reached=1)
        assert came_out(told, "notices").reason == "too little: no client link with a connection was hit"


# ---- reconnects -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ns", "verdict"), [(0, HOLDS), (1, VIOLATED)])
def test_a_client_may_be_back_just_in_time(ns: int, verdict: Verdict) -> None:
    with story() as told:
        hit(told)
        told.connection(ENTRY_LINK, FIRST, 0, reached=1, closed=HIT + 500)
        told.connection(ENTRY_LINK, SECOND, HEALED, reached=HEALED + RECONNECTS_MS, reached_ns=ns)
        finding = came_out(told, "reconnects")
    assert (finding.verdict, finding.counted) == (verdict, 1)
    assert finding.measured == pytest.approx(PROMISES["reconnects_s"])


@pytest.mark.parametrize(("ns", "back"), [(1, True), (0, False)])
def test_a_connection_that_survived_its_fault_by_200_ms_is_back_at_once(ns: int, back: bool) -> None:
    with story() as told:
        hit(told)
        told.connection(ENTRY_LINK, FIRST, 0, reached=1, closed=HEALED + LIVED_MS, closed_ns=ns)
        told.connection(ENTRY_LINK, SECOND, HEALED + 300, reached=HEALED + 400)
        finding = came_out(told, "reconnects")
    assert finding.measured == (0 if back else 0.4)


@pytest.mark.parametrize("reached", [HIT + 100, HEALED, HEALED + 50])
@pytest.mark.parametrize(("ns", "lived"), [(1, True), (0, False)])
def test_a_new_connection_counts_once_it_lived_200_ms(reached: float, ns: int, lived: bool) -> None:
    """Past its beginning and past the healing; one that was there before the healing is back at once."""
    with story() as told:
        hit(told)
        told.connection(ENTRY_LINK, FIRST, 0, reached=1, closed=HIT + 50)
        closed = max(reached, HEALED) + LIVED_MS
        told.connection(ENTRY_LINK, SECOND, HIT + 100, reached=reached, closed=closed, closed_ns=ns)
        told.connection(ENTRY_LINK, "127.0.0.1:40003", HEALED + 900, reached=HEALED + 1_000)
        finding = came_out(told, "reconnects")
    assert (finding.verdict, finding.measured) == (HOLDS, (max(reached, HEALED) - HEALED) / 1000 if lived else 1.0)


def test_a_connection_that_nobody_upstream_knew_is_not_back() -> None:
    with story() as told:
        hit(told)
        told.connection(ENTRY_LINK, FIRST, 0, reached=1, closed=HIT + 500)
        told.connection(ENTRY_LINK, SECOND, HEALED + 100)
        finding = came_out(told, "reconnects")
    assert (finding.verdict, finding.measured) == (VIOLATED, 32.0)
    assert finding.reason == "web-0 never, in 32.0 s"


@pytest.mark.parametrize(
    ("observed", "verdict"), [(RECONNECTS_MS - 1, INCONCLUSIVE), (RECONNECTS_MS, INCONCLUSIVE), (2_001, VIOLATED)]
)
def test_never_is_a_violation_once_it_was_watched_for_longer_than_the_bound(observed: int, verdict: Verdict) -> None:
    with story() as told:
        told.load(0, 9_000)
        told.fault(HIT, HEALED)
        told.expect("reconnects")
        told.connection(ENTRY_LINK, FIRST, 0, reached=1, closed=HIT + 500)
        finding = told.judged(HEALED + observed)["reconnects.reconnects"]
    assert finding.verdict is verdict
    assert finding.reason.startswith("too little: ") is (verdict is INCONCLUSIVE)


@pytest.mark.parametrize(
    ("links", "expected"), [((ENTRY_LINK, WORKER_LINK), "web-0"), ((WORKER_LINK, ENTRY_LINK), "web-0")]
)
def test_one_that_certainly_was_too_late_is_a_violation_whoever_was_watched_too_shortly(
    links: tuple[Link, ...], expected: str
) -> None:
    """The entry's link healed long before the worker's, which was then watched for a second alone."""
    with story() as told:
        told.load(0, 9_000)
        told.fault(HIT, 19_000, "kill", links=links, own={ENTRY_LINK: HEALED, WORKER_LINK: 19_000})
        told.expect("reconnects")
        for link in links:
            told.connection(link, FIRST, 0, reached=1, closed=HIT + 500)
        finding = told.judged(20_000)["reconnects.reconnects"]
    assert (finding.verdict, finding.measured) == (VIOLATED, 12.0)
    assert finding.reason.startswith(f"{expected} never")


@given(entry=st.integers(0, 4_000), worker=st.integers(0, 4_000), later=st.integers(0, 3_000))
@few_examples
def test_each_link_is_measured_from_its_own_healing(entry: int, worker: int, later: int) -> None:
    with story() as told:
        told.load(0, END)
        own = {ENTRY_LINK: float(HEALED), WORKER_LINK: float(HEALED + later)}
        told.fault(HIT, HEALED + later, "kill", links=(ENTRY_LINK, WORKER_LINK), own=own)
        told.expect("reconnects")
        for link, after in ((ENTRY_LINK, entry), (WORKER_LINK, worker)):
            told.connection(link, FIRST, 0, reached=1, closed=HIT + 10)
            told.connection(link, SECOND, own[link] + after, reached=own[link] + after)
        finding = came_out(told, "reconnects")
    late = {name for name, after in (("web-0", entry), ("search-0", worker)) if after > RECONNECTS_MS}
    assert finding.measured == pytest.approx(max(entry, worker) / 1000)
    assert finding.verdict is (VIOLATED if late else HOLDS)
    assert not late or {part.split()[0] for part in finding.reason.split("; ")} == late


# ---- works ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("begun", "took", "value"), [(0, 100, 0.1), (-1, 200, 1.5), (0, 3_000, 1.5)])
def test_an_entry_works_once_it_accepts_what_was_begun_after_the_healing(begun: int, took: float, value: float) -> None:
    """The second of two: 1.5 s after the healing, unless the first one counts."""
    with story() as told:
        hit(told)
        told.connection(ENTRY_LINK, FIRST, 0, reached=1)
        told.done(told.op(HEALED + begun, took=took), 12_000)
        told.done(told.op(HEALED + 1_000, took=500), 12_000)
        finding = came_out(told, "works")
    assert (finding.verdict, finding.measured, finding.counted) == (HOLDS, value, 1)


@pytest.mark.parametrize(("took", "verdict"), [(WORKS_MS, HOLDS), (WORKS_MS + 1e-6, VIOLATED)])
def test_an_entry_may_work_just_in_time(took: float, verdict: Verdict) -> None:
    with story() as told:
        hit(told)
        told.connection(ENTRY_LINK, FIRST, 0, reached=1)
        told.done(told.op(HEALED, took=took), 12_000)
        assert came_out(told, "works").verdict is verdict


@pytest.mark.parametrize("outcome", [Outcome.OK, Outcome.UNKNOWN, Outcome.FAIL, None])
@pytest.mark.parametrize("ended", ["result", "unproved", "pending", "failure", "dead letter"])
def test_an_entry_works_by_what_it_accepts_and_ends(outcome: Outcome | None, ended: str) -> None:
    with story() as told:
        hit(told)
        told.connection(ENTRY_LINK, FIRST, 0, reached=1)
        op = told.op(9_000, outcome)
        if ended in ("result", "unproved"):
            told.result(op, 9_100, proved=ended == "result")
        else:
            told.end(Step[ended.upper().replace(" ", "_")], op, 30_000)
        finding = came_out(told, "works")
    works = outcome is Outcome.OK and ended not in ("unproved", "pending")
    assert finding.verdict is (HOLDS if works else VIOLATED)
    assert finding.measured == pytest.approx(1.001 if works else 32.0)


@pytest.mark.parametrize(
    ("by", "begun", "value"),
    [(WORKER, HEALED, 0.5), (OTHER, HEALED, 2.0), (WORKER, HEALED - 1, 2.0), ("", HEALED, 2.0)],
)
@pytest.mark.parametrize("ref_alone", [False, True])
def test_a_worker_works_by_its_own_deeds_of_what_began_after_the_healing(
    by: str, begun: float, value: float, ref_alone: bool
) -> None:
    with story() as told:
        hit(told, links=(WORKER_LINK,))
        told.connection(WORKER_LINK, FIRST, 0, reached=1)
        for op, at, who in ((told.op(begun, ref="r0"), 8_500, by), (told.op(9_000, ref="r1"), 10_000, WORKER)):
            told.effect(None if ref_alone else op, at, by=who, ref=f"r{op.n}" if ref_alone else "")
        finding = came_out(told, "works")
    assert (finding.verdict, finding.measured) == (HOLDS, value)


def test_a_worker_whose_deeds_have_no_name_is_not_judged() -> None:
    with story(effects_by=False) as told:
        hit(told, links=(WORKER_LINK,))
        told.connection(WORKER_LINK, FIRST, 0, reached=1)
        finding = came_out(told, "works")
    assert finding.reason == "too little: nobody was hit whose work can be told apart"


def test_the_scenarios_bounds_beat_the_systems() -> None:
    with story() as told:
        hit(told)
        told.expect("reconnects", notices_s=0.4, reconnects_s=0.2, works_s=0.9)
        told.came_back(ENTRY_LINK, HIT, HEALED)
        told.done(told.op(9_000), 9_100)
        told.read(40_000)
        findings = told.judged()
    assert [(findings[clause].verdict, findings[clause].bound) for clause in CLAUSES] == [
        (VIOLATED, 0.4),
        (VIOLATED, 0.2),
        (VIOLATED, 0.9),
    ]
