"""What each service does as a process: log lines of JSON, an HTTP server on loopback, an orderly end on SIGTERM."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from aiohttp import web


def now() -> str:
    """The time of day, RFC 3339 in UTC."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        says = record.getMessage()
        if record.exc_info:
            says += "\n" + self.formatException(record.exc_info)
        return json.dumps({"at": at, "severity": record.levelname.lower(), "part": record.name, "says": says})


def log_as_json() -> None:
    """Log to standard error, one JSON object a line."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Json())
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def stop_on_signal() -> asyncio.Event:
    """An event that SIGTERM or SIGINT sets."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return stopping


@asynccontextmanager
async def serving(app: web.Application, port: int) -> AsyncIterator[None]:
    """Serve `app` on loopback; leaving stops accepting at once and waits up to 5 s for what is being answered."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=5.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield
    finally:
        await runner.cleanup()
