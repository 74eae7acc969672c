"""Real-time order of millions of publishes, without sorting them.

Swept by sequence, an acknowledged publish is out of order if it ended before the latest beginning of those at or below
its sequence. Sequences are dense, so that a sweep is two arrays with a place for each, a window of them at a time.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.guarantees._sets import Swap
from harness.history._columnar import ColumnarForm, pieces
from harness.history.rows import OpId

_ACKNOWLEDGED = "outcome = 'ok' AND seq > 0 AND NOT duplicate AND end_ns IS NOT NULL"
_WINDOW = 4_000_000  # sequences held at once, 16 bytes each
_SPARSE = 8  # sequences an acknowledged publish, above which sorting them is cheaper
_NEVER = np.iinfo(np.int64).max
_KEY = "writer::UBIGINT << 32 | n"


@dataclass(frozen=True, slots=True)
class _Part:
    """The publishes of one workload in one file, and within which bounds their sequences lie."""

    file: Path
    count: int
    lowest: int
    highest: int


@dataclass(slots=True)
class _Offences:
    """How many offend against one witness; it and the first of them are told by their sequences."""

    witness: int
    first: int
    count: int = 0


def find_swaps(form: ColumnarForm, named: int) -> tuple[int, tuple[Swap, ...]]:
    """How many publishes are out of order, and the first swaps, as Sets says."""
    total, swaps = 0, list[Swap]()
    for workload, parts in sorted(_parts(form).items()):
        offences = _sweep(form, workload, parts)
        if offences is None:
            found = _by_sorting(form, workload)
            total += sum(swap.offenders for swap in found)
        else:
            found = _named(form, workload, offences[: named - len(swaps)])
            total += sum(one.count for one in offences)
        swaps += found[: named - len(swaps)]
    return total, tuple(swaps)


def _parts(form: ColumnarForm) -> dict[str, list[_Part]]:
    """The parts with publishes of each workload."""
    workloads: list[str] = form.summary["workloads"]
    found: dict[str, list[_Part]] = defaultdict(list)
    of = "0" if len(workloads) == 1 else "list_position(?::VARCHAR[], workload) - 1"  # of one, it need not be decoded
    query = (
        f"SELECT ({of})::UTINYINT AS workload, count(*) AS count, min(seq) AS lowest, max(seq) AS highest"
        " FROM $ WHERE seq > 0 GROUP BY ALL HAVING count(*) > 0"
    )
    for file, columns in form.each(query, form.operations_files, *([workloads] if len(workloads) > 1 else [])):
        for workload, *numbers in zip(*(columns[name].tolist() for name in columns), strict=True):
            found[workloads[workload]].append(_Part(file, *numbers))
    return found


def _sweep(form: ColumnarForm, workload: str, parts: list[_Part]) -> list[_Offences] | None:
    """Sweeps all windows; None where sequences are sparse, or one was given twice (then only sorting tells).

    The offences are by when their witnesses began, which tells witnesses apart: what follows one began before it.
    """
    lowest, highest = min(part.lowest for part in parts), max(part.highest for part in parts)
    if highest - lowest >= _SPARSE * (sum(part.count for part in parts) + 1000):
        return None
    offences: dict[int, _Offences] = {}
    latest, latest_seq = -1, 0
    starts, ends = np.empty(_WINDOW, np.int64), np.empty(_WINDOW, np.int64)
    query = (
        f"SELECT seq, start_ns, end_ns FROM $ WHERE {_ACKNOWLEDGED} AND workload = ?"
        " AND seq >= ?::UBIGINT AND seq < ?::UBIGINT"
    )
    for low in range(lowest, highest + 1, _WINDOW):
        starts.fill(-1)
        ends.fill(_NEVER)
        files = [part.file for part in parts if part.lowest < low + _WINDOW and part.highest >= low]
        count = 0
        for _, columns in form.each(query, files, workload, low, low + _WINDOW):
            count += len(columns["seq"])
            for piece in pieces(len(columns["seq"])):
                place = (columns["seq"][piece] - np.uint64(low)).view(np.int64)
                starts[place] = columns["start_ns"][piece]
                ends[place] = columns["end_ns"][piece]
        if int(np.count_nonzero(starts >= 0)) != count:
            return None
        starts[0] = max(int(starts[0]), latest)
        np.maximum.accumulate(starts, out=starts)
        offenders = np.flatnonzero(ends < starts)
        witnessed, first, counts = np.unique(starts[offenders], return_index=True, return_counts=True)
        for start, place, times in zip(witnessed.tolist(), offenders[first].tolist(), counts.tolist(), strict=True):
            witness = latest_seq if start == latest else low + int(np.searchsorted(starts, start))
            offences.setdefault(start, _Offences(witness, low + place)).count += times
        if int(starts[-1]) > latest:
            latest = int(starts[-1])
            latest_seq = low + int(np.searchsorted(starts, latest))
    return list(offences.values())


def _named(form: ColumnarForm, workload: str, offences: list[_Offences]) -> list[Swap]:
    """The swaps, with the ids of their sequences."""
    wanted = sorted({seq for one in offences for seq in (one.witness, one.first)})
    if not wanted:
        return []
    query = (
        "SELECT seq, writer, n FROM (FROM operations WHERE seq IN (SELECT unnest(?::UBIGINT[])))"
        f" WHERE {_ACKNOWLEDGED} AND workload = ?"
    )
    ids = {seq: OpId(writer, n) for seq, writer, n in form.rows(query, wanted, workload)}
    return [Swap(workload, ids[one.witness], ids[one.first], one.count) for one in offences]


def _by_sorting(form: ColumnarForm, workload: str) -> list[Swap]:
    """The same by a window function, which also weighs publishes of one sequence against each other."""
    query = f"""
        WITH swept AS (
            SELECT {_KEY} AS key, seq, start_ns, end_ns, max(start_ns) OVER (ORDER BY seq) AS latest
            FROM operations WHERE {_ACKNOWLEDGED} AND workload = ?
        ), offences AS (
            SELECT latest, count(*) AS count, arg_min(key, (seq, key)) AS first FROM swept
            WHERE end_ns < latest GROUP BY latest
        )
        SELECT arg_min(key, (seq, key)), any_value(first), any_value(count)
        FROM offences JOIN swept ON swept.start_ns = offences.latest GROUP BY offences.latest ORDER BY offences.latest
    """
    return [Swap(workload, _op(witness), _op(first), count) for witness, first, count in form.rows(query, workload)]


def _op(key: int) -> OpId:
    return OpId(key >> 32, key & 0xFFFF_FFFF)
