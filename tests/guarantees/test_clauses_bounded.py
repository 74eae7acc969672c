"""The edges of bounded: what is counted together, what is not, and when nothing can be said."""

from __future__ import annotations

import pytest

from harness.guarantees.bounded import WITHIN_MS
from harness.history.rows import Outcome
from harness.verdict import Finding, Verdict

from .synthetic import END, ENTRY_LINK, HEALED, HIT, HOLDS, INCONCLUSIVE, VIOLATED, WORKER_LINK, Link, Story, story


def came_back(told: Story, *moments: float, link: Link = ENTRY_LINK, reached: bool = True) -> None:
    """Clients that were connected before the fault, and come back at these moments."""
    for number, at in enumerate(moments):
        port = f"127.0.0.1:{47_000 + number}"
        told.connection(link, port, at, reached=at if reached else None)


def judged(told: Story, returns: float | None) -> Finding:
    told.load(0, END)
    told.op(1_000, Outcome.OK)
    told.fault(HIT, HEALED, kind="kill")
    told.expect("bounded", returns=returns)
    return told.judged()["bounded.returns"]


@pytest.mark.parametrize(("apart_ms", "verdict"), [(WITHIN_MS - 1, VIOLATED), (WITHIN_MS, HOLDS)])
def test_who_comes_back_within_a_tenth_of_a_second_comes_at_once(apart_ms: float, verdict: Verdict) -> None:
    with story() as told:
        came_back(told, HEALED + 500, HEALED + 500 + apart_ms)
        finding = judged(told, 1)
    assert (finding.verdict, finding.counted) == (verdict, 2)
    assert finding.measured == (2 if verdict is VIOLATED else 1)


def test_clients_of_all_links_are_counted_together() -> None:
    with story() as told:
        came_back(told, HEALED + 500)
        came_back(told, HEALED + 510, link=WORKER_LINK)
        finding = judged(told, 1)
    assert (finding.verdict, finding.measured) == (VIOLATED, 2)


def test_connections_of_before_the_fault_are_no_returns() -> None:
    with story() as told:
        came_back(told, HIT - 20, HIT - 10, HEALED + 500)
        finding = judged(told, 1)
    assert (finding.verdict, finding.counted) == (HOLDS, 1)


def test_without_a_bound_it_is_measured() -> None:
    with story() as told:
        came_back(told, HEALED + 500, HEALED + 510)
        finding = judged(told, None)
    assert (finding.verdict, finding.measured, finding.bound) == (HOLDS, 2, None)


def test_where_nobody_came_back_nothing_is_said() -> None:
    with story() as told:
        finding = judged(told, 1)
    assert finding.verdict is INCONCLUSIVE
    assert finding.reason == "too little: no client came back"


@pytest.mark.parametrize(("returns", "verdict"), [(1, INCONCLUSIVE), (2, HOLDS)])
def test_an_arrival_that_is_not_known_may_exceed_the_bound(returns: float, verdict: Verdict) -> None:
    with story() as told:
        came_back(told, HEALED + 500)
        came_back(told, HEALED + 505, link=WORKER_LINK, reached=False)
        finding = judged(told, returns)
    assert finding.verdict is verdict
    assert finding.reason.startswith("gap: " if verdict is INCONCLUSIVE else "1 of 1 ")
