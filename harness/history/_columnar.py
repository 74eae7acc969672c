"""Reads a history in its columnar form: Parquet files of about a million rows, in order, and `columnar.json`.

`columnar.json` is written last: where it stands, everything that it names is whole.
"""

from __future__ import annotations

import json
import weakref
from collections import deque
from collections.abc import Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache, cached_property
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import HistoryError
from harness.history import rows
from harness.history.lines import DAMAGED, parse_lines
from harness.history.rows import Operation, OpId, Outcome, Sighting, Step

if TYPE_CHECKING:
    import duckdb
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

SUMMARY = "columnar.json"
LINES = "lines.jsonl"
_FETCHED = 10_000
_PIECE = 131_072
_OUTCOMES = {str(outcome): outcome for outcome in Outcome}
_STEPS = {str(step): step for step in Step}
_NUMBERS = count()


class ColumnarForm:
    """The Parquet files of a folder; nothing of them changes any more."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._schema = folder, f"history_{next(_NUMBERS)}"
        where = str(folder / SUMMARY)
        try:
            self.summary: dict[str, Any] = json.loads((folder / SUMMARY).read_bytes())
            version = self.summary["version"]
        except (ValueError, KeyError, TypeError) as error:
            raise HistoryError("is no summary of a history", where=where, fix=DAMAGED) from error
        if version != rows.VERSION:
            raise HistoryError(
                f"was written in format {version}, this reads {rows.VERSION}",
                where=where,
                fix="judge it with the version of nats-harness that wrote it",
            )
        self.operations_files = self._files("operations")
        self.sightings_files = self._files("sightings")

    def _files(self, table: str) -> list[Path]:
        files = [self.folder / table / name for name in self.summary[table]]
        for path in files:
            if not path.is_file():
                raise HistoryError("is missing", where=str(path), fix=DAMAGED)
        return files

    @cached_property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """A schema of our own, with both tables as views, in the one database of this process."""
        connection = database().cursor()
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {self._schema}")
        weakref.finalize(self, _drop, connection.cursor(), self._schema).atexit = False
        connection.execute(f"USE {self._schema}")
        for table, files in (("operations", self.operations_files), ("sightings", self.sightings_files)):
            connection.execute(f"CREATE VIEW {table} AS {select_files(table, files)}")
        return connection

    def operations(self) -> Iterator[Operation]:
        """All, by writer and n."""
        columns = "workload, intended_ns, start_ns, end_ns, outcome, ref, seq, status, error, duplicate, size"
        for file in self.operations_files:
            for row in self.rows(f"SELECT writer, n, {columns} FROM read_parquet(?)", str(file)):
                writer, n, workload, intended, start, end, outcome, *rest = row
                yield Operation(OpId(writer, n), workload, intended, start, end, _OUTCOMES[outcome], *rest)

    def sightings(self, steps: Collection[Step]) -> Iterator[Sighting]:
        """Those of some steps, by t_ns."""
        columns = 't_ns, source, writer, n, ref, seq, attempt, "by", proved, step'
        wanted = ", ".join(f"'{step}'" for step in sorted(steps))
        for file in self.sightings_files:
            for row in self.rows(f"SELECT {columns} FROM read_parquet(?) WHERE step IN ({wanted})", str(file)):
                t_ns, source, writer, n, ref, seq, attempt, by, proved, step = row
                op = None if writer is None else OpId(writer, n)
                yield Sighting(t_ns, source, op, ref, seq, attempt, by, proved, _STEPS[step])

    def rows(self, query: str, *args: object) -> Iterator[tuple[Any, ...]]:
        """A query's rows, some thousands at a time, while others run beside it."""
        import duckdb

        try:
            cursor = self._cursor().execute(query, args)
            while block := cursor.fetchmany(_FETCHED):
                yield from block
        except (duckdb.IOException, duckdb.InvalidInputException) as error:
            raise HistoryError(f"cannot be read: {error}", where=str(self.folder), fix=DAMAGED) from error

    def columns(self, query: str, *args: object) -> dict[str, Array]:
        """A query's columns as arrays (masked where one has a NULL)."""
        import duckdb

        try:
            found: dict[str, Array] = self._cursor().execute(query, args).fetchnumpy()
        except (duckdb.IOException, duckdb.InvalidInputException) as error:
            raise HistoryError(f"cannot be read: {error}", where=str(self.folder), fix=DAMAGED) from error
        return found

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        cursor = self.connection.cursor()
        return cursor.execute(f"USE {self._schema}")

    def each(self, query: str, files: Collection[Path], *args: object) -> Iterator[tuple[Path, dict[str, Array]]]:
        """Asks each file, which stands as $ in the query: its columns as arrays (masked where one has a NULL).

        The next file is decoded while the one before is worked on.
        """
        import duckdb

        cursor = self._cursor()

        def asked(file: Path) -> dict[str, Array]:
            name = str(file).replace("'", "''")
            found: dict[str, Array] = cursor.execute(query.replace("$", f"read_parquet('{name}')"), args).fetchnumpy()
            return found

        try:
            with ThreadPoolExecutor(1) as decoder:
                ahead: deque[tuple[Path, Future[dict[str, Array]]]] = deque()
                for file in (*files, None):
                    if file is not None:
                        ahead.append((file, decoder.submit(asked, file)))
                    if len(ahead) > 1 or (ahead and file is None):
                        done, columns = ahead.popleft()
                        yield done, columns.result()
        except (duckdb.IOException, duckdb.InvalidInputException) as error:
            raise HistoryError(f"cannot be read: {error}", where=str(self.folder), fix=DAMAGED) from error

    def lines(self) -> list[dict[str, Any]]:
        """All lines, by t_ns."""
        path = self.folder / LINES
        return parse_lines(path.read_bytes(), str(path))

    def incomplete(self) -> list[str]:
        """Why something may be missing."""
        return list(self.summary["incomplete"])

    def counts(self) -> dict[int, int]:
        """How many operations each writer began."""
        return {int(writer): count for writer, count in self.summary["writers"].items()}


def pieces(count: int) -> Iterator[slice]:
    """Ranges of so few rows that what is computed from them stays in the processor's cache."""
    return (slice(first, first + _PIECE) for first in range(0, count, _PIECE))


@cache
def database() -> duckdb.DuckDBPyConnection:
    """The database of all histories that this process reads: making one costs more than to ask it of a small one."""
    return connect()


def _drop(connection: duckdb.DuckDBPyConnection, schema: str) -> None:
    connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")


def connect() -> duckdb.DuckDBPyConnection:
    """A database in memory that loads nothing from anywhere and draws no bar."""
    import duckdb

    return duckdb.connect(
        config={"autoinstall_known_extensions": False, "autoload_known_extensions": False, "threads": 2}
    )


def select_files(table: str, files: Collection[Path]) -> str:
    """SQL that reads the files of a table in order; of none: an empty table of its columns."""
    from harness.history._columns import OPERATIONS, SIGHTINGS

    if not files:
        columns = OPERATIONS if table == "operations" else SIGHTINGS
        return "SELECT " + ", ".join(f'NULL::{type_} AS "{name}"' for name, type_ in columns.items()) + " WHERE false"
    names = ", ".join("'" + str(file).replace("'", "''") + "'" for file in files)
    return f"SELECT * FROM read_parquet([{names}])"
