"""A NATS client that is there whenever the broker can be reached, and says at once when it is not.

It pings each second with two outstanding and buffers nothing, so that a publish while disconnected is refused. Where
nats-py's own reconnect hangs (closing a socket whose peer reads nothing waits for minutes: nats.py #671), the client is
replaced: its socket is aborted and another one takes its place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from harness.history.clock import now_ns

_LOOK_S = 0.5
_REPLACE_AFTER_NS = 3_000_000_000
"""A client without a round trip for so long is replaced; so is one that never says that it is back.

Two of nats-py's attempts to reconnect can end each other: then it is connected, answers pings, and calls nobody.
"""


def credentials(connect: Mapping[str, str]) -> dict[str, Any]:
    """nats-py's options for user and password, a token, or a file of credentials."""
    names = {"user": "user", "password": "password", "token": "token", "creds": "user_credentials"}
    return {names[name]: value for name, value in connect.items() if value}


class Connection:
    """One connection over one link; `client`, `inbox` and `connected` are of the moment.

    Whatever is sent to `inbox` and one more word is given to `replied`.
    """

    def __init__(
        self,
        url: str,
        connect: Mapping[str, str],
        *,
        name: str,
        replied: Callable[[Msg], Awaitable[None]],
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._url, self._name, self._replied, self._tasks = url, name, replied, tasks
        self._options = credentials(connect)
        self._watching: asyncio.Task[None] | None = None
        self._opened = asyncio.Event()
        self._alive_ns = 0
        self.client = Client()
        self.inbox = ""
        self._up = False
        self.lost = 0
        """How often a connection was lost: answers to what was sent before may never come."""

    @property
    def connected(self) -> bool:
        """Whether a publish would be written now, as far as the client knows."""
        return self._up and self.client.is_connected

    async def start(self, within_s: float) -> None:
        """Begins to connect, and waits up to `within_s` for it; what is not there then may come later."""
        if self._watching is None:
            self._watching = self._tasks.create_task(self._watch())
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._opened.wait()

    async def close(self) -> None:
        """Closes it for good."""
        if self._watching:
            self._watching.cancel()
            await asyncio.wait([self._watching])

    async def _watch(self) -> None:
        while True:
            self.client, self._up = Client(), False
            self._alive_ns = now_ns()
            works = [asyncio.create_task(self._open(self.client))]
            try:
                while now_ns() - self._alive_ns < _REPLACE_AFTER_NS:
                    await asyncio.sleep(_LOOK_S)
                    if self.client.is_connected:
                        works = [*(work for work in works if not work.done()), asyncio.create_task(self._round_trip())]
                self.lost += 1
            finally:
                await _drop(self.client, works)

    async def _open(self, client: Client) -> None:
        async def down() -> None:
            if client is self.client:
                self.lost += 1
                self._up = False

        async def up() -> None:
            # Not before: nats-py says it is connected when its subscriptions, our inbox among them, are not back yet.
            if client is self.client:
                self._up, self._alive_ns = True, now_ns()

        options = {"reconnect_time_wait": 0.25, **self._options}  # a whole number, says its annotation; any will do
        with suppress(nats.errors.Error, OSError, TimeoutError):  # the watch sees that it is not alive
            await client.connect(
                self._url,
                name=self._name,
                pedantic=True,
                connect_timeout=1,
                ping_interval=1,
                max_outstanding_pings=2,
                allow_reconnect=True,
                max_reconnect_attempts=-1,
                pending_size=-1,
                error_cb=_ignore,
                disconnected_cb=down,
                reconnected_cb=up,
                **options,
            )
            inbox = client.new_inbox()
            await client.subscribe(f"{inbox}.*", cb=self._replied)
            self.inbox, self._up, self._alive_ns = inbox, True, now_ns()
            self._opened.set()

    async def _round_trip(self) -> None:
        """A ping of ours. Never given up: nats-py's read loop dies of a late answer to one that was."""
        client = self.client
        with suppress(nats.errors.Error, OSError):
            await client.rtt(timeout=3600)
            if self._up:
                self._alive_ns = now_ns()


async def _ignore(error: Exception) -> None:
    """nats-py would log each failed attempt; the connections observer sees them."""


async def _drop(client: Client, works: list[asyncio.Task[None]]) -> None:
    """Ends a client, its socket first: what it still holds to write must not keep it open."""
    abort(client)
    for work in works:
        work.cancel()
    await asyncio.wait(works)
    with suppress(nats.errors.Error, OSError, TimeoutError):
        async with asyncio.timeout(1):
            await client.close()


def abort(client: Client) -> None:
    """Closes a client's socket without waiting for what is not yet written; nats-py has no public way."""
    writer: asyncio.StreamWriter | None = getattr(client._transport, "_io_writer", None)
    if writer is not None:
        writer.transport.abort()
