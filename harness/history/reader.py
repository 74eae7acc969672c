"""Reads a history: the same answers while it is being written, after SIGKILL, and from its columnar form years later.

Importing this costs nothing; numpy and duckdb are imported by the calls that need them (ranges, sql, and all that
reads the columnar form).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import HistoryError
from harness.history._columnar import SUMMARY, ColumnarForm, connect
from harness.history._rowform import RowForm
from harness.history.lines import DAMAGED, NEVER_NS, FaultSpan, fault_spans, gap_spans
from harness.history.recorder import META
from harness.history.rows import Operation, OpId, Outcome, Sighting, Step, marker

if TYPE_CHECKING:
    import duckdb
    import numpy as np

__all__ = ["NEVER_NS", "FaultSpan", "History", "OpId", "Operation", "Outcome", "Sighting", "Step"]
_KEPT = 200_000  # operations or sightings of a columnar history that are kept once they were read


class History:
    """What happened, in `folder`. Over rows each call looks anew, so that an open History follows a run."""

    def __init__(
        self, folder: Path, form: RowForm | ColumnarForm, meta: Mapping[str, Any], nonce: str, *, still: bool = True
    ) -> None:
        self.folder, self.meta, self.nonce = folder, meta, nonce
        self.form, self._still = form, still
        self._operations: list[Operation] | None = None
        self._sightings: dict[tuple[Step, ...], list[Sighting]] = {}
        self._loaded: duckdb.DuckDBPyConnection | None = None

    @classmethod
    def open(cls, folder: Path, *, still: bool = False) -> History:
        """Opens the history in a folder. `still`: nothing more is written, so that lines are read once and kept.

        Raises HistoryError where there is none, or one that cannot be trusted.
        """
        meta = _read_meta(folder)
        if (folder / SUMMARY).exists():
            columnar = ColumnarForm(folder)
            return cls(folder, columnar, meta, _one_nonce(folder, meta, {str(columnar.summary["nonce"])}))
        rows = RowForm(folder)
        files = (*rows.ops_files(), *rows.sights_files())
        if not files and not meta:
            raise HistoryError("there is no history", where=str(folder), fix="name a scenario's history/ folder")
        if len({(file.header.boot_id, file.header.time_namespace) for file in files}) > 1:
            raise HistoryError("its files are of different boots or time namespaces", where=str(folder), fix=DAMAGED)
        nonce = _one_nonce(folder, meta, {file.header.nonce for file in files})
        return cls(folder, rows, meta, nonce, still=still)

    @property
    def columnar(self) -> bool:
        """Whether it was compacted; then nothing of it changes any more."""
        return isinstance(self.form, ColumnarForm)

    def operations(self, workload: str | None = None) -> Iterator[Operation]:
        """The operations, of one workload or of all, by writer and n."""
        for operation in self._all_operations():
            if workload is None or operation.workload == workload:
                yield operation

    def sightings(self, *steps: Step) -> Iterator[Sighting]:
        """The sightings of these steps (none named: of all), by t_ns."""
        wanted = tuple(sorted(set(steps or Step)))
        if not isinstance(self.form, ColumnarForm) or self.form.summary["sightings_count"] > _KEPT:
            return self.form.sightings(wanted)
        if wanted not in self._sightings:
            self._sightings[wanted] = list(self.form.sightings(wanted))
        return iter(self._sightings[wanted])

    def lines(self, *kinds: str) -> list[dict[str, Any]]:
        """The lines of these kinds (none named: of all), by t_ns."""
        found = self._kept_lines if self._still else self.form.lines()
        return [line for line in found if not kinds or line["kind"] in kinds]

    def faults(self) -> list[FaultSpan]:
        """The faults, by id."""
        return fault_spans(self.lines("fault"))

    def gaps(self, source: str) -> list[tuple[int, int]]:
        """When a source was not being read, as (from_ns, to_ns); NEVER_NS if it never was again."""
        return gap_spans(self.lines("gap"), source)

    def troubles(self) -> list[dict[str, Any]]:
        """The lines of kind trouble, and one "history incomplete" for each writer that died or met a full disk."""
        own = [
            {"kind": "trouble", "t_ns": 0, "name": "history incomplete", "detail": detail}
            for detail in self.form.incomplete()
        ]
        return own + self.lines("trouble")

    def count(self, workload: str | None = None, outcome: Outcome | None = None) -> int:
        """How many operations were begun; of one workload, of one outcome."""
        if workload is None and outcome is None:
            return sum(self.form.counts().values())
        return sum(outcome is None or operation.outcome is outcome for operation in self.operations(workload))

    def writers(self) -> dict[int, int]:
        """How many operations each writer began: the set O, since n is dense."""
        return self.form.counts()

    def ranges(self, rows: int = 1_000_000) -> Iterator[Mapping[str, np.ndarray[Any, np.dtype[Any]]]]:
        """The operations as columns, by writer and ranges of n, up to `rows` at a time.

        writer, n, intended_ns, start_ns, end_ns (0: none), seq, status, size, workload (index into `workloads()`),
        outcome (rows.CODE_OF_OUTCOME), duplicate: arrays of one length.
        """
        from harness.history._ranges import ranges

        return ranges(self.form, self.workloads(), rows)

    def workloads(self) -> list[str]:
        """The names of the workloads that operations were begun for, sorted."""
        if isinstance(self.form, ColumnarForm):
            return list(self.form.summary["workloads"])
        form = self.form
        return sorted({name for file in form.ops_files() for name in form.texts(file.path).tables["workload"][1:]})

    def sql(self, query: str, *args: object) -> list[tuple[Any, ...]]:
        """Asks DuckDB; the tables are `operations` and `sightings`, `?` stands for an argument."""
        if isinstance(self.form, ColumnarForm):
            return list(self.form.rows(query, *args))
        return self._tables(self.form).execute(query, args).fetchall()

    def columns(self, query: str, *args: object) -> dict[str, np.ndarray[Any, np.dtype[Any]]]:
        """The same, the answer's columns as arrays (masked where one has a NULL)."""
        if isinstance(self.form, ColumnarForm):
            return self.form.columns(query, *args)
        return self._tables(self.form).execute(query, args).fetchnumpy()

    def t_of_wall(self, wall_ns: int) -> int:
        """The t_ns of somebody else's wall time, by the anchor taken at the start."""
        return wall_ns - self._wall_minus_mono_ns

    def wall_of_t(self, t_ns: int) -> int:
        """The wall time of a t_ns, nanoseconds since the epoch."""
        return t_ns + self._wall_minus_mono_ns

    def marker(self, op: OpId) -> str:
        """An operation's id as text, as it travelled: "7f3a9k2m-0-118"."""
        return marker(self.nonce, op)

    @cached_property
    def _wall_minus_mono_ns(self) -> int:
        told = self.meta.get("wall_minus_mono_ns")
        if told is not None:
            return int(told)
        for line in self.lines("anchor"):
            return int(line["wall_ns"]) - int(line["t_ns"])
        raise HistoryError("has no anchor, so that wall times cannot be placed", where=str(self.folder), fix=DAMAGED)

    @cached_property
    def _kept_lines(self) -> list[dict[str, Any]]:
        return self.form.lines()

    def _tables(self, form: RowForm) -> duckdb.DuckDBPyConnection:
        """A database with the tables of rows, which is kept where nothing more is written."""
        from harness.history._ranges import load_tables

        if self._loaded is None or not self._still:
            self._loaded = connect()
            load_tables(self._loaded, form)
        return self._loaded

    def _all_operations(self) -> Iterator[Operation]:
        if not self._still or self.count() > _KEPT:
            return self.form.operations()
        if self._operations is None:
            self._operations = list(self.form.operations())
        return iter(self._operations)


def _read_meta(folder: Path) -> Mapping[str, Any]:
    path = folder / META
    try:
        meta = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise HistoryError(f"is no JSON: {error}", where=str(path), fix=DAMAGED) from error
    if not isinstance(meta, dict):
        raise HistoryError("is no JSON object", where=str(path), fix=DAMAGED)
    return _Meta(path, meta)


class _Meta(dict[str, Any]):
    """A history's meta.json, which says so where it lacks what is asked for."""

    def __init__(self, path: Path, told: Mapping[str, Any]) -> None:
        super().__init__(told)
        self._path = path

    def __missing__(self, key: str) -> Any:
        fix = "judge it with the version of nats-harness that wrote it"
        raise HistoryError(f"does not say `{key}`", where=str(self._path), fix=fix)


def _one_nonce(folder: Path, meta: Mapping[str, Any], found: set[str]) -> str:
    nonces = found | ({str(meta["nonce"])} if "nonce" in meta else set())
    if len(nonces) > 1:
        raise HistoryError(f"holds more than one run: {', '.join(sorted(nonces))}", where=str(folder), fix=DAMAGED)
    return next(iter(nonces), "")
