"""The shop: takes orders. 202 once the broker has stored the order, 503 otherwise.

- POST /v1/orders {buyer: {remark}, articles: [...]} -> {order: {number}}
- GET /v1/orders/{number} -> {order: {number, progress, remark}}; progress is taken, packing, shipped or rejected
- GET /up: alive; GET /open: able to take orders

A 503 means "not taken, as far as we know": the broker may have stored an order whose acknowledgement did not come in
time. Such an order is worked like any other, once, under a number that nobody was told.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import secrets
import sqlite3
from pathlib import Path
from typing import Any

import aiohttp
import nats.errors
from aiohttp import web
from nats.aio.client import Client

from orders import settings, stream
from orders.database import Database
from orders.line import hold
from orders.process import log_as_json, now, serving, stop_on_signal

SCHEMA = "CREATE TABLE IF NOT EXISTS taken (number TEXT PRIMARY KEY, at TEXT) WITHOUT ROWID;"
PROGRESS = {"packed": "packing", "shipped": "shipped", "rejected": "rejected"}
PUBACK_S = 1.2  # buyers wait two seconds
DEPOT_S = 1.0

log = logging.getLogger("orders.shop")


class Shop:
    """Publishes orders, remembers the numbers that it gave out, and asks the depot what became of them."""

    def __init__(self, taken: Database, depot: aiohttp.ClientSession) -> None:
        self._taken = taken
        self._depot = depot
        self._client: Client | None = None

    @property
    def open(self) -> bool:
        """Whether an order could be taken now."""
        return self._client is not None and self._client.is_connected

    async def use(self, client: Client) -> None:
        """Publish by this client for as long as it lives."""
        await stream.make_stream(client.jetstream(timeout=1.0))
        self._client = client
        try:
            await asyncio.Event().wait()
        finally:
            self._client = None

    async def take(self, remark: str, articles: list[str]) -> str:
        """Take an order; its number. Raises nats.errors.Error or sqlite3.Error where that was not possible."""
        if self._client is None:
            raise nats.errors.ConnectionClosedError
        number = secrets.token_hex(8)
        order = {"number": number, "parcel": {"remark": remark, "articles": articles}}
        await self._client.jetstream().publish(
            stream.SUBJECT, json.dumps(order).encode(), timeout=PUBACK_S, headers={"Nats-Msg-Id": number}
        )
        await self._taken.run(lambda db: db.execute("INSERT INTO taken VALUES (?, ?)", (number, now())))
        return number

    async def progress(self, number: str) -> dict[str, Any]:
        """What became of an order; empty if it is unknown. Raises aiohttp.ClientError or TimeoutError: depot away."""
        async with self._depot.get(f"parcels/{number}") as answer:
            if answer.status == 200:
                parcel = await answer.json()
                return {"number": number, "progress": PROGRESS[parcel["state"]], "remark": parcel["remark"]}
            if answer.status != 404:
                answer.raise_for_status()
        query = "SELECT 1 FROM taken WHERE number = ?"
        known = await self._taken.run(lambda db: db.execute(query, (number,)).fetchone())
        return {"number": number, "progress": "taken"} if known else {}


def application(shop: Shop) -> web.Application:
    """The shop's routes."""

    async def post_order(request: web.Request) -> web.Response:
        try:
            body = await request.json()
            remark, articles = body["buyer"]["remark"], body["articles"]
        except (ValueError, KeyError, TypeError):
            return _problem(400, "not-an-order", "an order has buyer.remark and articles")
        if not isinstance(remark, str) or not isinstance(articles, list) or not articles:
            return _problem(400, "not-an-order", "buyer.remark is a text, articles a list of at least one")
        try:
            number = await shop.take(remark, [str(article) for article in articles])
        except nats.errors.Error as error:
            return _problem(503, "broker-away", str(error) or type(error).__name__)
        except sqlite3.Error as error:
            log.exception("order not written down")
            return _problem(503, "disk", str(error))
        return web.json_response({"order": {"number": number}}, status=202)

    async def get_order(request: web.Request) -> web.Response:
        try:
            order = await shop.progress(request.match_info["number"])
        except (aiohttp.ClientError, TimeoutError) as error:
            return _problem(503, "depot-away", str(error) or type(error).__name__)
        return web.json_response({"order": order}) if order else _problem(404, "no-such-order", "never taken here")

    async def up(request: web.Request) -> web.Response:
        return web.Response(text="up\n")

    async def is_open(request: web.Request) -> web.Response:
        return web.Response(text="open\n") if shop.open else _problem(503, "broker-away", "no connection")

    app = web.Application()
    app.add_routes(
        [
            web.post("/v1/orders", post_order),
            web.get("/v1/orders/{number}", get_order),
            web.get("/up", up),
            web.get("/open", is_open),
        ]
    )
    return app


def _problem(status: int, kind: str, detail: str) -> web.Response:
    return web.json_response(
        {"type": f"urn:orders:{kind}", "detail": detail},
        status=status,
        content_type="application/problem+json",
        headers={"Retry-After": "1"} if status == 503 else None,
    )


async def main() -> None:
    """Serve until SIGTERM: stop accepting, answer what was asked, then leave the broker."""
    parser = argparse.ArgumentParser(prog="orders.shop")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--depot", required=True)
    parser.add_argument("--settings", type=Path, required=True)
    arguments = parser.parse_args()
    given = settings.read(arguments.settings)
    log_as_json()
    stopping = stop_on_signal()
    session = aiohttp.ClientSession(f"{arguments.depot}/", timeout=aiohttp.ClientTimeout(total=DEPOT_S))
    with Database(Path(given.table["taken"]), SCHEMA) as taken:
        shop = Shop(taken, session)
        async with session, asyncio.TaskGroup() as group:
            line = group.create_task(hold(given.broker, "shop", shop.use, stopping))
            async with serving(application(shop), arguments.port):
                await stopping.wait()
            line.cancel()


if __name__ == "__main__":
    asyncio.run(main())
