"""How a node shows that it is ready: each is one look, which says what was seen, or "" once it is ready."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from harness.runtime import _command
from harness.runtime._http import LOOPBACK, request
from harness.runtime.contract import Address

Look = Callable[[], Awaitable[str]]
There = Callable[[], Awaitable[bool]]
"""Whether somebody accepts at an address; it takes one to know, since a published port always accepts."""
LOOK_WITHIN_S = 1.0
LISTENS_WITHIN_S = 0.2
"""A container that is not there yet answers nothing at all."""
COMMAND_WITHIN_S = 10.0


async def listens(address: Address) -> bool:
    """Whether somebody accepts there; on loopback that is known without waiting."""
    with socket.socket() as probe:
        probe.setblocking(False)
        try:
            async with asyncio.timeout(LISTENS_WITHIN_S):
                await asyncio.get_running_loop().sock_connect(probe, address)
        except OSError:
            return False
    return True


def _nobody(address: Address) -> str:
    return f"nobody listens on {address[0]}:{address[1]}"


def by_http(url: str, there: There | None = None) -> Look:
    """A GET of `url` is answered with a status of 200 to 299."""
    parts = urlsplit(url)
    host, port = parts.hostname or LOOPBACK, parts.port or 80
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    hears = there or partial(listens, (host, port))

    async def look() -> str:
        if not await hears():  # far cheaper than a request, and asked fifty times a second
            return _nobody((host, port))
        try:
            status, _ = await request("GET", (host, port), path, within_s=LOOK_WITHIN_S)
        except TimeoutError:
            return f"{url} did not answer in {LOOK_WITHIN_S:g} s"
        except OSError as error:
            return f"{url}: {error.strerror or error}"
        return "" if 200 <= status < 300 else f"{url} answered {status}"

    return look


def by_port(address: Address, there: There) -> Look:
    """Somebody accepts there."""

    async def look() -> str:
        return "" if await there() else _nobody(address)

    return look


def by_log(pattern: str, lines: Callable[[], Sequence[str]]) -> Look:
    """A line of its output matches."""
    expression = re.compile(pattern)

    async def look() -> str:
        return "" if any(map(expression.search, lines())) else f"no line matches {pattern!r}"

    return look


def by_command(argv: Sequence[str], *, env: Mapping[str, str], cwd: Path) -> Look:
    """A command exits with 0."""

    async def look() -> str:
        try:
            ran = await _command.run(argv, env=env, cwd=cwd, within_s=COMMAND_WITHIN_S)
        except TimeoutError:
            return f"{argv[0]} ran for more than {COMMAND_WITHIN_S:g} s"
        except OSError as error:
            return f"{argv[0]} cannot be run: {error.strerror or error}"
        return "" if ran.code == 0 else f"{argv[0]} {ran}"

    return look


def by_sign_in(address: Address, there: There, user: str, password: str) -> Look:
    """A NATS server there takes this user."""
    options = {"user": user, "pass": password, "verbose": False, "pedantic": False, "lang": "python", "version": "0"}
    hello = f"CONNECT {json.dumps({**options, 'name': 'nats-harness ready', 'protocol': 1})}\r\nPING\r\n".encode()

    async def look() -> str:
        if not await there():
            return _nobody(address)
        try:
            async with asyncio.timeout(LOOK_WITHIN_S):
                reader, writer = await asyncio.open_connection(*address)
                try:
                    await reader.readline()
                    writer.write(hello)
                    answer = (await reader.readline()).decode(errors="replace").strip()
                finally:
                    writer.close()
        except TimeoutError:
            return "the broker did not answer"
        except OSError as error:
            return f"{address[0]}:{address[1]}: {error.strerror or error}"
        return "" if answer == "PONG" else answer or "the broker closed the connection"

    return look


def all_of(*looks: Look) -> Look:
    """Each, in order; what the first one that is not ready saw."""

    async def look() -> str:
        for one in looks:
            if seen := await one():
                return seen
        return ""

    return look
