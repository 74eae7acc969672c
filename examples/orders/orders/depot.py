"""The depot: what was packed, by whom, and how often it was asked for. An order's number makes a repeat harmless.

- PUT /parcels/{number} {remark, articles}: pack; a repeat waits for the first, is answered from it and packs nothing
- POST /parcels/{number}/handover {line}: shipped, for the packer has had the answer to its PUT
- GET /parcels/{number}
- GET /journal?since=N: every packing that was begun, in order, repeats marked
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
from pathlib import Path
from typing import Any

from aiohttp import web

from orders.database import Database
from orders.process import log_as_json, now, serving, stop_on_signal

SCHEMA = """
CREATE TABLE IF NOT EXISTS parcels (number TEXT PRIMARY KEY, remark TEXT, articles INTEGER, state TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS journal (
    line INTEGER PRIMARY KEY AUTOINCREMENT, number TEXT, packer TEXT, delivery INTEGER, again INTEGER,
    started TEXT, ended TEXT
);
"""
ARTICLES = {"tea", "coffee", "cocoa"}
PAGE = 500


class Depot:
    """Each method of the depot is one transaction, so that a crash leaves an order packed or untouched."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def pack(self, number: str, remark: str, articles: list[str], packer: str, delivery: int) -> dict[str, Any]:
        """Pack an order, or recognise that it is packed; the parcel, with the journal's line of this very call."""
        started = now()
        state = "packed" if ARTICLES.issuperset(articles) else "rejected"

        def work(db: sqlite3.Connection) -> dict[str, Any]:
            packed = db.execute(
                "INSERT INTO parcels VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", (number, remark, len(articles), state)
            )
            line = db.execute(
                "INSERT INTO journal (number, packer, delivery, again, started, ended) VALUES (?, ?, ?, ?, ?, ?)",
                (number, packer, delivery, packed.rowcount == 0, started, started if state == "rejected" else None),
            ).lastrowid
            return {**_parcel(db, number), "line": line}

        return await self._database.run(work)

    async def hand_over(self, number: str, line: int) -> dict[str, Any]:
        """Ship a packed order; no effect where it is shipped already, beyond the end of this line of the journal."""
        ended = now()

        def work(db: sqlite3.Connection) -> dict[str, Any]:
            db.execute("UPDATE parcels SET state = 'shipped' WHERE number = ? AND state = 'packed'", (number,))
            db.execute(
                "UPDATE journal SET ended = ? WHERE line = ? AND number = ? AND ended IS NULL", (ended, line, number)
            )
            return _parcel(db, number)

        return await self._database.run(work)

    async def parcel(self, number: str) -> dict[str, Any]:
        """One parcel; empty if there is none."""
        return await self._database.run(lambda db: _parcel(db, number))

    async def journal(self, since: int) -> dict[str, Any]:
        """The entries after line `since`, at most PAGE of them, and where to go on."""

        def work(db: sqlite3.Connection) -> list[sqlite3.Row]:
            query = "SELECT * FROM journal JOIN parcels USING (number) WHERE line > ? ORDER BY line LIMIT ?"
            return db.execute(query, (since, PAGE)).fetchall()

        rows = await self._database.run(work)
        return {"journal": {"entries": [_entry(row) for row in rows], "since": rows[-1]["line"] if rows else since}}


def _parcel(db: sqlite3.Connection, number: str) -> dict[str, Any]:
    row = db.execute("SELECT * FROM parcels WHERE number = ?", (number,)).fetchone()
    return dict(row) if row else {}


def _entry(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "line": row["line"],
        "what": {"number": row["number"], "remark": row["remark"]},
        "who": {"packer": row["packer"], "delivery": row["delivery"]},
        "when": {"started": row["started"], "ended": row["ended"]},
        "again": bool(row["again"]),
    }


def application(depot: Depot) -> web.Application:
    """The depot's routes. A caller that hangs up changes nothing: aiohttp lets its handler finish."""

    async def put_parcel(request: web.Request) -> web.Response:
        order = await request.json()
        packer, delivery = request.headers["Packed-By"], int(request.headers["Delivery"])
        parcel = await depot.pack(request.match_info["number"], order["remark"], order["articles"], packer, delivery)
        return web.json_response(parcel, status=201)

    async def hand_over(request: web.Request) -> web.Response:
        line = (await request.json())["line"]
        return _found(await depot.hand_over(request.match_info["number"], line))

    async def get_parcel(request: web.Request) -> web.Response:
        return _found(await depot.parcel(request.match_info["number"]))

    async def get_journal(request: web.Request) -> web.Response:
        return web.json_response(await depot.journal(int(request.query.get("since", "0"))))

    app = web.Application()
    app.add_routes(
        [
            web.put("/parcels/{number}", put_parcel),
            web.post("/parcels/{number}/handover", hand_over),
            web.get("/parcels/{number}", get_parcel),
            web.get("/journal", get_journal),
        ]
    )
    return app


def _found(parcel: dict[str, Any]) -> web.Response:
    return web.json_response(parcel) if parcel else web.Response(status=404)


async def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="orders.depot")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--database", type=Path, required=True)
    arguments = parser.parse_args()
    log_as_json()
    stopping = stop_on_signal()
    with Database(arguments.database, SCHEMA) as database:
        async with serving(application(Depot(database)), arguments.port):
            await stopping.wait()


if __name__ == "__main__":
    asyncio.run(main())
