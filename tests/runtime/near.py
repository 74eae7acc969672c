"""Dials links as their sources do. A link of a run in containers is dialled from inside its hub's network namespace.

From this machine there is only what is published, and that passes on neither a refusal nor a reset.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import socket
import threading
from pathlib import Path

from harness.runtime._runtime import SystemRuntime
from harness.runtime.containers import Containers
from harness.runtime.contract import Address

_hubs: dict[str, int] = {}
"""By the address of theirs that a source dials: a process in that hub's namespace."""


def know(runtime: SystemRuntime) -> None:
    """From now on its links can be dialled."""
    if isinstance(runtime, Containers):
        for name in runtime._names:
            _hubs[runtime._address(name, 2)] = runtime._hub._pid


async def connected(to: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection, as its source would have it. Raises OSError."""
    pid = _hubs.get(to[0])
    if pid is None:
        return await asyncio.open_connection(*to)
    dialled = _socket_in(Path(f"/proc/{pid}/ns/net"))
    try:
        dialled.setblocking(False)
        await asyncio.get_running_loop().sock_connect(dialled, to)
        return await asyncio.open_connection(sock=dialled)
    except BaseException:
        dialled.close()
        raise


def _socket_in(namespace: Path) -> socket.socket:
    """A socket of that network namespace: made in a thread that enters it, and ends."""
    made: list[socket.socket | OSError] = []

    def make() -> None:
        fd = os.open(namespace, os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(fd, 0):
                made.append(OSError(ctypes.get_errno(), "setns"))
            else:
                made.append(socket.socket())
        finally:
            os.close(fd)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    (found,) = made
    if isinstance(found, OSError):
        raise found
    return found
