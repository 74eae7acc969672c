"""Turns rows into columns at the end of a scenario: Parquet files that any tool can read, a fifth of the size.

Everything is written beside the rows and synced; then `columnar.json` appears, in one rename, and the rows go. Killed
at any moment, the folder is readable in one form or the other, and compacting again finishes the work.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import whole
from harness.errors import HistoryError
from harness.history._columnar import LINES, SUMMARY, connect
from harness.history._rowform import RowForm
from harness.history.reader import History
from harness.history.rows import VERSION

if TYPE_CHECKING:
    import duckdb

    from harness.history._columns import Chunk

_ROW_FILES = ("ops-*.rows", "ops-*.strings", "sights-*.rows", "sights-*.strings", "lines-*.jsonl")


def compact(folder: Path) -> None:
    """Compacts the history in `folder`. Where it is columnar already, it only clears up.

    Raises HistoryError where it cannot be read or is still being written; then nothing was changed.
    """
    history = History.open(folder)
    if isinstance(history.form, RowForm):
        if writing := history.form.held():
            raise HistoryError(
                f"still being written: {', '.join(writing)}", where=str(folder), fix="close its recorders first"
            )
        whole.write_text(folder / SUMMARY, _dumped(_write(folder, history.form, history)), synced=True)
    for pattern in _ROW_FILES:
        for path in folder.glob(pattern):
            path.unlink()
    whole.sync_folder(folder)


def _write(folder: Path, form: RowForm, history: History) -> dict[str, Any]:
    from harness.history._columns import operation_chunks, sighting_chunks

    for table in ("operations", "sightings"):
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(folder / table)  # what an interrupted attempt left
        (folder / table).mkdir()
    connection = connect()
    operations = {
        _parquet(connection, folder / "operations" / f"{file.header.writer:05}-{part.first:010}.parquet", part)
        for file in form.ops_files()
        for part in operation_chunks(form, file)
    }
    sightings = [
        (_parquet(connection, folder / "sightings" / f"{part.first:010}.parquet", part), part.count)
        for part in sighting_chunks(form)
    ]
    _write_lines(folder, form.lines())
    for table in ("operations", "sightings"):
        whole.sync_folder(folder / table)
    whole.sync_folder(folder)
    return {
        "version": VERSION,
        "nonce": history.nonce,
        "writers": {str(writer): count for writer, count in form.counts().items()},
        "workloads": history.workloads(),
        "operations": sorted(operations),
        "sightings": [name for name, _ in sightings],
        "sightings_count": sum(count for _, count in sightings),
        "incomplete": form.incomplete(),
    }


def _parquet(connection: duckdb.DuckDBPyConnection, path: Path, part: Chunk) -> str:
    connection.register("chunk", part.arrays)
    target = str(path).replace("'", "''")
    connection.execute(f"COPY ({part.select}) TO '{target}' (FORMAT parquet, PARQUET_VERSION v2, COMPRESSION snappy)")
    connection.unregister("chunk")
    _sync(path)
    return path.name


def _write_lines(folder: Path, lines: Iterable[dict[str, Any]]) -> None:
    path = folder / LINES
    with path.open("w", encoding="ascii") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    _sync(path)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _dumped(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=1) + "\n"
