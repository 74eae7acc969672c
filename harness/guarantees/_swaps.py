"""Real-time order of millions of publishes, without sorting them.

Swept by sequence, an acknowledged publish is out of order if it ended before the latest beginning of those at or below
its sequence. Files are taken by their lowest sequence; what a later file may still reach below is carried over.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from harness.guarantees._sets import Swap
from harness.history._columnar import ColumnarForm
from harness.history._columns import Array
from harness.history.rows import OpId

_ACKNOWLEDGED = "outcome = 'ok' AND seq > 0 AND NOT duplicate AND end_ns IS NOT NULL"
_SPARSE = 8  # sequences an acknowledged publish, above which sorting is cheaper than one place for each


@dataclass
class _Found:
    """Offenders by witness; a witness is told by when it began, since what follows it began earlier."""

    total: int = 0
    counts: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    firsts: dict[int, int] = field(default_factory=dict)

    def add(self, witnessed: Array, keys: Array) -> None:
        self.total += len(keys)
        order = np.lexsort((keys, witnessed))
        starts, first, counts = np.unique(witnessed[order], return_index=True, return_counts=True)
        for start, key, count in zip(starts.tolist(), keys[order][first].tolist(), counts.tolist(), strict=True):
            self.counts[start] += count
            self.firsts[start] = min(key, self.firsts.get(start, key))


def find_swaps(form: ColumnarForm, named: int) -> tuple[int, tuple[Swap, ...]]:
    """How many publishes are out of order, and the first swaps, as Sets says."""
    total, swaps = 0, list[Swap]()
    for workload, files in sorted(_files(form).items()):
        found = _Found()
        latest = -1
        for seq, start, end, key in _by_sequence(form, workload, files):
            before, latest = _latest_starts(seq, start, latest)
            offenders = np.flatnonzero(end < before)
            if len(offenders):
                found.add(before[offenders], key[offenders])
        total += found.total
        starts = sorted(found.counts)[: named - len(swaps)]
        for start_ns, witness in zip(starts, _witnesses(form, workload, starts), strict=True):
            swaps.append(Swap(workload, witness, _op(found.firsts[start_ns]), found.counts[start_ns]))
    return total, tuple(swaps)


def _files(form: ColumnarForm) -> dict[str, list[tuple[int, Path]]]:
    """The files with acknowledged publishes of each workload, by the lowest sequence in them."""
    found: dict[str, list[tuple[int, Path]]] = defaultdict(list)
    query = f"SELECT workload, min(seq) AS seq FROM $ WHERE {_ACKNOWLEDGED} GROUP BY workload"
    for file, columns in form.each(query, form.operations_files):
        for workload, seq in zip(columns["workload"].tolist(), columns["seq"].tolist(), strict=True):
            found[workload].append((seq, file))
    return {workload: sorted(files) for workload, files in found.items()}


def _by_sequence(form: ColumnarForm, workload: str, files: list[tuple[int, Path]]) -> Iterator[tuple[Array, ...]]:
    """seq, start, end and key of acknowledged publishes, in parts each of which lies above the one before."""
    query = (
        f"SELECT seq, start_ns, end_ns, writer::UBIGINT << 32 | n AS key FROM $ WHERE {_ACKNOWLEDGED} AND workload = ?"
    )
    part: tuple[Array, ...]
    carried: tuple[Array, ...] | None = None
    bounds = [seq for seq, _ in files[1:]]
    for bound, (_, columns) in zip(
        [*bounds, None], form.each(query, [file for _, file in files], workload), strict=True
    ):
        part = (columns["seq"], columns["start_ns"], columns["end_ns"], columns["key"])
        if carried is not None:
            part = tuple(map(np.concatenate, zip(carried, part, strict=True)))
        if bound is None:
            yield part
            return
        below = part[0] < bound
        if not below.any():
            carried = part
        elif below.all():
            carried = None
            yield part
        else:
            carried = tuple(column[~below] for column in part)
            yield tuple(column[below] for column in part)


def _latest_starts(seq: Array, start: Array, latest: int) -> tuple[Array, int]:
    """For each publish the latest start at or below its sequence, `latest` being that of all before; and of all."""
    lowest = seq.min()
    if int(seq.max() - lowest) < _SPARSE * len(seq):
        place = (seq - lowest).astype(np.int64)
        swept = np.full(int(place.max()) + 1, latest, np.int64)
        swept[place] = start
        if not np.array_equal(swept[place], start):  # one sequence was given twice
            np.maximum.at(swept, place, start)
        swept[0] = max(int(swept[0]), latest)
        np.maximum.accumulate(swept, out=swept)
        return swept[place], int(swept[-1])
    order = np.argsort(seq, kind="stable")
    swept = np.maximum.accumulate(np.maximum(start[order], latest))
    last_of_same = np.searchsorted(seq[order], seq, side="right") - 1
    return swept[last_of_same], int(swept[-1])


def _witnesses(form: ColumnarForm, workload: str, starts: list[int]) -> list[OpId]:
    """The acknowledged publishes that began at these times; of several of one moment that of the lowest sequence."""
    if not starts:
        return []
    query = (
        "SELECT start_ns, arg_min(writer::UBIGINT << 32 | n, (seq, writer, n)) FROM operations"
        f" WHERE {_ACKNOWLEDGED} AND workload = ? AND start_ns IN (SELECT unnest(?::BIGINT[])) GROUP BY start_ns"
    )
    keys = dict(form.rows(query, workload, starts))
    return [_op(keys[start]) for start in starts]


def _op(key: int) -> OpId:
    return OpId(key >> 32, key & 0xFFFF_FFFF)
