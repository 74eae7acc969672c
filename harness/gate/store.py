"""What each run came to, in one SQLite file, so that it outlives the runs: reports/trend.sqlite.

Nothing in it is of its own: it is made from verdict.json, and can be made anew from the runs that are still there.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from harness.errors import HarnessError, UsageError
from harness.gate import runs
from harness.gate._seen import once, seen
from harness.history.shown import on_lines
from harness.report.shape import Run
from harness.report.text import plain
from harness.verdict import Verdict

FILE = "trend.sqlite"
VERSION = 1
"""Of the tables, in the file's user_version."""
APPLICATION = 0x6E617473
"""In the file's application_id: "nats"."""
_WAIT_S = 30
_TABLES = """
create table runs (run text primary key, started text not null, system text not null, runtime text not null,
    exit integer not null, digest text not null) strict;
create table findings (run text not null references runs on delete cascade, scenario text not null,
    clause text not null, verdict text not null, bound real, measured real, unit text not null) strict;
create index findings_of on findings (run);
"""


class StoreError(HarnessError):
    """The file cannot be used: damaged, or of another version. The message says how to go on."""


@dataclass(frozen=True, slots=True)
class Row:
    """One finding of one run."""

    run: str
    system: str
    runtime: str
    scenario: str
    clause: str
    verdict: str
    bound: float | None
    measured: float | None
    unit: str


def rows(reports: Path, last: int, system: str | None = None) -> list[Row]:
    """The findings of the last runs of each system and runtime, the oldest run first. Raises StoreError."""
    query = """
        with chosen as (select *, row_number() over (partition by system, runtime order by started desc, run desc) as n
            from runs where ? is null or system = ?)
        select run, system, runtime, scenario, clause, verdict, bound, measured, unit
        from chosen join findings using (run) where n <= ? order by started, run, findings.rowid
    """
    with _opened(reports / FILE) as file:
        found = [Row(*row) for row in file.execute(query, (system, system, last))]
    if not {row.verdict for row in found} <= set(Verdict):
        raise StoreError("is damaged: it holds a verdict that is none", where=str(reports / FILE), fix=_AGAIN)
    return found


def update(reports: Path, only: Path | None = None) -> list[str]:
    """Takes in each judged run under reports/, or `only` that one, that is new or was judged again.

    Returns the runs that could not be read, each with the reason. Raises StoreError.
    """
    every = (path.parent for path in reports.glob("*/verdict.json") if not path.parent.is_symlink())
    folders = sorted(every) if only is None else [only]
    unread: list[str] = []
    with _opened(reports / FILE) as file:
        known = dict(file.execute("select run, digest from runs"))
        for folder in folders:
            try:
                digest = hashlib.sha256((folder / "verdict.json").read_bytes()).hexdigest()
                if known.get(_kept(folder.name)) != digest:
                    _write(file, folder.name, runs.read(folder), digest)
            except (OSError, UsageError) as error:
                unread.append(f"{plain(folder.name)}: {on_lines(error)}")
    return unread


def rebuild(reports: Path) -> Path | None:
    """Sets the file aside and makes a new one from the runs under reports/; where the old one is now."""
    path = reports / FILE
    names = (path.with_name(f"{path.stem}-old-{number}{path.suffix}") for number in count(1))
    aside = next(name for name in names if not name.exists()) if path.exists() else None
    if aside is not None:
        path.replace(aside)
    for rest in ("-journal", "-wal", "-shm"):
        path.with_name(path.name + rest).unlink(missing_ok=True)
    update(reports)
    return aside


def _write(file: sqlite3.Connection, name: str, run: Run, digest: str) -> None:
    """Takes in a run; its names as they can be kept."""
    name = _kept(name)
    file.execute("delete from runs where run = ?", (name,))
    file.execute(
        "insert into runs values (?, ?, ?, ?, ?, ?)",
        (name, *map(_kept, (run["started"], run["system"], run["runtime"])), run["exit"], digest),
    )
    file.executemany("insert into findings values (?, ?, ?, ?, ?, ?, ?)", _findings(name, run))


def _findings(name: str, run: Run) -> Iterator[Sequence[str | float | None]]:
    for key, ones in seen(once([run])).items():
        for one in ones:
            found = one.finding
            values = (None if value is None else float(value) for value in (found["bound"], found["measured"]))
            yield name, _kept(key.id), _kept(key.clause), found["verdict"], *values, _kept(found["unit"])


def _kept(text: str) -> str:
    """`text` with each lone surrogate, which no file can hold, as its escape."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """The file, made where it is not there; what is written is kept whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with closing(sqlite3.connect(path, timeout=_WAIT_S)) as file:
            file.execute("pragma foreign_keys = on")
            with file:
                file.execute("begin immediate")
                _prepare(file, path)
                yield file
    except sqlite3.OperationalError as error:
        raise StoreError(f"cannot be used: {error}", where=str(path), fix=_AGAIN) from error
    except sqlite3.DatabaseError as error:
        raise StoreError(f"is damaged: {error}", where=str(path), fix=_AGAIN) from error


_AGAIN = f"nats-harness trend --rebuild sets it aside and makes {FILE} anew from the runs that are still there"


def _prepare(file: sqlite3.Connection, path: Path) -> None:
    """Makes the tables of a new file. Raises StoreError where the file is of another version, or of somebody else."""
    version = file.execute("pragma user_version").fetchone()[0]
    application = file.execute("pragma application_id").fetchone()[0]
    if (version, application) == (VERSION, APPLICATION):
        return
    if file.execute("select count(*) from sqlite_schema").fetchone()[0]:
        age = "an older" if version < VERSION else "a newer"
        whose = f"{age} harness (version {version}" if application == APPLICATION else "something else (no version"
        raise StoreError(f"was written by {whose}, this one reads {VERSION})", where=str(path), fix=_AGAIN)
    for statement in _TABLES.split(";"):
        file.execute(statement)
    file.execute(f"pragma application_id = {APPLICATION}")
    file.execute(f"pragma user_version = {VERSION}")
