"""The operations as arrays by ranges of n, and both tables in a database, out of either form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from harness.history import rows
from harness.history._columnar import ColumnarForm
from harness.history._columns import OPERATIONS, SIGHTINGS, Array, Chunk, operation_chunks, sighting_chunks
from harness.history._rowform import RowForm, mapped, row_dtype
from harness.history.rows import CODE_OF_OUTCOME

if TYPE_CHECKING:
    import duckdb

_SAME = ("intended_ns", "start_ns", "end_ns", "seq", "status", "size", "outcome")


def ranges(form: RowForm | ColumnarForm, workloads: Sequence[str], size: int) -> Iterator[Mapping[str, Array]]:
    """What History.ranges says."""
    return _of_rows(form, workloads, size) if isinstance(form, RowForm) else _of_columns(form, workloads, size)


def _of_rows(form: RowForm, workloads: Sequence[str], size: int) -> Iterator[Mapping[str, Array]]:
    for file in form.ops_files():
        slots = mapped(file, row_dtype())
        names = form.texts(file.path).tables["workload"]
        code_of = np.array([workloads.index(name) if name else 0 for name in names], np.uint8)
        for first in range(0, file.count, size):
            part = np.array(slots[first : first + size])
            columns = {name: np.ascontiguousarray(part[name]) for name in _SAME}
            columns["writer"] = part["writer"]
            columns["n"] = np.arange(first, first + len(part), dtype=np.uint32)
            columns["workload"] = code_of[part["workload"]]
            columns["duplicate"] = (part["flags"] & rows.DUPLICATE) > 0
            yield columns


def _of_columns(form: ColumnarForm, workloads: Sequence[str], size: int) -> Iterator[Mapping[str, Array]]:
    outcomes = " ".join(f"WHEN '{outcome}' THEN {code}" for outcome, code in CODE_OF_OUTCOME.items())
    query = (
        "SELECT writer, n, intended_ns, start_ns, coalesce(end_ns, 0) AS end_ns, seq, status, size, duplicate,"
        f" (CASE outcome {outcomes} END)::UTINYINT AS outcome,"
        " (list_position(?::VARCHAR[], workload) - 1)::UTINYINT AS workload FROM $"
    )
    for _, columns in form.each(query, form.operations_files, list(workloads)):
        for first in range(0, len(columns["n"]), size):
            yield {name: array[first : first + size] for name, array in columns.items()}


def load_tables(connection: duckdb.DuckDBPyConnection, form: RowForm) -> None:
    """Makes the tables operations and sightings of rows."""
    for table, columns in (("operations", OPERATIONS), ("sightings", SIGHTINGS)):
        definitions = ", ".join(f'"{name}" {type_}' for name, type_ in columns.items())
        connection.execute(f"CREATE TABLE {table} ({definitions})")
    for file in form.ops_files():
        for part in operation_chunks(form, file):
            _insert(connection, "operations", part)
    for part in sighting_chunks(form):
        _insert(connection, "sightings", part)


def _insert(connection: duckdb.DuckDBPyConnection, table: str, part: Chunk) -> None:
    connection.register("chunk", part.arrays)
    connection.execute(f"INSERT INTO {table} {part.select}")
    connection.unregister("chunk")
