"""What a load has done so far, read from its rows while it writes them. Cheap enough to be asked ten times a second.

A row is read again only until it is finished, a sighting once.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.history import rows
from harness.history._rowform import Texts, row_dtype, sight_dtype
from harness.history.rows import CODE_OF_OUTCOME, HEADER, PROVED, Outcome, Step

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


@dataclass(frozen=True, slots=True)
class Open:
    """An accepted operation without a terminal sighting: its n, and when it was accepted."""

    n: int
    end_ns: int


class LiveView:
    """The operations of one writer, and what became of them. Everything is as of the last `update`."""

    def __init__(
        self, history: Path, *, writer: int, sights: Sequence[str] = (), followed: Collection[str] | None = None
    ) -> None:
        """`sights` names the recorders whose sightings count ("load-0", "runner"); files may come later.

        `followed` names the workloads whose operations are seen to become terminal while the load runs; None: all.
        What becomes of others is seen only at the final read, so that they are never open. See `driver.followed`.
        """
        self._writer, self._followed = writer, followed
        ops = history / f"ops-{writer}.rows"
        self._ops = _Slots(ops, row_dtype())
        self._texts = Texts(ops.with_suffix(".strings"))
        self._sights = [_Slots(history / f"sights-{name}.rows", sight_dtype()) for name in sights]
        self._rows: _Array = np.zeros(0, row_dtype())
        self._settled: _Array = np.zeros(0, np.int64)  # by n: when first terminal, 0 for not yet
        self._unfinished = 0  # the first n that may still change

    def update(self) -> None:
        """Reads what has come since."""
        found = self._ops.read(self._unfinished)
        count = self._unfinished + len(found)
        self._rows = _grown(self._rows, self._ops.count, count)
        self._rows[self._unfinished : count] = found
        unfinished = np.flatnonzero(found["end_ns"] == 0)
        self._unfinished = self._unfinished + int(unfinished[0]) if len(unfinished) else count
        self._ops.count = count
        for slots in self._sights:
            self._see(slots)

    @property
    def offered(self) -> int:
        """How many operations were begun."""
        return self._ops.count

    def counts(self) -> Counts:
        """All operations."""
        return _counts(self._known)

    def begun(self, from_ns: int, to_ns: int) -> Counts:
        """The operations that were begun in [from_ns, to_ns)."""
        known = self._known
        return _counts(known[(known["start_ns"] >= from_ns) & (known["start_ns"] < to_ns)])

    def ended(self, from_ns: int, to_ns: int) -> Counts:
        """The operations that were finished in [from_ns, to_ns)."""
        known = self._known
        return _counts(known[(known["end_ns"] >= from_ns) & (known["end_ns"] < to_ns)])

    def last_second_ok(self, now_ns: int) -> bool:
        """Whether something was accepted in the last second, nothing came out otherwise, and nothing waits longer."""
        from_ns = now_ns - 1_000_000_000
        known, ended = self._known, self.ended(from_ns, now_ns + 1)
        hangs = np.any((known["end_ns"] == 0) & (known["start_ns"] < from_ns))
        return ended.ok > 0 and ended.ok == ended.offered and not hangs

    def first_ok(self, after_ns: int) -> int | None:
        """When the first operation that was begun at or after `after_ns` was accepted; None: none was yet."""
        known = self._known
        ends = known["end_ns"][(known["start_ns"] >= after_ns) & (known["outcome"] == _OK)]
        return int(ends.min()) if len(ends) else None

    def open(self) -> list[Open]:
        """What is accepted and not terminal, by n."""
        ends = self._known["end_ns"]
        return [Open(int(n), int(ends[n])) for n in np.flatnonzero(self._is_open())]

    def open_before(self, t_ns: int) -> list[int]:
        """When each open operation was accepted that was so before `t_ns`."""
        ends = self._known["end_ns"]
        found: list[int] = ends[self._is_open() & (ends < t_ns)].tolist()
        return found

    def settled(self) -> int:
        """How many operations have a terminal sighting."""
        return int(np.count_nonzero(self._settled_known))

    def settled_ns(self, n: int) -> int | None:
        """When operation n was first seen terminal; None: not yet."""
        return int(self._settled[n]) or None if n < len(self._settled) else None

    @property
    def _known(self) -> _Array:
        return self._rows[: self._ops.count]

    @property
    def _settled_known(self) -> _Array:
        if len(self._settled) < self._ops.count:
            self._settled = _grown(self._settled, len(self._settled), self._ops.count)
        return self._settled[: self._ops.count]

    def _is_open(self) -> _Array:
        is_open: _Array = (self._known["outcome"] == _OK) & (self._settled_known == 0)
        if self._followed is None or not len(is_open):
            return is_open
        self._texts.load()
        followed = [code for code, name in enumerate(self._texts.tables["workload"]) if name in self._followed]
        return is_open & np.isin(self._known["workload"], followed)

    def _see(self, slots: _Slots) -> None:
        found = slots.read(slots.count)
        slots.count += len(found)
        found = found[np.isin(found["kind"], _TERMINAL) & (found["writer"] == self._writer)]
        if not len(found):
            return
        size = int(found["n"].max()) + 1
        if size > rows.MAX_N // 2:  # a marker that nobody wrote: a phantom, for others to judge
            found = found[found["n"] < self._ops.count]
            size = self._ops.count
        self._settled = _grown(self._settled, len(self._settled), max(size, len(self._settled)))
        first, times = found["n"], found["t_ns"]
        for n, t_ns in zip(first.tolist(), times.tolist(), strict=True):
            if self._settled[n] == 0:
                self._settled[n] = t_ns


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
