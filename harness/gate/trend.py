"""Margins, times and flakiness over the last runs: what came of each clause of each scenario, run by run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import median

from harness.gate.store import Row
from harness.report.terminal import Look
from harness.report.text import TIMES, count, plain, quantity
from harness.verdict import Verdict, merge

SHOWN = 20
"""Lines of a table, unless all are asked for."""


@dataclass(frozen=True, slots=True)
class Course:
    """One clause of one scenario over the runs that knew it. Values are in `unit`, the oldest first.

    `left`: the smallest share of its bound that any run left, below 0 where one broke it; None where there is no bound
    to have a margin, as for a count that must be 0.
    """

    system: str
    runtime: str
    scenario: str
    clause: str
    runs: int
    holds: int
    violated: int
    inconclusive: int
    unit: str
    bound: float | None
    values: Sequence[float]
    left: float | None

    @property
    def flaky(self) -> bool:
        """It came out now so, now so: held in some runs, and not in others."""
        return 0 < self.holds < self.runs

    @property
    def timed(self) -> bool:
        """It is a time, and was measured."""
        return self.unit in TIMES and bool(self.values)


def courses(rows: Sequence[Row]) -> list[Course]:
    """What came of each clause; the narrowest margin first."""
    found: dict[tuple[str, str, str, str], list[Row]] = {}
    for row in rows:
        found.setdefault((row.system, row.runtime, row.scenario, row.clause), []).append(row)
    return sorted((_course(key, ones) for key, ones in found.items()), key=_narrow)


def _course(key: tuple[str, str, str, str], rows: Sequence[Row]) -> Course:
    by_run: dict[str, list[Row]] = {}
    for row in rows:
        by_run.setdefault(row.run, []).append(row)
    verdicts = [merge(Verdict(row.verdict) for row in ones) for ones in by_run.values()]
    values = [max(known) for ones in by_run.values() if (known := [r.measured for r in ones if r.measured is not None])]
    margins = [1 - row.measured / row.bound for row in rows if row.measured is not None and row.bound]
    margins += [0.0 for row in rows if row.bound and row.measured is None and row.verdict == Verdict.VIOLATED]
    timed = rows[-1].unit in TIMES
    return Course(
        *key,
        runs=len(verdicts),
        holds=verdicts.count(Verdict.HOLDS),
        violated=verdicts.count(Verdict.VIOLATED),
        inconclusive=verdicts.count(Verdict.INCONCLUSIVE),
        unit=rows[-1].unit,
        bound=rows[-1].bound,
        values=values,
        left=min(margins) if margins and timed else None,
    )


def _narrow(course: Course) -> tuple[float, str, str, str]:
    return (2.0 if course.left is None else course.left, course.system, course.scenario, course.clause)


def lines(found: Sequence[Course], look: Look, *, every: bool) -> list[str]:
    """Three tables: margins, times, flakiness."""
    return [look.encoded(line) for line in _lines(found, every)]


def _lines(found: Sequence[Course], every: bool) -> Iterator[str]:
    margins = [one for one in found if one.left is not None]
    yield from _table("margins, the narrowest first: the share of its bound that the worst run left", margins, every)
    yield from (_margin(one) for one in _first(margins, every))
    times = [one for one in found if one.timed and len(one.values) > 1]
    times.sort(key=_later, reverse=True)
    yield from _table("times, the most grown first: the last run beside the median of those before", times, every)
    yield from (_time(one) for one in _first(times, every))
    flaky = [one for one in found if one.flaky]
    yield from _table("flaky, held in some runs and not in others: in how many", flaky, every)
    yield from (_flaky(one) for one in _first(flaky, every))


def _table(head: str, found: Sequence[Course], every: bool) -> Iterator[str]:
    left = len(found) - len(_first(found, every))
    more = f" ({left:,} more with --all)" if left else ""
    yield f"{head}{more}" if found else f"{head}: none"


def _first(found: Sequence[Course], every: bool) -> Sequence[Course]:
    return found if every else found[:SHOWN]


def _where(one: Course) -> str:
    return f"{plain(one.system)}, {plain(one.runtime)}  {plain(one.scenario):34}  {plain(one.clause):22}"


def _margin(one: Course) -> str:
    worst = quantity(max(one.values), one.unit) if one.values else "never"
    left = f"{100 * (one.left or 0):5.0f} %"
    return f"  {left}  {_where(one)}  worst {worst}, bound {quantity(one.bound, one.unit)}, {count(one.runs, 'run')}"


def _time(one: Course) -> str:
    last, before = one.values[-1], median(one.values[:-1])
    return (
        f"  {quantity(last - before, one.unit):>9}  {_where(one)}  last {quantity(last, one.unit)}, "
        f"before {quantity(before, one.unit)}, {count(len(one.values), 'run')}"
    )


def _later(one: Course) -> float:
    scale = 0.001 if one.unit == "ms" else 1.0
    return (one.values[-1] - median(one.values[:-1])) * scale


def _flaky(one: Course) -> str:
    share = f"{one.holds} of {one.runs}"
    return f"  {share:>9}  {_where(one)}  violated {one.violated}, inconclusive {one.inconclusive}"


def as_json(found: Sequence[Course]) -> list[dict[str, object]]:
    """Each course for scripts."""
    return [{**asdict(one), "flaky": one.flaky} for one in found]
