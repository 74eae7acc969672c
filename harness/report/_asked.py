"""What a timeline asks of a history, as columns: a million operations are counted, and none is dropped.

Both tables are read once, by queries so plain that they cost little where a history is small, as most are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from harness.history.reader import NEVER_NS, History

Array = np.ndarray[Any, np.dtype[Any]]

ROWS = 24
"""Rows of the latency axis for each power of ten."""
NAMES = ("fail", "ok", "open", "unknown")
"""The kinds of operation, by number."""

_FAIL, _OK, _OPEN, _UNKNOWN = range(len(NAMES))
_AGAIN, _LOOKED, _ENDED, _DONE = range(4)
_NOBODY = 2**64 - 1
_OPERATIONS = f"""
  SELECT writer::UBIGINT << 32 | n AS id, coalesce(nullif(intended_ns, 0), start_ns) AS began, start_ns,
    coalesce(end_ns, 0) AS answered, coalesce(list_position(?::VARCHAR[], workload), 0)::UTINYINT AS workload,
    (CASE outcome WHEN 'fail' THEN {_FAIL} WHEN 'ok' THEN {_OK} ELSE {_UNKNOWN} END)::UTINYINT AS kind
  FROM operations ORDER BY id"""
_SAYS = f"""
  t_ns, (CASE WHEN step IN ('failure', 'dead_letter') OR (step = 'result' AND proved) THEN {_ENDED}
    WHEN step = 'effect' THEN {_DONE} WHEN step = 'result' THEN {_LOOKED} ELSE {_AGAIN} END)::UTINYINT AS says"""
_ENDS = "'failure', 'dead_letter', 'result', 'effect'"
_SIGHTINGS = f"""
  SELECT coalesce(writer::UBIGINT << 32 | n, {_NOBODY}) AS id, {_SAYS},
    step = 'repeat' OR (coalesce(attempt, 0) > 1 AND step IN ('delivered', 'effect')) AS again
  FROM sightings WHERE step IN ({_ENDS}, 'repeat', 'delivered')"""
_BY_REF = f"""
  SELECT o.writer::UBIGINT << 32 | o.n AS id, {_SAYS} FROM sightings s JOIN operations o ON o.ref = s.ref
  WHERE s.writer IS NULL AND step IN ({_ENDS})"""


class Cell(NamedTuple):
    """`n` operations of one kind in one place: x a column of time, y a row of latency (None: never answered)."""

    kind: str
    x: int
    y: int | None
    n: int


class Slice(NamedTuple):
    """A stretch of time: what was offered in it by kind, and how long answers took, in milliseconds."""

    x: int
    ok: int
    open: int
    fail: int
    unknown: int
    median_ms: float | None
    most_ms: float | None

    @property
    def offered(self) -> int:
        """All of them."""
        return self.ok + self.open + self.fail + self.unknown


@dataclass(frozen=True)
class Counted:
    """`flow`: column to how many more polled operations were open at its end; `again`: to what was seen once more."""

    cells: list[Cell]
    slices: list[Slice]
    rate: list[Slice]
    flow: list[tuple[int, int]]
    again: list[tuple[int, int]]


class _Told(NamedTuple):
    """The operations by id: when each was to begin, was answered (0: never) and ended (NEVER_NS), its kind.

    `last_ns` is the last moment of any, and `again` has when something was seen once more.
    """

    began: Array
    answered: Array
    ended: Array
    kind: Array
    polled: Array
    last_ns: int
    again: Array


@dataclass(frozen=True)
class Asked:
    """A history, and which of its workloads have an end that can be seen (`traced`; an effect in `read` ones).

    Only of `polled` ones is it known when they ended: what is read once, at the end, is seen then.
    """

    history: History
    traced: Sequence[str]
    read: Sequence[str]
    polled: Sequence[str]

    def span(self) -> tuple[int, int] | None:
        """From the first moment of any operation to the last, its end included; None where there are none."""
        told = self._told
        return (int(told.began.min()), told.last_ns) if len(told.began) else None

    def counted(self, from_ns: int, step_ns: int, slice_ns: int) -> Counted:
        """Every operation, counted by columns of `step_ns` and by slices of `slice_ns`, all from `from_ns` on."""
        told = self._told
        since, answered = told.began - from_ns, told.answered > 0
        ms = np.where(answered, told.answered - told.began, 0) / 1e6
        polled = told.polled & (told.kind <= _OPEN) & (told.kind >= _OK) & answered
        ends = polled & (told.ended < NEVER_NS)
        opened, closed = told.answered[polled], np.maximum(told.ended, told.answered)[ends]
        flow = _columns(np.concatenate([opened, closed]) - from_ns, step_ns)
        by_one = np.repeat([1, -1], [len(opened), len(closed)])
        return Counted(
            cells=_cells(told.kind, since // step_ns, ms, answered),
            slices=list(_slices(told.kind, since // slice_ns, ms, answered)),
            rate=list(_slices(told.kind, since // max(1, slice_ns // 4))),
            flow=_summed(flow, by_one),
            again=_summed(_columns(told.again - from_ns, step_ns), np.ones(len(told.again), np.int64)),
        )

    @cached_property
    def _told(self) -> _Told:
        names = [*dict.fromkeys((*self.traced, *self.read, *self.polled))]
        found = self.history.columns(_OPERATIONS, names)
        seen = self.history.columns(_SIGHTINGS)
        ids, kind, workload = found["id"], found["kind"], found["workload"]
        traced, read, polled = (
            np.array([False, *(name in some for name in names)])[workload]
            for some in (self.traced, self.read, self.polled)
        )
        ended, done = np.full((2, len(ids)), NEVER_NS)
        named = [seen, self.history.columns(_BY_REF)] if bool((seen["id"] == _NOBODY).any()) else [seen]
        for some in named if len(ids) else ():
            places = np.minimum(np.searchsorted(ids, some["id"]), len(ids) - 1)
            known = ids[places] == some["id"]
            for moments, says in ((ended, _ENDED), (done, _DONE)):
                chosen = known & (some["says"] == says)
                np.minimum.at(moments, places[chosen], some["t_ns"][chosen])
        ended = np.where(read, np.minimum(ended, done), ended)
        kind[(kind == _OK) & traced & (ended == NEVER_NS)] = _OPEN
        told = (found["start_ns"], found["answered"], seen["t_ns"][seen["says"] >= _LOOKED])
        last_ns = max((int(moments.max()) for moments in told if len(moments)), default=0)
        again = seen["t_ns"][seen["again"]]
        return _Told(found["began"], found["answered"], ended, kind, polled, last_ns, again)


def _cells(kind: Array, x: Array, ms: Array, answered: Array) -> list[Cell]:
    """One for each place that has operations, by kind and place."""
    if not len(kind):
        return []
    y = np.floor(np.log10(np.maximum(ms, 1e-3)) * ROWS).astype(np.int64)
    low, high = int(y.min()), int(y.max()) + 1
    y[~answered] = high
    wide, columns = high - low + 1, int(x.max()) + 1
    places, counts = np.unique((kind * np.int64(columns) + x) * wide + y - low, return_counts=True)
    found = []
    for place, n in zip(places.tolist(), counts.tolist(), strict=True):
        rest, row = divmod(place, wide)
        number, column = divmod(rest, columns)
        found.append(Cell(NAMES[number], column, None if row == wide - 1 else row + low, n))
    return found


def _slices(kind: Array, x: Array, ms: Array | None = None, answered: Array | None = None) -> Iterator[Slice]:
    """One for each stretch in which anything was offered; with its latencies where they are given."""
    counts: dict[int, list[int]] = {}
    for place, n in zip(*(one.tolist() for one in np.unique(x * len(NAMES) + kind, return_counts=True)), strict=True):
        counts.setdefault(place // len(NAMES), [0] * len(NAMES))[place % len(NAMES)] = n
    for one, of in counts.items():
        median_ms = most_ms = None
        if ms is not None and answered is not None and len(took := ms[(x == one) & answered]):
            median_ms, most_ms = float(np.median(took)), float(took.max())
        yield Slice(one, of[_OK], of[_OPEN], of[_FAIL], of[_UNKNOWN], median_ms, most_ms)


def _columns(since: Array, step_ns: int) -> Array:
    """The columns of moments; what was just before the first one belongs to it."""
    found: Array = np.where(since < 0, -(-since // step_ns), since // step_ns)
    return found


def _summed(columns: Array, by: Array) -> list[tuple[int, int]]:
    places, inverse = np.unique(columns, return_inverse=True)
    sums = np.zeros(len(places), np.int64)
    np.add.at(sums, inverse, by)
    return list(zip(places.tolist(), sums.tolist(), strict=True))
