"""Columnar histories of millions of operations, made by SQL in a minute, with anomalies planted in them."""

from __future__ import annotations

import json
from pathlib import Path

from harness.history._columnar import LINES, SUMMARY, connect
from harness.history._columns import FILE_ROWS, OPERATIONS, SIGHTINGS
from harness.history.recorder import META
from harness.history.rows import VERSION

WRITERS = 4
WORKLOAD = "publish"
SETTLES_NS = 3_000_000_000
NONCE = "a1b2c3d4"
PROMISES = {"settles_s": 3, "drains_s": 3, "failed": 0, "effects_least": 1, "effects_most": 1}
TOLD = {"polled": False, "read": "stream", "effects": True, "followed": False, "answers_s": 2, "results_s": 10}
WORKLOADS = {WORKLOAD: {"kind": "jetstream", **TOLD}}
PARQUET = "(FORMAT parquet, PARQUET_VERSION v2, COMPRESSION snappy)"

# One publish a microsecond, acknowledged after 20 to 920 us: some 500 in flight. One in a hundred is refused, one in a
# hundred never answered; every other has one effect. `g` numbers operations over all writers, in the order offered.
_OPERATIONS = """
SELECT {writer} AS writer, n, '{workload}' AS workload, g * 1000 AS intended_ns,
       g * 1000 + hash(g) % 900 + CASE WHEN late THEN 5000000 ELSE 0 END AS start_ns,
       CASE WHEN outcome = 'unknown' THEN NULL
            ELSE g * 1000 + 20000 + hash(g + 1) % 900000 + CASE WHEN late THEN 5000000 ELSE 0 END END AS end_ns,
       outcome, NULL AS ref, CASE WHEN outcome = 'ok' THEN g + 1 ELSE 0 END AS seq,
       0 AS status, CASE WHEN outcome = 'fail' THEN 'no responders' ELSE '' END AS error, 90 AS size,
       false AS duplicate
FROM (SELECT n, n * {writers} + {writer} AS g, (n * {writers} + {writer}) IN ({late}) AS late,
             CASE n % 100 WHEN 0 THEN 'fail' WHEN 1 THEN 'unknown' ELSE 'ok' END AS outcome
      FROM range({low}, {high}) t(n))
"""
_SIGHTINGS = """
SELECT t_ns, 'effect' AS step, 'stream' AS source, '' AS by, writer, n, NULL AS ref, g + 1 AS seq, 0 AS attempt,
       false AS proved
FROM (SELECT g % {writers} AS writer, g // {writers} AS n, g, g * 1000 + 50000 + hash(g + 2) % 900000 AS t_ns
      FROM (SELECT unnest(CASE WHEN g IN ({twice}) THEN [g, g] WHEN g = {often} THEN list_resize([g], 200, g)
                               WHEN g IN ({lost}) THEN [] ELSE [g] END) AS g
            FROM range({low}, {high}) t(g) WHERE (g // {writers}) % 100 > 1 OR g IN ({refused}))
      UNION ALL SELECT writer, n, 0, {low} * 1000 FROM (VALUES {phantoms}) p(writer, n) WHERE {low} = 0)
ORDER BY t_ns
"""


class Planted:
    """Which operations, by their number over all writers, are what; of a history of `total` operations."""

    def __init__(self, total: int) -> None:
        step = total // 1000
        # The (g // WRITERS) % 100 of accepted ones is above 1, of refused ones 0.
        self.lost = [self._accepted(step * k + 7) for k in (11, 222, 333, 444, 999)]
        self.twice = [self._accepted(step * k + 77) for k in (1, 5, 100, 500, 700, 998)]
        self.often = self._accepted(step * 300 + 333)
        self.refused = [step * k // (100 * WRITERS) * (100 * WRITERS) + 1 for k in (40, 900)]
        self.late = [self._accepted(step * k + 777) for k in (50, 51, 400, 600, 800)]
        self.phantoms = [(0, total // WRITERS), (2, 2**31), (WRITERS, 0), (77, 5)]

    @staticmethod
    def _accepted(number: int) -> int:
        return number // (100 * WRITERS) * (100 * WRITERS) + 50 * WRITERS + number % WRITERS


def make(folder: Path, total: int) -> None:
    """Writes the columnar history of `total` operations (a multiple of a hundred times WRITERS) into `folder`."""
    planted = Planted(total)
    connection = connect()
    for table in ("operations", "sightings"):
        (folder / table).mkdir(parents=True)
    each = total // WRITERS
    operations, sightings = [], []
    for writer in range(WRITERS):
        for low in range(0, each, FILE_ROWS):
            name = f"{writer:05}-{low:010}.parquet"
            query = _OPERATIONS.format(
                writer=writer, writers=WRITERS, workload=WORKLOAD, low=low, high=min(each, low + FILE_ROWS),
                late=_listed(planted.late),
            )  # fmt: skip
            connection.execute(_copied(query, OPERATIONS, folder / "operations" / name))
            operations.append(name)
    for low in range(0, total, FILE_ROWS):
        name = f"{low:010}.parquet"
        query = _SIGHTINGS.format(
            writers=WRITERS, low=low, high=min(total, low + FILE_ROWS), twice=_listed(planted.twice),
            often=planted.often, lost=_listed(planted.lost), refused=_listed(planted.refused),
            phantoms=", ".join(map(str, planted.phantoms)),
        )  # fmt: skip
        connection.execute(_copied(query, SIGHTINGS, folder / "sightings" / name))
        sightings.append(name)
    ((seen,),) = connection.execute(f"SELECT count(*) FROM read_parquet('{folder}/sightings/*.parquet')").fetchall()
    (folder / LINES).write_text("".join(json.dumps(line) + "\n" for line in _lines(total)))
    (folder / META).write_text(
        json.dumps({"nonce": NONCE, "calm": False, "promises": PROMISES, "workloads": WORKLOADS})
    )
    summary = {
        "version": VERSION,
        "nonce": NONCE,
        "writers": {str(writer): each for writer in range(WRITERS)},
        "workloads": [WORKLOAD],
        "operations": operations,
        "sightings": sightings,
        "sightings_count": seen,
        "incomplete": [],
    }
    (folder / SUMMARY).write_text(json.dumps(summary))


def _lines(total: int) -> list[dict[str, object]]:
    """A load from the first operation to the last, and a fault from three tenths of it to six, that took effect."""
    fault: dict[str, object] = {"kind": "fault", "id": 1}
    return [
        {"kind": "load", "t_ns": 1, "event": "started"},
        fault | {"t_ns": total * 300, "event": "asked", "fault": "silent", "target": "broker-0", "links": []},
        fault | {"t_ns": total * 300, "event": "effective"},
        fault | {"t_ns": total * 600, "event": "healed", "bit": True},
        {"kind": "load", "t_ns": total * 1000, "event": "stopping"},
        {"kind": "read", "t_ns": read_end_ns(total), "source": "stream", "complete": True, "count": 0, "from_ns": 1},
    ]


def read_end_ns(total: int) -> int:
    """When the final read ended: after everything had time to settle."""
    return total * 1000 + 10_000_000 + SETTLES_NS


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))


def _copied(query: str, columns: dict[str, str], path: Path) -> str:
    cast = ", ".join(f'CAST("{name}" AS {type_}) AS "{name}"' for name, type_ in columns.items())
    return f"COPY (SELECT {cast} FROM ({query})) TO '{path}' {PARQUET}"
