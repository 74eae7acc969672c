"""A NATS client as a service has one, with quick pings. Reads a URL, then "close"; prints [t_ns, what]."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from time import monotonic, monotonic_ns

import nats
from nats.aio.client import Client


def tell(what: str, t_ns: int | None = None) -> None:
    print(json.dumps([monotonic_ns() if t_ns is None else t_ns, what]), flush=True)


def local(client: Client) -> str:
    host, port = client._transport._io_writer.get_extra_info("sockname")  # type: ignore[union-attr]
    return f"{host}:{port}"


async def main() -> None:
    words = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(words), sys.stdin)

    async def disconnected() -> None:
        tell("disconnected")

    async def reconnected() -> None:
        tell(f"reconnected {local(client)}")

    url = (await words.readline()).decode().strip()
    tell("connecting")
    client = await nats.connect(
        url,
        name="app",
        ping_interval=0.3,
        max_outstanding_pings=1,
        connect_timeout=1,
        reconnect_time_wait=0.05,
        max_reconnect_attempts=-1,
        disconnected_cb=disconnected,
        reconnected_cb=reconnected,
    )
    tell(f"connected {local(client)}")
    closing = asyncio.create_task(words.readline())
    while not closing.done():
        due = monotonic() + 0.01
        await asyncio.sleep(0.01)
        if (lag := monotonic() - due) > 0.002:
            tell("lag", round(lag * 1e9))
    tell("closing")
    await client.close()
    await asyncio.sleep(60)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    asyncio.run(main())
