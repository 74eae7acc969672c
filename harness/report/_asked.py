"""What a timeline asks of a history, in SQL: a million operations are counted where they lie, and none is dropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from harness.history.reader import History

ROWS = 24
"""Rows of the latency axis for each power of ten."""

_ROW = f"CASE WHEN ms IS NOT NULL THEN floor(log10(greatest(ms, 1e-3)) * {ROWS})::INT END"
_ENDS = "'failure', 'dead_letter', 'result', 'effect'"
_TOLD = """
WITH seen AS (
  SELECT writer, n, t_ns, step, proved FROM sightings WHERE writer IS NOT NULL
  UNION ALL
  SELECT o.writer, o.n, s.t_ns, s.step, s.proved FROM sightings s JOIN operations o ON o.ref = s.ref
  WHERE s.writer IS NULL AND s.ref IS NOT NULL
), ends AS (
  SELECT writer, n,
    min(t_ns) FILTER (step IN ('failure', 'dead_letter') OR (step = 'result' AND proved)) AS ended,
    min(t_ns) FILTER (step = 'effect') AS done
  FROM seen WHERE step IN (ENDS) GROUP BY ALL
), told AS MATERIALIZED (
  SELECT coalesce(nullif(o.intended_ns, 0), o.start_ns) AS began, nullif(o.end_ns, 0) AS answered, outcome,
    CASE WHEN list_contains(?::VARCHAR[], o.workload) THEN least(e.ended, e.done) ELSE e.ended END AS ended,
    list_contains(?::VARCHAR[], o.workload) AS traced, list_contains(?::VARCHAR[], o.workload) AS polled
  FROM operations o LEFT JOIN ends e USING (writer, n)
), kinds AS (
  SELECT *, (answered - began) / 1e6 AS ms,
    CASE WHEN outcome = 'ok' AND traced AND ended IS NULL THEN 'open' ELSE outcome END AS kind FROM told
)
""".replace("ENDS", _ENDS)


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
        query = f"""SELECT min(coalesce(nullif(intended_ns, 0), start_ns)), greatest(max(start_ns), max(end_ns),
          (SELECT max(t_ns) FROM sightings WHERE step IN ({_ENDS}))) FROM operations"""
        [(first, last)] = self.history.sql(query)
        return None if first is None else (first, last)

    def counted(self, from_ns: int, step_ns: int, slice_ns: int) -> Counted:
        """Every operation, counted by columns of `step_ns` and by slices of `slice_ns`, all from `from_ns` on."""
        kinds = ", ".join(f"count(*) FILTER (kind = '{kind}')" for kind in ("ok", "open", "fail", "unknown"))
        query = f"""{_TOLD}
          SELECT 'cell', kind, ((began - $start) // $step)::INT, {_ROW}, [count(*)], NULL, NULL
            FROM kinds GROUP BY ALL
          UNION ALL
          SELECT 'slice', '', ((began - $start) // $slice)::INT, 0, [{kinds}], median(ms), max(ms)
            FROM kinds GROUP BY ALL
          UNION ALL
          SELECT 'rate', '', ((began - $start) // $fine)::INT, 0, [{kinds}], NULL, NULL FROM kinds GROUP BY ALL
          UNION ALL
          SELECT 'flow', '', ((t - $start) // $step)::INT, 0, [sum(d)::BIGINT], NULL, NULL FROM (
            SELECT answered AS t, 1 AS d FROM told WHERE outcome = 'ok' AND polled
            UNION ALL
            SELECT greatest(ended, answered), -1 FROM told WHERE outcome = 'ok' AND polled AND ended IS NOT NULL
          ) GROUP BY ALL
          UNION ALL
          SELECT 'again', '', ((t_ns - $start) // $step)::INT, 0, [count(*)], NULL, NULL FROM sightings
            WHERE step = 'repeat' OR (attempt > 1 AND step IN ('delivered', 'effect')) GROUP BY ALL
          ORDER BY 1, 2, 3, 4"""
        for name, value in (
            ("start", from_ns),
            ("step", step_ns),
            ("slice", slice_ns),
            ("fine", max(1, slice_ns // 4)),
        ):
            query = query.replace(f"${name}", f"{value:d}")
        found = Counted([], [], [], [], [])
        for part, kind, x, y, n, median, most in self.history.sql(
            query, *map(list, (self.read, self.traced, self.polled))
        ):
            if part == "cell":
                found.cells.append(Cell(kind, x, y, n[0]))
            elif part in ("slice", "rate"):
                (found.slices if part == "slice" else found.rate).append(Slice(x, n[0], n[1], n[2], n[3], median, most))
            else:
                (found.flow if part == "flow" else found.again).append((x, n[0]))
        return found
