"""Judges of one history: `python -m bench.judges columns|course|python|joins FOLDER TOTAL` prints what each found.

`python` and `joins` are how one would write it without thinking of size: sets and dictionaries, and SQL by joins.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.histories import SETTLES_NS, WORKLOAD, read_end_ns
from harness.history.reader import History

Found = dict[str, Any]


def columns(history: History, total: int) -> Found:
    """The harness' own way."""
    from harness.guarantees._sets import Rules, sets

    rules = Rules(settles_ns=SETTLES_NS, read={WORKLOAD: read_end_ns(total)})
    found = sets(history, rules)
    return {
        "offered": found.offered,
        "accepted": found.accepted,
        "refused": found.refused,
        "lost": found.lost.first,
        "undetermined": found.undetermined.first,
        "duplicates": found.duplicates.first,
        "missing": found.missing.first,
        "refused_yet_done": found.refused_yet_done.first,
        "phantoms": found.phantoms,
        "out_of_order": found.out_of_order,
        "swaps": sorted((*swap.witness, swap.offenders) for swap in found.swaps),
    }


def course(history: History, total: int) -> Found:
    """Availability and convergence, by the guarantees themselves."""
    from harness.guarantees.available import Available
    from harness.guarantees.converges import Converges

    findings = [*Available(failed=0.02, latency_ms=10, silence_s=0.1).judge(history), *Converges().judge(history)]
    return {finding.clause: [finding.verdict, finding.counted, finding.ops_total] for finding in findings}


def python(history: History, total: int) -> Found:
    """Sets and dictionaries of pairs of integers."""
    from collections import Counter

    accepted: dict[tuple[int, int], tuple[int, int, int]] = {}
    refused: set[tuple[int, int]] = set()
    offered = set()
    query = "SELECT writer, n, outcome, seq, start_ns, end_ns FROM operations"
    for writer, n, outcome, seq, start, end in history.form.rows(query):  # type: ignore[union-attr]
        op = (writer, n)
        offered.add(op)
        if outcome == "ok":
            accepted[op] = (seq, start, end)
        elif outcome == "fail":
            refused.add(op)
    done: Counter[tuple[int, int]] = Counter()
    phantoms = 0
    for writer, n in history.form.rows("SELECT writer, n FROM sightings WHERE step = 'effect'"):  # type: ignore[union-attr]
        if (writer, n) in offered:
            done[writer, n] += 1
        else:
            phantoms += 1
    open_ = [(op, accepted[op][2]) for op in accepted if op not in done]
    lost = [op for op, end in open_ if read_end_ns(total) >= end + SETTLES_NS]
    latest, witness, swaps = 0, (0, 0), Counter[tuple[int, int]]()
    for _, start, end, op in sorted((seq, start, end, op) for op, (seq, start, end) in accepted.items() if seq):
        if start > latest:
            latest, witness = start, op
        if end < latest:
            swaps[witness] += 1
    return {
        "offered": len(offered),
        "accepted": len(accepted),
        "refused": len(refused),
        "lost": sorted(lost),
        "undetermined": sorted(op for op, _ in open_ if op not in set(lost)),
        "duplicates": sorted(op for op, count in done.items() if count > 1),
        "missing": sorted(lost),
        "refused_yet_done": sorted(refused & done.keys()),
        "phantoms": phantoms,
        "out_of_order": sum(swaps.values()),
        "swaps": sorted((*op, count) for op, count in swaps.items()),
    }


def joins(history: History, total: int) -> Found:
    """Anti-joins, a group and a window function."""
    due = f"end_ns + {SETTLES_NS} <= {read_end_ns(total)}"
    open_ = "operations o ANTI JOIN (FROM sightings WHERE step = 'effect') s USING (writer, n) WHERE outcome = 'ok'"
    ((offered, accepted, refused),) = history.sql(
        "SELECT count(*), count(*) FILTER (outcome = 'ok'), count(*) FILTER (outcome = 'fail') FROM operations"
    )
    lost = history.sql(f"SELECT writer, n FROM {open_} AND {due} ORDER BY ALL")
    ((phantoms,),) = history.sql("SELECT count(*) FROM sightings ANTI JOIN operations USING (writer, n)")
    swaps = history.sql(
        "SELECT w.writer, w.n, count(*) FROM (SELECT end_ns, max(start_ns) OVER (ORDER BY seq) AS latest"
        " FROM operations WHERE outcome = 'ok' AND seq > 0) a JOIN operations w ON w.start_ns = latest"
        " WHERE a.end_ns < latest GROUP BY ALL ORDER BY ALL"
    )
    return {
        "offered": offered,
        "accepted": accepted,
        "refused": refused,
        "lost": lost,
        "undetermined": history.sql(f"SELECT writer, n FROM {open_} AND NOT {due} ORDER BY ALL"),
        "duplicates": history.sql(
            "SELECT writer, n FROM sightings SEMI JOIN operations USING (writer, n) WHERE step = 'effect'"
            " GROUP BY ALL HAVING count(*) > 1 ORDER BY ALL"
        ),
        "missing": lost,
        "refused_yet_done": history.sql(
            "SELECT writer, n FROM operations SEMI JOIN (FROM sightings WHERE step = 'effect') USING (writer, n)"
            " WHERE outcome = 'fail' ORDER BY ALL"
        ),
        "phantoms": phantoms,
        "out_of_order": sum(count for _, _, count in swaps),
        "swaps": swaps,
    }


JUDGES: dict[str, Callable[[History, int], Found]] = {
    "columns": columns,
    "course": course,
    "python": python,
    "joins": joins,
}

if __name__ == "__main__":
    print(json.dumps(JUDGES[sys.argv[1]](History.open(Path(sys.argv[2])), int(sys.argv[3]))))
