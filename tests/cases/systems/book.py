"""The book of what was done: a database beside the services, which no fault of NATS touches.

python book.py    prints what it holds, one JSON object a line
"""

from __future__ import annotations

import json
import sqlite3

FILE = "book.sqlite3"
COLUMNS = ("note", "worker", "begun", "attempt", "finished")


def _opened() -> sqlite3.Connection:
    book = sqlite3.connect(FILE, timeout=5)
    book.execute(f"create table if not exists done (id integer primary key, {', '.join(COLUMNS)})")
    return book


def enter(note: str, *, by: str, begun: float, attempt: int) -> int:
    """One job was done, or is in this worker's hands; its number in the book.

    `begun` is seconds since 1970, `attempt` which delivery of it this was.
    """
    return _written("insert into done values (null, ?, ?, ?, ?, null)", note, by, begun, attempt)


def finish(number: int, *, at: float) -> None:
    """A job that was in hand is done."""
    _written("update done set finished = ? where id = ?", at, number)


def _written(statement: str, *values: object) -> int:
    book = _opened()
    with book:
        book.execute("pragma synchronous = off")
        number = book.execute(statement, values).lastrowid or 0
    book.close()
    return number


def main() -> None:
    """Prints the book."""
    for row in _opened().execute(f"select {', '.join(COLUMNS)} from done order by id"):
        print(json.dumps(dict(zip(COLUMNS, row, strict=True))))


if __name__ == "__main__":
    main()
