"""An HTTP client that sends what it is told, once."""

from __future__ import annotations

import aiohttp


def session() -> aiohttp.ClientSession:
    """As many connections as it takes, no deadline of its own, no cookies, no retries."""
    made = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None),
    )
    # aiohttp sends an idempotent request again when a kept connection turns out to be closed. It has no public switch
    # for this; its own test client sets the same attribute.
    made._retry_connection = False
    return made
