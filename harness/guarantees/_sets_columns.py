"""The sets of millions of operations, out of a columnar history: numpy by ranges of counters, DuckDB as the decoder.

An operation is two bytes: its outcome with what settled it, and how often it was done. Each file of a million rows is
decoded once for each question, while the one before is worked on; only files that hold a suspect are looked at again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from harness.guarantees._ids import EFFECT, FAILURE, PROVED, SAYS_SQL, WHO_SQL, Ids, resolved
from harness.guarantees._sets import Named, Rules, Sets
from harness.guarantees._swaps import find_swaps
from harness.history._columnar import ColumnarForm, pieces
from harness.history._columns import Array
from harness.history.reader import History
from harness.history.rows import CODE_OF_OUTCOME, NO_WRITER, OpId, Outcome

_OK, _FAIL = CODE_OF_OUTCOME[Outcome.OK], CODE_OF_OUTCOME[Outcome.FAIL]
_OUTCOME, _RESULT, _FAILED = 3, 4, 8  # the bits of an operation's first byte
_FEW = 2_000  # suspects of a file, up to which they are asked for one by one
_SUSPECTS = 4_000_000  # that are held at once
_HASHES = 32_000_000  # of refs, likewise

_OUTCOME_SQL = f"(CASE outcome WHEN 'ok' THEN {_OK} WHEN 'fail' THEN {_FAIL} ELSE 1 END)::UTINYINT AS outcome"


def columnar_sets(history: History, rules: Rules) -> Sets:
    """The sets; the history must be columnar."""
    form = history.form
    assert isinstance(form, ColumnarForm)
    return _Judge(form, rules).sets()


class _Tally:
    """A growing set of operations, whose ids come in ascending order."""

    def __init__(self, ids: Ids, named: int) -> None:
        self._ids, self._named = ids, named
        self._count = 0
        self._first: list[OpId] = []

    def add(self, indices: Array) -> None:
        self._count += len(indices)
        self._first += self._ids.named(indices[: self._named - len(self._first)])

    def result(self) -> Named:
        return Named(self._count, tuple(self._first))


class _Judge:
    """Goes through the files, once for each question."""

    def __init__(self, form: ColumnarForm, rules: Rules) -> None:
        self._form, self._rules = form, rules
        self._ids = Ids(form.counts())
        self._state = np.zeros(self._ids.total, np.uint8)
        self._done: Array = np.zeros(self._ids.total, np.uint8)
        self._effects = self._phantoms = self._unknown_refs = 0
        self._phantom_ops: set[OpId] = set()
        self._spans: list[tuple[Path, int, int]] = []  # a file's operations: index of the first, and how many
        workloads: Sequence[str] = form.summary["workloads"]
        self._workloads = workloads
        self._polled = np.array([name in rules.polled for name in workloads], np.bool_)
        self._read = np.array([name in rules.read for name in workloads], np.bool_)
        ends = [rules.read.get(name) for name in workloads]
        self._read_end = np.array([-1 if end is None else end for end in ends], np.int64)
        self._counted = np.array([rules.effects_of is None or name in rules.effects_of for name in workloads], np.bool_)
        tallies = [_Tally(self._ids, rules.named) for _ in range(5)]
        self._lost, self._undetermined, self._duplicates, self._missing, self._refused_yet_done = tallies

    def sets(self) -> Sets:
        self._outcomes()
        source = resolved(self._form)
        self._sightings(source)
        if int(self._done.sum(dtype=np.int64)) != self._effects:  # somewhere a byte was counted round
            self._done = np.zeros(self._ids.total, np.uint32)
            self._effects = self._phantoms = self._unknown_refs = 0
            self._sightings(source)
        self._suspects(source)
        owed, traced, in_window = self._accepted()
        out_of_order, swaps = find_swaps(self._form, self._rules.named)
        outcome = self._state & _OUTCOME
        return Sets(
            offered=self._ids.total,
            accepted=int(np.count_nonzero(outcome == _OK)),
            refused=int(np.count_nonzero(outcome == _FAIL)),
            owed=owed,
            traced=traced,
            in_window=in_window,
            effects=self._effects,
            lost=self._lost.result(),
            undetermined=self._undetermined.result(),
            duplicates=self._duplicates.result(),
            missing=self._missing.result(),
            refused_yet_done=self._refused_yet_done.result(),
            phantoms=self._phantoms,
            phantom_ops=Named(len(self._phantom_ops), tuple(sorted(self._phantom_ops)[: self._rules.named])),
            unknown_refs=self._unknown_refs,
            refs_twice=self._refs_twice(),
            out_of_order=out_of_order,
            swaps=swaps,
        )

    def _outcomes(self) -> None:
        at = 0
        for file, columns in self._form.each(f"SELECT {_OUTCOME_SQL} FROM $", self._form.operations_files):
            outcome = columns["outcome"]
            self._state[at : at + len(outcome)] = outcome
            self._spans.append((file, at, len(outcome)))
            at += len(outcome)

    def _sightings(self, source: str | None) -> None:
        query = f"SELECT {WHO_SQL}, {SAYS_SQL} FROM {source or '$'}"
        one = self._done.dtype.type(1)  # of another type, adding it is forty times slower
        for file, columns in self._form.each(query, self._form.sightings_files):
            strange = False
            for piece in pieces(len(columns["n"])):
                indices, offered = self._ids.indices(columns["writer"][piece], columns["n"][piece])
                says = columns["says"][piece]
                if offered is not None:
                    strange = True
                    indices, says = indices[offered], says[offered]
                effects = indices[says == EFFECT]
                self._effects += len(effects)
                np.add.at(self._done, effects, one)
                for said, bit in ((PROVED, _RESULT), (FAILURE, _FAILED)):
                    self._state[indices[says == said]] |= bit
            if strange:
                self._strange(file, source)

    def _strange(self, file: Path, source: str | None) -> None:
        query = f"SELECT {WHO_SQL}, ref IS NOT NULL AS named FROM {source or '$'}"
        for _, columns in self._form.each(query, [file]):
            writer, n = columns["writer"], columns["n"]
            _, offered = self._ids.indices(writer, n)
            strange = ~offered if offered is not None else np.zeros(0, np.intp)
            marked = writer != NO_WRITER
            self._phantoms += int(np.count_nonzero(strange))
            self._unknown_refs += int(np.count_nonzero(strange & ~marked & columns["named"]))
            pairs = zip(writer[strange & marked].tolist(), n[strange & marked].tolist(), strict=True)
            self._phantom_ops.update(OpId(*pair) for pair in pairs)

    def _suspects(self, source: str | None) -> None:
        """Finds the operations that are open, or were done too often or too seldom, and decides about them."""
        rules, held, size = self._rules, list[tuple[Array, ...]](), 0
        polled, read, effects = bool(self._polled.any()), bool(self._read.any()), bool(self._counted.any())
        for file, at, count in self._spans:
            state, done = self._state[at : at + count], self._done[at : at + count]
            accepted = state & _OUTCOME == _OK
            suspect = (state & _OUTCOME == _FAIL) & (done > 0)
            if polled or read:
                open_ = accepted & (state < _RESULT)
                suspect |= open_ if polled else open_ & (done == 0)
            if effects:
                suspect |= accepted & (state < _FAILED) & (done < rules.least)
            if effects and rules.most is not None:
                suspect |= done > rules.most
            places = np.flatnonzero(suspect)
            if len(places):
                held.append((at + places, *self._more(file, places, self._ids.places(at + places)[1])))
                size += len(places)
            if size > _SUSPECTS:
                self._decide(held, source)
                held, size = [], 0
        if held:
            self._decide(held, source)

    def _more(self, file: Path, places: Array, n: Array) -> tuple[Array, Array]:
        """When some of a file's operations ended (0: never), and their workloads."""
        query = (
            "SELECT coalesce(end_ns, 0) AS end_ns,"
            " (list_position(?::VARCHAR[], workload) - 1)::UTINYINT AS workload FROM $"
        )
        if len(places) > _FEW:
            ((_, columns),) = self._form.each(query, [file], list(self._workloads))
            return columns["end_ns"][places], columns["workload"][places]
        query += " WHERE n IN (SELECT unnest(?::UINTEGER[])) ORDER BY n"
        ((_, columns),) = self._form.each(query, [file], list(self._workloads), n.tolist())
        return columns["end_ns"], columns["workload"]

    def _decide(self, suspects: list[tuple[Array, ...]], source: str | None) -> None:
        indices, end_ns, workload = map(np.concatenate, zip(*suspects, strict=True))
        rules, state, done = self._rules, self._state[indices], self._done[indices]
        accepted, failed = state & _OUTCOME == _OK, state >= _FAILED
        polled, read, counted = self._polled[workload], self._read[workload], self._counted[workload]
        settled = (state >= _RESULT) | (read & (done > 0))
        open_ = accepted & ~settled
        asked_ns = np.where(polled, -1, self._read_end[workload])
        waiting = np.flatnonzero(open_ & polled)
        if len(waiting):
            asked_ns[waiting] = self._answered(indices[waiting], source)
        due = (asked_ns >= 0) & (asked_ns >= np.maximum(end_ns, rules.healed_ns) + rules.settles_ns)
        judged = open_ & (polled | read)
        self._lost.add(indices[judged & due])
        self._undetermined.add(indices[judged & ~due])
        self._missing.add(indices[accepted & counted & ~failed & (done < rules.least) & (settled | due)])
        if rules.most is not None:
            self._duplicates.add(indices[counted & (done > rules.most)])
        self._refused_yet_done.add(indices[(state & _OUTCOME == _FAIL) & (done > 0)])

    def _answered(self, waiting: Array, source: str | None) -> Array:
        """When each of these operations' polls was last answered pending or gone; -1: never."""
        last = np.full(len(waiting), -1, np.int64)
        query = f"SELECT {WHO_SQL}, t_ns FROM {source or '$'} WHERE step IN ('pending', 'gone')"
        for _, columns in self._form.each(query, self._form.sightings_files):
            indices, offered = self._ids.indices(columns["writer"], columns["n"])
            at = np.searchsorted(waiting, indices)
            at[at == len(waiting)] = 0
            wanted = waiting[at] == indices
            if offered is not None:
                wanted &= offered
            np.maximum.at(last, at[wanted], columns["t_ns"][wanted])
        return last

    def _accepted(self) -> tuple[int, int, int]:
        """Of the accepted operations: whose effects are judged, who can be lost, and who counts for the window."""
        from_ns, to_ns = self._rules.window or (1, 0)
        query = (
            "SELECT workload, count(*), count(*) FILTER (start_ns <= ? AND coalesce(end_ns >= ?, true)) FROM operations"
            " WHERE outcome = 'ok' GROUP BY workload"
        )
        found = list(self._form.rows(query, to_ns, from_ns))
        counted = dict(zip(self._workloads, self._counted, strict=True))
        traced = [one for one in found if one[0] in self._rules.polled or one[0] in self._rules.read]
        owed = sum(count for name, count, _ in found if counted[name])
        return owed, sum(one[1] for one in traced), sum(one[2] for one in traced) if self._rules.window else 0

    def _refs_twice(self) -> tuple[str, ...]:
        """Refs of two operations: of equal hashes first, since most histories have none."""
        refs = self._one("SELECT count(ref) FROM operations")
        parts = -(-refs // _HASHES)
        suspects: list[int] = []
        for part in range(parts):
            hashes: list[Array] = []
            query = f"SELECT hash(ref) AS hash FROM $ WHERE ref IS NOT NULL AND hash(ref) % {parts} = {part}"
            for _, columns in self._form.each(query, self._form.operations_files):
                hashes.append(columns["hash"])
            all_ = np.sort(np.concatenate(hashes))
            suspects += all_[1:][all_[1:] == all_[:-1]].tolist()
        if not suspects:
            return ()
        query = (
            "SELECT ref FROM operations WHERE hash(ref) IN (SELECT unnest(?::UBIGINT[])) GROUP BY ref"
            " HAVING count(*) > 1 ORDER BY ref LIMIT ?"
        )
        return tuple(ref for (ref,) in self._form.rows(query, suspects, self._rules.named))

    def _one(self, query: str, *args: object) -> int:
        ((value,),) = self._form.rows(query, *args)
        return int(value)
