"""Events, and a record of every search that began."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

PAGE = 5000
MARKER_MOST = 200
"""Characters of a query that are kept with its execution: a marker stands at its beginning."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY, time TEXT NOT NULL, severity TEXT NOT NULL, class_name TEXT NOT NULL, event TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS executions (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, marker TEXT NOT NULL, job_id TEXT NOT NULL, worker TEXT NOT NULL,
    attempt INTEGER NOT NULL, begun REAL NOT NULL, finished REAL, repeat INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS keys (key TEXT PRIMARY KEY, asked TEXT NOT NULL, answer TEXT);
"""
# What an index that was just set up holds.
_FIRST_EVENTS = [
    ("Authentication", "high", "logon failed"),
    ("Authentication", "informational", "logon"),
    ("Network Activity", "low", "connection opened"),
    ("Process Activity", "medium", "process launched"),
    ("File Activity", "informational", "file written"),
]
_FIELDS = ("severity", "class_name")


@dataclass(frozen=True)
class Asked:
    """One search: the query's text as given, a time range, the most events wanted, and who asks for which job."""

    marker: str
    since: str
    until: str
    size: int
    job_id: str = ""
    worker: str = ""
    attempt: int = 1
    key: str = ""

    def fingerprint(self) -> str:
        """What is asked, whoever asks it: equal for the repeat of a search, and for no other."""
        return hashlib.sha256(json.dumps([self.marker, self.since, self.until, self.size]).encode()).hexdigest()


class KeyReused(Exception):
    """The key was given to another search before."""


class Store:
    """One database, used by many threads, one at a time."""

    def __init__(self, path: str) -> None:
        """Open, and make the tables and the first events where there are none. Raises sqlite3.Error."""
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._turn = threading.Condition()
        self._running: set[str] = set()
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.executescript(_SCHEMA)
        if self._database.execute("SELECT COUNT(*) FROM events").fetchone() == (0,):
            start = datetime(2026, 1, 1, tzinfo=UTC)
            times = [(start + timedelta(minutes=n)).isoformat() for n in range(len(_FIRST_EVENTS))]
            self.add(
                (at, {"time": at, "severity": severity, "class_name": class_name, "message": message})
                for at, (class_name, severity, message) in zip(times, _FIRST_EVENTS, strict=True)
            )

    def close(self) -> None:
        """Close the database."""
        with self._turn:
            self._database.close()

    def add(self, events: Iterable[tuple[str, dict[str, Any]]]) -> int:
        """Add events, each with its time in UTC, and say how many."""
        rows = [
            (
                at,
                str(event.get("severity", "")),
                str(event.get("class_name", "")),
                json.dumps(event, ensure_ascii=False),
            )
            for at, event in events
        ]
        with self._turn:
            self._database.execute("BEGIN")
            self._database.executemany(
                "INSERT INTO events (time, severity, class_name, event) VALUES (?, ?, ?, ?)", rows
            )
            self._database.execute("COMMIT")
        return len(rows)

    def search(self, asked: Asked) -> dict[str, Any]:
        """Run a search, recorded from the moment it begins.

        With a key that was seen before, the answer is that of the first search, once that has one. Raises KeyReused
        where that was another search: then none begins.
        """
        with self._turn:
            seq, known = self._begin(asked)
            while known and asked.key in self._running:
                self._turn.wait()
            if asked.key:
                self._running.add(asked.key)
        answer: dict[str, Any] | None = None
        try:
            answer = self._first_answer(asked.key) if known else None
            if answer is None:
                answer = self._find(asked)
            return answer
        finally:
            with self._turn:
                self._finish(seq, asked.key, answer)
                self._running.discard(asked.key)
                self._turn.notify_all()

    def _begin(self, asked: Asked) -> tuple[int, bool]:
        first = self._database.execute("SELECT asked FROM keys WHERE key = ?", (asked.key,)).fetchone()
        known = first is not None
        if known and first[0] != asked.fingerprint():
            raise KeyReused(f"the key {asked.key!r} was given to another search"[:200])
        self._database.execute("BEGIN")
        cursor = self._database.execute(
            "INSERT INTO executions (marker, job_id, worker, attempt, begun, repeat) VALUES (?, ?, ?, ?, ?, ?)",
            (asked.marker[:MARKER_MOST], asked.job_id, asked.worker, asked.attempt, time.time(), known),
        )
        seq = cursor.lastrowid or 0
        if asked.key and not known:
            self._database.execute("INSERT INTO keys (key, asked) VALUES (?, ?)", (asked.key, asked.fingerprint()))
        self._database.execute("COMMIT")
        return seq, known

    def _finish(self, seq: int, key: str, answer: dict[str, Any] | None) -> None:
        self._database.execute("BEGIN")
        self._database.execute("UPDATE executions SET finished = ? WHERE seq = ?", (time.time(), seq))
        if key and answer is not None:
            self._database.execute(
                "UPDATE keys SET answer = ? WHERE key = ? AND answer IS NULL",
                (json.dumps(answer, ensure_ascii=False), key),
            )
        self._database.execute("COMMIT")

    def _first_answer(self, key: str) -> dict[str, Any] | None:
        with self._turn:
            row = self._database.execute("SELECT answer FROM keys WHERE key = ?", (key,)).fetchone()
        # None where the process died while the first search ran: the repeat then finishes it.
        answer: dict[str, Any] | None = json.loads(row[0]) if row and row[0] else None
        return answer

    def _find(self, asked: Asked) -> dict[str, Any]:
        where, values = ["time >= ?", "time <= ?"], [asked.since, asked.until]
        for word in asked.marker.split():
            name, _, value = word.partition(":")
            # As a lenient query string: a field that the index does not have matches everything.
            if name in _FIELDS:
                where.append(f"{name} = ? COLLATE NOCASE")
                values.append(value)
        matching = f"FROM events WHERE {' AND '.join(where)}"
        with self._turn:
            (total,) = self._database.execute(f"SELECT COUNT(*) {matching}", values).fetchone()
            rows = self._database.execute(
                f"SELECT id, event {matching} ORDER BY time, id LIMIT ?", [*values, asked.size]
            ).fetchall()
        hits = [{"_index": "ocsf-events", "_id": str(row_id), "_source": json.loads(event)} for row_id, event in rows]
        return {"hits": {"total": {"value": total, "relation": "eq"}, "hits": hits}}

    def executions(self, after: int) -> dict[str, Any]:
        """A page of the searches that began after `after`, in order, and where the next page starts."""
        with self._turn:
            rows = self._database.execute(
                "SELECT seq, marker, job_id, worker, attempt, begun, finished, repeat FROM executions"
                " WHERE seq > ? ORDER BY seq LIMIT ?",
                (after, PAGE),
            ).fetchall()
        names = ("marker", "job_id", "worker", "attempt", "begun", "finished")
        listed = []
        for seq, *values, repeat in rows:
            listed.append({"seq": seq, **dict(zip(names, values, strict=True)), **({"repeat": True} if repeat else {})})
        return {"executions": listed, "next": rows[-1][0] if rows else after}
