"""The stories of lost or doubled operations, step by step, with what the services printed meanwhile."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from harness.errors import HarnessError
from harness.history.reader import NEVER_NS, History
from harness.history.rows import OpId, Step
from harness.report.shape import Scenario
from harness.report.text import moment, plain

NS = 1_000_000_000
BEFORE, AFTER = 5, 10
"""Lines that services printed before an operation was offered and from then on, as far as they are told."""
AROUND_S = 5.0
"""Seconds before an operation was offered, and after, in which lines are looked for."""
LINE = 240
_THESE = "(SELECT unnest(?::BIGINT[]), unnest(?::BIGINT[]))"
_SOURCES = {"published": "taps", "effect": "effects", "result": "poll"}
"""What sees a step."""
_OP = re.compile(r"[a-z0-9]{8}-(\d{1,10})-(\d{1,10})", re.ASCII)


class Told(NamedTuple):
    """One step: `how` is seen, missing (an observer watched and saw none) or unseen (no observer could see it)."""

    step: str
    how: str
    says: str


class Printed(NamedTuple):
    """One line of a service: `within` the operation's time, or before it."""

    at: str
    node: str
    text: str
    within: bool


@dataclass(frozen=True, slots=True)
class Story:
    """What became of an operation, and what was printed around it."""

    steps: Sequence[Told]
    printed: Sequence[Printed]


def read(history: History, scenario: Scenario) -> dict[str, Story]:
    """The stories of the operations that the scenario's findings tell of; none where the history cannot be read."""
    wanted = list(dict.fromkeys(story["op"] for one in scenario["findings"] for story in one["stories"]))
    if not wanted:
        return {}
    import duckdb

    try:
        return of(history, wanted)
    except (HarnessError, OSError, KeyError, TypeError, ValueError, AttributeError, duckdb.Error):
        return {}


def of(history: History, wanted: Sequence[str]) -> dict[str, Story]:
    """The stories of these operations, which are named as they travelled. Raises HistoryError."""
    ids = {op: OpId(int(found[1]), int(found[2])) for op in wanted if (found := _OP.fullmatch(op))}
    watch = _Watch(history, list(ids.values()))
    return {op: watch.story(id_) for op, id_ in ids.items()}


class _Watch:
    """What could be seen in a scenario at all, and what was seen of some operations."""

    def __init__(self, history: History, ids: Sequence[OpId]) -> None:
        self.meta = history.meta
        self.lines = history.lines("output")
        started = [line["t_ns"] for line in history.lines("load") if line["event"] == "started"]
        self.start_ns = started[0] if started else int(history.meta["began_ns"])
        self.ever = {step for (step,) in history.sql("SELECT DISTINCT step FROM sightings")}
        self.gaps = {source: history.gaps(source) for source in _SOURCES.values()}
        writers, ns = [op.writer for op in ids], [op.n for op in ids]
        offered = history.sql(
            f"""SELECT writer, n, workload, start_ns, nullif(end_ns, 0), outcome, ref, error FROM operations
              WHERE (writer, n) IN {_THESE}""",
            writers, ns,
        )  # fmt: skip
        self.offered = {OpId(writer, n): row for writer, n, *row in offered}
        self.seen = history.sql(
            f"""SELECT writer, n, ref, step, t_ns, source, "by", attempt, proved FROM sightings
              WHERE (writer, n) IN {_THESE} OR (writer IS NULL AND ref IN (SELECT unnest(?::VARCHAR[])))
              ORDER BY t_ns""",
            writers, ns, [ref for *_, ref, _ in self.offered.values() if ref is not None],
        )  # fmt: skip

    def story(self, op: OpId) -> Story:
        workload, start_ns, end_ns, outcome, ref, error = self.offered.get(op, ("", None, None, "", None, ""))
        seen = [
            row
            for writer, n, named, *row in self.seen
            if (writer, n) == op or (writer is None and ref is not None and named == ref)
        ]
        steps = [*self._asked(start_ns, end_ns, outcome, ref, error), *self._seen(workload, seen, start_ns)]
        return Story(steps, list(self._printed(start_ns)) if start_ns is not None else [])

    def _at(self, t_ns: int) -> str:
        return moment((t_ns - self.start_ns) / NS)

    def _asked(self, start: int | None, end: int | None, outcome: str, ref: str | None, error: str) -> Iterator[Told]:
        if start is None:
            yield Told("offered", "missing", "never by us")
            return
        yield Told("offered", "seen", self._at(start))
        why = f": {plain(error, longest=200)}" if error else ""
        took = "" if end is None else f" after {(end - start) / 1e6:.1f} ms"
        named = f", as {plain(ref, longest=80)}" if ref else ""
        words = {"ok": f"yes{took}{named}", "fail": f"refused{took}{why}"}
        how = "seen" if outcome == "ok" else "missing"
        yield Told("accepted", how, words.get(outcome, f"not known: no clear answer came{took}{why}"))

    def _seen(self, workload: str, seen: Sequence[Sequence[Any]], start: int | None) -> Iterator[Told]:
        told: Mapping[str, Any] = self.meta["workloads"].get(workload, {})
        by_step: dict[str, list[Sequence[Any]]] = {}
        for row in seen:
            by_step.setdefault(row[0], []).append(row)
        watched = {
            "published": "published" in self.ever or bool(told.get("arrives")),
            "delivered": "delivered" in self.ever,
            "effect": bool(told.get("effects")) or "effect" in self.ever,
            "result": bool(told.get("polled")) or "result" in self.ever,
        }
        for step, could in watched.items():
            if rows := by_step.get(step):
                yield Told(step, "seen", "; ".join(self._sighting(row) for row in rows[:5]) + _more(len(rows) - 5))
            elif not could:
                yield Told(step, "unseen", "nothing in this run could see it")
            elif gap := self._gap(step, start):
                yield Told(step, "unseen", f"not seen, and {gap}")
            else:
                yield Told(step, "missing", "never seen, though it was watched for")
        for other in (Step.REPEAT, Step.FAILURE, Step.DEAD_LETTER, Step.PENDING, Step.GONE):
            if rows := by_step.get(str(other)):
                last = f"{self._sighting(rows[-1])}{', the last of ' + str(len(rows)) if len(rows) > 1 else ''}"
                yield Told(str(other).replace("_", " "), "seen", last)

    def _sighting(self, row: Sequence[Any]) -> str:
        step, t_ns, source, by, attempt, proved = row
        who = f" by {plain(by, longest=80)}" if by else ""
        again = f", attempt {attempt}" if attempt and attempt > 1 else ""
        doubted = ", not proved" if step == "result" and not proved else ""
        return f"{self._at(t_ns)}{who}{again}{doubted} (seen by {plain(source, longest=80)})"

    def _gap(self, step: str, start: int | None) -> str:
        """Whether what sees this step could not read at some time after the operation was offered."""
        source = _SOURCES.get(step, "")
        for began, ended in self.gaps.get(source, ()):
            if start is None or ended > start:
                until = "to the end" if ended == NEVER_NS else f"to {self._at(ended)}"
                return f"{source} could not read from {self._at(began)} {until}"
        return ""

    def _printed(self, start: int) -> Iterator[Printed]:
        near = [line for line in self.lines if abs(line["t_ns"] - start) <= AROUND_S * NS]
        before = [line for line in near if line["t_ns"] < start][-BEFORE:]
        after = [line for line in near if line["t_ns"] >= start][:AFTER]
        for line in (*before, *after):
            text = plain(str(line["text"]), longest=LINE)
            yield Printed(self._at(line["t_ns"]), plain(str(line["node"])), text, line["t_ns"] >= start)


def _more(n: int) -> str:
    return f"; and {n:,} more" if n > 0 else ""
