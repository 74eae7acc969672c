"""The course of work, against a judge that only compares: out of rows and of columns, of several writers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.guarantees._answers import Answers
from harness.guarantees._base import Window
from harness.guarantees._course import Course, course
from harness.guarantees._ids import Ids
from harness.guarantees._measures import Quantiles, Silence
from harness.history.reader import History
from harness.history.rows import OpId, Outcome, Step

from .judges import columnar
from .synthetic import HEALED, HIT, MS, Story, few_examples, story, t

ANSWERS_MS, RESULTS_MS, GRACE_MS = 2_000, 10_000, 1_000
LOAD_END, END = 12_000, 14_000
LAST = LOAD_END - 2_000
TERMINAL = {"result", "failure", "dead letter"}


@dataclass(frozen=True)
class Told:
    """An operation: when it was meant to begin, how much later it did, how long it took, and what was seen of it."""

    intended: int
    slip: int
    took: int | None
    outcome: Outcome
    seen: Sequence[tuple[str, int]]

    @property
    def start(self) -> int:
        return self.intended + self.slip

    @property
    def end(self) -> int | None:
        return None if self.took is None else self.start + self.took

    @property
    def first_end(self) -> int | None:
        return min((at for what, at in self.seen if what in TERMINAL), default=None)

    @property
    def accepted(self) -> bool:
        return self.outcome is Outcome.OK and self.took is not None


moments = st.integers(0, 13_990)
seen = st.tuples(st.sampled_from(["result", "unproved", "failure", "dead letter", "pending"]), moments)
operations = st.builds(
    Told,
    intended=st.integers(0, LOAD_END),
    slip=st.sampled_from([0, 0, 3, 700]),
    took=st.none() | st.sampled_from([0, 1, 12, 900, 1_999, 2_000, 2_001, 3_000, 3_001]),
    outcome=st.sampled_from([Outcome.OK, Outcome.OK, Outcome.OK, Outcome.FAIL, Outcome.UNKNOWN]),
    seen=st.lists(seen, max_size=3),
)


def tell(told: Story, work: Sequence[Told]) -> list[OpId]:
    """Writes it all down; the operations' ids."""
    told.load(0, LOAD_END)
    told.fault(HIT, HEALED)
    ids = []
    for one in sorted(work, key=lambda one: one.start):
        outcome = one.outcome if one.took is not None else None
        op = told.op(one.start, outcome, took=one.took or 0, intended=one.intended)
        ids.append(op)
        for what, at in one.seen:
            if what in ("result", "unproved"):
                told.result(op, at, proved=what == "result")
            else:
                told.end(Step[what.upper().replace(" ", "_")], op, at)
    told.line("phase", END, name="settle", from_ns=t(LOAD_END), to_ns=t(END))
    return ids


def brute(work: Sequence[Told], ids: Sequence[OpId]) -> dict[str, object]:
    """What a course is, straight from the definitions."""

    def within(since: int, until: int) -> list[tuple[OpId, Told]]:
        return [(op, one) for op, one in of if since <= one.intended <= until]

    def hung(one: Told) -> bool:
        took = (END if one.end is None else one.end) - one.start
        given_up = one.end is not None and one.outcome is Outcome.UNKNOWN and took >= ANSWERS_MS
        return given_up or took > ANSWERS_MS + GRACE_MS

    def in_time(one: Told) -> bool:
        results = [at for what, at in one.seen if what == "result"]
        return one.accepted and bool(results) and min(results) - one.start <= RESULTS_MS

    def early(one: Told) -> bool:
        return one.accepted and (one.end or 0) <= HEALED

    of = list(zip(ids, sorted(work, key=lambda one: one.start), strict=True))
    under = within(HIT, HEALED)
    looks = {op: max((at for what, at in one.seen if what == "pending"), default=None) for op, one in of}
    ends = sorted(one.first_end for _, one in of if one.first_end is not None)
    return {
        "offered": len(under),
        "accepted": sum(one.accepted for _, one in under),
        "refused": sum(one.outcome is Outcome.FAIL and one.took is not None for _, one in under),
        "failed": sorted(op for op, one in under if not in_time(one)),
        "hung": sorted(op for op, one in under if hung(one)),
        "unwatched": sum(one.end is None and not hung(one) for _, one in under),
        "latencies": [(END if one.end is None else one.end) - one.intended for _, one in under],
        "silence": _silence([one.end for _, one in under if one.accepted and one.end is not None]),
        "before": (len(within(HIT - 2_000, HIT)), sum(HIT - 2_000 <= at <= HIT for at in ends)),
        "last": (len(within(LAST, LOAD_END)), sum(LAST <= at <= LOAD_END for at in ends)),
        "first_end": ends[0] if ends else None,
        "early": sum(early(one) for _, one in of),
        "at_risk": sum(early(one) and (one.end or 0) >= HIT - 2_000 for _, one in of),
        "after": sorted((op, one.first_end) for op, one in of if early(one) and (one.first_end or 0) > HEALED),
        "open": sorted((op, looks[op]) for op, one in of if early(one) and one.first_end is None),
        "works": min(
            (
                one.end
                for _, one in of
                if one.accepted and one.end and one.start >= HEALED and one.first_end is not None
            ),
            default=None,
        ),
    }


def _silence(accepted: Sequence[int]) -> int:
    moments = [HIT, *sorted(at for at in accepted if HIT <= at <= HEALED), HEALED]
    return max(after - before for before, after in pairwise(moments))


def found(history: History) -> dict[str, object]:
    """The same out of the course of a history."""
    of: Course = course(history)
    under: Answers = of.under

    def ms(t_ns: int | None) -> int | None:
        return None if t_ns is None or t_ns < 0 else round((t_ns - t(0)) / MS)

    begin, end = under.silence.longest()
    after, open_ = (
        sorted(zip(of.ids.named(ends.indices), map(ms, ends.t_ns.tolist()), strict=True))
        for ends in (of.after, of.open)
    )
    return {
        "offered": under.offered,
        "accepted": under.accepted,
        "refused": under.refused,
        "failed": sorted(of.failed.first),
        "hung": sorted(under.hung.first),
        "unwatched": under.unwatched,
        "silence": (end - begin) // MS,
        "before": (of.before.answers.offered, of.before.ended),
        "last": (of.last.answers.offered, of.last.ended),
        "early": of.early,
        "at_risk": of.at_risk,
        "after": after,
        "open": open_,
        "works": ms(of.first_done(history, t(HEALED))),
    }


@given(st.lists(operations, max_size=40), st.sampled_from([(0,), (0, 1, 2), (0, 3, 1001)]))
@few_examples
def test_three_ways_to_the_course_of_work(work: list[Told], writers: tuple[int, ...]) -> None:
    with story(writers=writers) as told:
        expected = brute(work, tell(told, work))
        latencies, first_end = expected.pop("latencies"), expected.pop("first_end")
        for compacted in (False, True):
            history = columnar(told.folder, 5) if compacted else told.ended(END)
            assert found(history) == expected
            of = course(history)
            quantiles = [of.under.latency.of(share) for share in (0.5, 0.95)]
            assert [_near(quantile, latencies, share) for quantile, share in zip(quantiles, (0.5, 0.95), strict=True)]
            since = max(HIT - 2_000, first_end if isinstance(first_end, int) else END)
            assert (of.before.rate == 0) or of.before.rate == pytest.approx(of.before.ended / (HIT - since) * 1000)


def _near(quantile: int, latencies: object, share: float) -> bool:
    assert isinstance(latencies, list)
    if not latencies:
        return quantile == 0
    exact = sorted(latencies)[max(math.ceil(share * len(latencies)), 1) - 1] * MS
    assert exact <= quantile <= exact * (1 + 1 / 64) + 1
    return True


# ---- what is measured in little memory ------------------------------------------------------------------------------


@given(
    st.lists(st.integers(0, 2**50) | st.integers(0, 300), min_size=1, max_size=60),
    st.sampled_from([0.5, 0.95, 0.99, 1]),
)
def test_a_quantile_is_never_told_shorter_nor_much_longer(durations: list[int], share: float) -> None:
    measured = Quantiles()
    for part in (durations[::2], durations[1::2]):
        measured.add(np.array(part, np.int64))
    exact = sorted(durations)[math.ceil(share * len(durations)) - 1]
    assert exact <= measured.of(share) <= exact * (1 + 1 / 64)


@given(st.integers(0, 2**40), st.integers(0, 5_000), st.lists(st.integers(-100, 5_100), max_size=30))
def test_the_longest_silence_is_exact_from_10_ms_on(from_ms: int, lasts_ms: int, heard_ms: list[int]) -> None:
    from_ns, to_ns = from_ms * MS, (from_ms + lasts_ms) * MS
    heard = np.array([from_ns + ms * MS for ms in heard_ms], np.int64)
    measured = Silence(from_ns, to_ns)
    measured.add(heard[::2])
    measured.add(heard[1::2])
    begin, end = measured.longest()
    edges = [from_ns, *sorted(at for at in heard.tolist() if from_ns <= at <= to_ns), to_ns]
    exact = max(after - before for before, after in pairwise(edges))
    assert end - begin == exact or max(end - begin, exact) < 10 * MS
    assert begin in edges
    assert end in edges


def test_nothing_was_measured() -> None:
    assert Quantiles().of(0.95) == 0
    assert Silence(5, 5).longest() == (5, 5)
    empty = Answers(Window(5, 1), Ids({}), [None], 10)
    assert (empty.offered, empty.silence.longest()) == (0, (5, 5))
