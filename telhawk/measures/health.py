"""health: a service is ready as long as a round trip to the broker succeeds; that it lives, it says in any case."""

from __future__ import annotations

import asyncio
import time

from aiohttp import web

from telhawk.messaging import Client, MessagingError
from telhawk.messaging.health import round_trip
from telhawk.problems import Refused
from telhawk.wire import encode

EVERY_S = 0.25
ANSWERS_WITHIN_S = 2.0


class BrokerHealth:
    """The broker as this service sees it. `run` asks it over and over, so that no probe waits for an answer.

    A loss that the client has noticed counts at once, a silent one after ANSWERS_WITHIN_S at the latest.
    """

    def __init__(self, client: Client | None) -> None:
        self._client = client
        self._error = "no round trip yet" if client is not None else "the service has no connection to the broker"
        self._round_trip_ms = 0.0

    async def run(self) -> None:
        """Ask for ever."""
        while self._client is not None:
            started = time.monotonic()
            try:
                await round_trip(self._client, within_s=ANSWERS_WITHIN_S)
                self._error = ""
                self._round_trip_ms = round((time.monotonic() - started) * 1000, 3)
            except MessagingError as error:
                self._error = str(error)
            await asyncio.sleep(EVERY_S)

    async def answer(self, request: web.Request) -> web.Response:
        """200 with the last round trip. Raises Refused, with what is wrong."""
        error = self._error
        if not error and self._client is not None and not self._client.is_connected():
            error = "no connection to the broker"
        if error:
            red = {"status": "unavailable", "broker": {"connected": False, "error": error}}
            raise Refused(503, "broker-unavailable", error, again=True, body=encode(red))
        green = {"status": "ok", "broker": {"connected": True, "round_trip_ms": self._round_trip_ms}}
        return web.Response(body=encode(green), content_type="application/json")
