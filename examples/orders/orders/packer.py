"""A packer: takes orders from the stream, many at once, and acknowledges each when the depot has it shipped.

A death, a lost connection or a depot away means no acknowledgement: the order comes again, here or to another packer,
and the depot recognises it by its number. GET /bench says that a packer is alive.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import nats.errors
import nats.js.errors
from aiohttp import web
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from orders import settings, stream
from orders.line import hold
from orders.process import log_as_json, serving, stop_on_signal

PULL_S = 2.0
HEARTBEAT_S = 0.5  # the broker's sign of life while there are no orders
AGAIN_S = 1.0
DEPOT_S = 8.0  # more than ack_wait_s: a slow depot delays orders, and they are not begun anew for ever

log = logging.getLogger("orders.packer")


class Packer:
    """Takes orders one by one and works at most `hands` of them at once."""

    def __init__(
        self,
        name: str,
        depot: aiohttp.ClientSession,
        group: asyncio.TaskGroup,
        stopping: asyncio.Event,
        *,
        hands: int,
        ack_wait_s: float,
    ) -> None:
        self._name = name
        self._depot = depot
        self._group = group
        self._stopping = stopping
        self._hands = asyncio.Semaphore(hands)
        self._ack_wait_s = ack_wait_s
        self._in_hand: set[asyncio.Task[None]] = set()

    async def use(self, client: Client) -> None:
        """Take orders by this client until we stop, then finish those in hand and let their acknowledgements out.

        Raises nats.errors.Error and TimeoutError, if the broker no longer answers.
        """
        js = client.jetstream(timeout=1.0)
        await stream.make_stream(js)
        await stream.make_consumer(js, ack_wait_s=self._ack_wait_s)
        orders = await js.pull_subscribe_bind(consumer=stream.CONSUMER, stream=stream.STREAM)
        while not self._stopping.is_set():
            await self._hands.acquire()  # first a free hand, so that no order is taken that must lie about
            message = None
            try:
                message = await self._next(orders)
            finally:
                if message is None:
                    self._hands.release()
            if message is not None:
                task = self._group.create_task(self._work(message))
                self._in_hand.add(task)
                task.add_done_callback(self._in_hand.discard)
        await orders.unsubscribe()
        if self._in_hand:
            await asyncio.wait(self._in_hand)
        await client.flush(timeout=1)

    async def _next(self, orders: JetStreamContext.PullSubscription) -> Msg | None:
        if self._stopping.is_set():
            return None
        # In a task of its own: nats-py cancels a fetch whose client closes, and that must not look as if we were.
        fetch = asyncio.create_task(orders.fetch(1, timeout=PULL_S, heartbeat=HEARTBEAT_S))
        stop = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({fetch, stop}, return_when=asyncio.FIRST_COMPLETED)
            return fetch.result()[0] if fetch.done() else None
        except nats.js.errors.FetchTimeoutError:
            return None  # heartbeats came, so there are no orders; without them it is a TimeoutError: no broker
        finally:
            fetch.cancel()
            stop.cancel()

    async def _work(self, message: Msg) -> None:
        try:
            try:
                number, parcel = _read(message.data)
            except (ValueError, KeyError, TypeError) as error:
                log.error("not an order, taken out of the stream: %r", error)
                await self._tell(message.term)
            else:
                await self._ship(number, parcel, message.metadata.num_delivered)
                await self._tell(message.ack)
        except (aiohttp.ClientError, TimeoutError) as error:
            log.warning("an order comes again, for the depot is away: %s", error or type(error).__name__)
            await self._tell(lambda: message.nak(delay=AGAIN_S))
        finally:
            self._hands.release()

    async def _ship(self, number: str, parcel: dict[str, Any], delivery: int) -> None:
        headers = {"Packed-By": self._name, "Delivery": str(delivery)}
        async with self._depot.put(f"parcels/{number}", json=parcel, headers=headers) as answer:
            packed = await answer.json()
        if packed["state"] != "rejected":
            async with self._depot.post(f"parcels/{number}/handover", json={"line": packed["line"]}):
                pass

    async def _tell(self, word: Callable[[], Awaitable[None]]) -> None:
        try:
            await word()
        except nats.errors.Error as error:
            log.warning("the broker was not told, so that delivery comes again: %s", error or type(error).__name__)


def _read(data: bytes) -> tuple[str, dict[str, Any]]:
    """Number and parcel of an order. Raises ValueError, KeyError or TypeError."""
    order = json.loads(data)
    parcel = order["parcel"]
    articles = [str(article) for article in parcel["articles"]]
    return str(order["number"]), {"remark": str(parcel["remark"]), "articles": articles}


def application(name: str) -> web.Application:
    """The packer's one route."""

    async def bench(request: web.Request) -> web.Response:
        return web.Response(text=f"{name} is at the bench\n")

    app = web.Application()
    app.router.add_get("/bench", bench)
    return app


async def main() -> None:
    """Work until SIGTERM: take no more, finish what is in hand, then leave the broker."""
    parser = argparse.ArgumentParser(prog="orders.packer")
    parser.add_argument("settings", type=Path)
    given = settings.read(parser.parse_args().settings)
    log_as_json()
    stopping = stop_on_signal()
    session = aiohttp.ClientSession(
        f"{os.environ['DEPOT']}/", timeout=aiohttp.ClientTimeout(total=DEPOT_S), raise_for_status=True
    )
    table = given.table
    async with session, asyncio.TaskGroup() as group:
        packer = Packer(
            table["name"], session, group, stopping, hands=int(table["hands"]), ack_wait_s=float(table["ack_wait_s"])
        )
        async with serving(application(table["name"]), int(table["port"])):
            await hold(given.broker, table["name"], packer.use, stopping)


if __name__ == "__main__":
    asyncio.run(main())
