"""The line to the broker: one client at a time, replaced by a new one as soon as it is lost.

nats-py can reconnect by itself, but may then wait many minutes for a black-holed socket to close (nats.py #671), and a
pull subscription may stay silent afterwards (nats.py #504). A client that is never mended has neither trouble: whatever
goes wrong, there is one way on, a new client with new subscriptions.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import nats.errors
from nats.aio.client import Client

from orders.settings import Broker

CONNECT_S = 1.0  # for each step of a handshake; CONNECT_ALL_S for all of them and the round trip after
CONNECT_ALL_S = 2.5
RETRY_S = 0.4
LOOK_S = 0.05

log = logging.getLogger("orders.line")


async def hold(broker: Broker, name: str, use: Callable[[Client], Awaitable[None]], stopping: asyncio.Event) -> None:
    """Give `use` a connected client, and a new one whenever it is lost or `use` fails, until `stopping` is set.

    `use` is cancelled when its client is lost. Once `stopping` is set, `use` returns by itself, its client still open.
    """
    while not stopping.is_set():
        client = Client()
        try:
            await _connect(client, broker, name)
            log.info("broker found: %s", broker.url)
            await _use(client, use)
        except (OSError, TimeoutError, nats.errors.Error) as error:
            log.warning("broker away: %s", error or type(error).__name__)
        finally:
            await _close(client)
        if not stopping.is_set():
            await asyncio.sleep(RETRY_S)


async def _connect(client: Client, broker: Broker, name: str) -> None:
    async with asyncio.timeout(CONNECT_ALL_S):
        await client.connect(
            servers=[broker.url],
            name=name,
            error_cb=_note,
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=CONNECT_S,  # type: ignore[arg-type]  # annotated int, used as seconds
            ping_interval=broker.ping_s,  # type: ignore[arg-type]
            max_outstanding_pings=broker.pings_outstanding,
            pending_size=-1,  # refuse a publish while disconnected, never keep it in memory
        )
        # connect can return without a word from the broker if the line is dead upwards: see one round trip.
        await client.flush(timeout=1)


async def _use(client: Client, use: Callable[[Client], Awaitable[None]]) -> None:
    used = asyncio.ensure_future(use(client))
    lost = asyncio.ensure_future(_lost(client))
    try:
        await asyncio.wait({used, lost}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        lost.cancel()
        while not used.done():  # more than once: wait_for before Python 3.12, and nats-py, can swallow a cancellation
            used.cancel()
            await asyncio.wait({used}, timeout=LOOK_S)
    if not used.cancelled():  # nats-py cancels what waits in a closed client: that is a loss too
        used.result()
    if client.is_closed:
        raise nats.errors.ConnectionClosedError


async def _lost(client: Client) -> None:
    # The state is looked at, since nats-py's callbacks come only after a socket has closed, which may hang.
    while not client.is_closed:
        await asyncio.sleep(LOOK_S)


async def _close(client: Client) -> None:
    try:
        async with asyncio.timeout(RETRY_S):
            await client.close()
    except (OSError, TimeoutError, nats.errors.Error) as error:
        log.debug("closing: %s", error or type(error).__name__)


async def _note(error: Exception) -> None:
    log.debug("nats-py: %s", error or type(error).__name__)
