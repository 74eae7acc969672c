"""What a load has done so far, read from its rows while it writes them. Cheap enough to be asked ten times a second.

A row is read again only until it is finished, a sighting once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.history import rows
from harness.history._rowform import Texts, row_dtype, sight_dtype
from harness.history.rows import CODE_OF_OUTCOME, HEADER, PROVED, OpId, Outcome, Step

_Array = np.ndarray[Any, np.dtype[Any]]
_OK, _FAIL, _UNKNOWN = (CODE_OF_OUTCOME[outcome] for outcome in (Outcome.OK, Outcome.FAIL, Outcome.UNKNOWN))
_TERMINAL = (Step.RESULT | PROVED, Step.FAILURE, Step.FAILURE | PROVED, Step.DEAD_LETTER, Step.DEAD_LETTER | PROVED)


@dataclass(frozen=True, slots=True)
class Counts:
    """Operations by outcome; `unknown` are finished so, `in_flight` begun and not finished."""

    ok: int = 0
    fail: int = 0
    unknown: int = 0
    in_flight: int = 0

    @property
    def offered(self) -> int:
        """All of them."""
        return self.ok + self.fail + self.unknown + self.in_flight

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.ok + other.ok,
            self.fail + other.fail,
            self.unknown + other.unknown,
            self.in_flight + other.in_flight,
        )


@dataclass(frozen=True, slots=True)
class Open:
    """An accepted operation without a terminal sighting, and when it was accepted."""

    op: OpId
    end_ns: int


class LiveView:
    """The operations of a load's writers, and what became of them. Everything is as of the last `update`."""

    def __init__(
        self,
        history: Path,
        *,
        writers: Sequence[int] = (0,),
        sights: Sequence[str] = (),
        followed: Collection[str] | None = None,
        done: Collection[str] = (),
    ) -> None:
        """`sights` names the recorders whose sightings count ("load-0", "runner"); files may come later.

        `followed` names the workloads whose operations are seen to become terminal while the load runs; None: all.
        What becomes of others is seen only at the final read, so that they are never open. Operations of the workloads
        `done` are at their end with their first effect. See `driver.followed` and `driver.done`.
        """
        self._writers = {writer: _Writer(history / f"ops-{writer}.rows", writer, followed, done) for writer in writers}
        self._sights = [_Slots(history / f"sights-{name}.rows", sight_dtype()) for name in sights]

    def update(self) -> None:
        """Reads what has come since."""
        for writer in self._writers.values():
            writer.update()
        for slots in self._sights:
            found = slots.read(slots.count)
            slots.count += len(found)
            found = found[np.isin(found["kind"], (*_TERMINAL, Step.EFFECT))]
            for number in np.unique(found["writer"]).tolist():
                if number in self._writers:
                    self._writers[number].see(found[found["writer"] == number])

    @property
    def offered(self) -> int:
        """How many operations were begun."""
        return sum(len(writer.known) for writer in self._writers.values())

    def counts(self) -> Counts:
        """All operations."""
        return self._counts(lambda known: known)

    def begun(self, from_ns: int, to_ns: int) -> Counts:
        """The operations that were begun in [from_ns, to_ns)."""
        return self._counts(lambda known: known[(known["start_ns"] >= from_ns) & (known["start_ns"] < to_ns)])

    def ended(self, from_ns: int, to_ns: int) -> Counts:
        """The operations that were finished in [from_ns, to_ns)."""
        return self._counts(lambda known: known[(known["end_ns"] >= from_ns) & (known["end_ns"] < to_ns)])

    def last_second_ok(self, now_ns: int) -> bool:
        """Whether something was accepted in the last second, nothing came out otherwise, and nothing waits longer."""
        from_ns = now_ns - 1_000_000_000
        ended = self.ended(from_ns, now_ns + 1)
        hangs = self._counts(lambda known: known[(known["end_ns"] == 0) & (known["start_ns"] < from_ns)])
        return ended.ok > 0 and ended.ok == ended.offered and not hangs.offered

    def first_ok(self, after_ns: int) -> int | None:
        """When the first operation that was begun at or after `after_ns` was accepted; None: none was yet."""
        moments = []
        for writer in self._writers.values():
            known = writer.known
            moments += known["end_ns"][(known["start_ns"] >= after_ns) & (known["outcome"] == _OK)].tolist()
        return min(moments, default=None)

    def open(self) -> list[Open]:
        """What is accepted and not terminal, by writer and n."""
        return [
            Open(OpId(writer.number, n), end_ns) for writer in self._writers.values() for n, end_ns in writer.open()
        ]

    def open_before(self, t_ns: int) -> list[int]:
        """When each open operation was accepted that was so before `t_ns`."""
        return [end_ns for writer in self._writers.values() for _, end_ns in writer.open() if end_ns < t_ns]

    def settled(self) -> int:
        """How many operations have a terminal sighting."""
        return sum(int(np.count_nonzero(writer.settled)) for writer in self._writers.values())

    def settled_ns(self, op: OpId) -> int | None:
        """When the operation was first seen terminal; None: not yet."""
        settled = self._writers[op.writer].settled
        return int(settled[op.n]) or None if op.n < len(settled) else None

    def _counts(self, chosen: Callable[[_Array], _Array]) -> Counts:
        return sum((_counts(chosen(writer.known)) for writer in self._writers.values()), Counts())


class _Writer:
    """The operations of one writer."""

    def __init__(self, path: Path, number: int, followed: Collection[str] | None, done: Collection[str]) -> None:
        self.number, self._followed, self._done = number, followed, done
        self._ops = _Slots(path, row_dtype())
        self._texts = Texts(path.with_suffix(".strings"))
        self._rows: _Array = np.zeros(0, row_dtype())
        self._settled: _Array = np.zeros(0, np.int64)  # by n: when first terminal, 0 for not yet
        self._effects: _Array = np.zeros(0, np.int64)  # by n: when first done, likewise
        self._unfinished = 0  # the first n that may still change

    def update(self) -> None:
        """Reads the rows that have come or may have changed since."""
        found = self._ops.read(self._unfinished)
        count = self._unfinished + len(found)
        self._rows = _grown(self._rows, self._ops.count, count)
        self._rows[self._unfinished : count] = found
        unfinished = np.flatnonzero(found["end_ns"] == 0)
        self._unfinished = self._unfinished + int(unfinished[0]) if len(unfinished) else count
        self._ops.count = count

    @property
    def known(self) -> _Array:
        """The rows."""
        return self._rows[: self._ops.count]

    @property
    def settled(self) -> _Array:
        """By n: when it was first seen terminal, 0 for not yet."""
        if len(self._settled) < self._ops.count:
            self._settled = _grown(self._settled, len(self._settled), self._ops.count)
        return self._settled[: self._ops.count]

    def open(self) -> Iterator[tuple[int, int]]:
        """What is accepted and not terminal: n, and when it was accepted."""
        is_open: _Array = (self.known["outcome"] == _OK) & (self.settled == 0)
        if self._followed is not None and len(is_open):
            is_open &= self._of(self._followed)
        if self._done and len(is_open):
            self._effects = _grown(self._effects, len(self._effects), self._ops.count)
            is_open &= ~(self._of(self._done) & (self._effects[: self._ops.count] != 0))
        places = np.flatnonzero(is_open)
        return zip(places.tolist(), self.known["end_ns"][places].tolist(), strict=True)

    def _of(self, workloads: Collection[str]) -> _Array:
        """Which operations are of these workloads."""
        self._texts.load()
        codes = [code for code, name in enumerate(self._texts.tables["workload"]) if name in workloads]
        return np.isin(self.known["workload"], codes)

    def see(self, found: _Array) -> None:
        """Notes terminal sightings and effects of operations of this writer."""
        effects = found["kind"] == Step.EFFECT
        self._settled = self._noted(self._settled, found[~effects])
        if self._done:
            self._effects = self._noted(self._effects, found[effects])

    def _noted(self, moments: _Array, found: _Array) -> _Array:
        """`moments` by n, with those of the sightings where there was none."""
        if not len(found):
            return moments
        size = int(found["n"].max()) + 1
        if size > rows.MAX_N // 2:  # a marker that nobody wrote: a phantom, for others to judge
            found = found[found["n"] < self._ops.count]
            size = self._ops.count
        moments = _grown(moments, len(moments), max(size, len(moments)))
        for n, t_ns in zip(found["n"].tolist(), found["t_ns"].tolist(), strict=True):
            if moments[n] == 0:
                moments[n] = t_ns
        return moments


class _Slots:
    """A file of slots that grows; `count` of them were read for good."""

    def __init__(self, path: Path, dtype: np.dtype[np.void]) -> None:
        self._path, self._dtype = path, dtype
        self._fd = -1
        self.count = 0

    def read(self, first: int) -> _Array:
        """The slots from `first` on; none while the file does not exist."""
        if self._fd < 0:
            if not self._path.exists():
                return np.zeros(0, self._dtype)
            self._fd = os.open(self._path, os.O_RDONLY)
        size = self._dtype.itemsize
        at = HEADER.size + first * size
        data = os.pread(self._fd, max(0, os.fstat(self._fd).st_size - at), at)
        return np.frombuffer(data[: len(data) // size * size], self._dtype)

    def __del__(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)


def _counts(found: _Array) -> Counts:
    outcomes, finished = found["outcome"], found["end_ns"] != 0
    ok, fail = int(np.count_nonzero(outcomes == _OK)), int(np.count_nonzero(outcomes == _FAIL))
    unknown = int(np.count_nonzero((outcomes == _UNKNOWN) & finished))
    return Counts(ok, fail, unknown, int(np.count_nonzero(~finished)))


def _grown(array: _Array, used: int, wanted: int) -> _Array:
    """The array, or a copy with room for what is wanted and as much again."""
    if wanted <= len(array):
        return array
    larger = np.zeros(max(1024, 2 * wanted), array.dtype)
    larger[:used] = array[:used]
    return larger
