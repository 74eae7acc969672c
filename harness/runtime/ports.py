"""What only one run of a machine may have at a time: ports, and the starting of a system.

Ports lie outside the range from which the kernel gives out ports of its own (ip_local_port_range), so that a node which
is down for a while finds its port free again. A reservation is a lock on a file named after the port; it dies with its
holder, so a file that a dead run left is no hindrance.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from harness.errors import Missing
from harness.runtime.contract import Recorder
from harness.runtime.journal import Journal, take_lock

LOWEST = 10_240
HIGHEST = 65_535
LOOPBACK = "127.0.0.1"
LOCK_EVERY_S = 0.03
TRIES = 1000
"""How many taken ports are met before the machine is said to be full."""


class Ports:
    """The ports of one run."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._held: dict[int, tuple[int, Path]] = {}

    def reserve(self, number: int) -> list[int]:
        """That many ports that can be bound on loopback now and that no other run has; released by `release`.

        Raises Missing when the machine has not so many.
        """
        folder = machine_folder()
        candidates = _candidates(number + TRIES)
        ports: list[int] = []
        while len(ports) < number:
            batch = [candidates.pop() for _ in range(min(number - len(ports), len(candidates)))]
            if not batch:
                raise _none_free(number)
            self._journal.locks([folder / str(port) for port in batch])
            ports += [port for port in batch if self._take(port, folder / str(port))]
        return ports

    def release(self) -> None:
        """Gives all back."""
        while self._held:
            _, (fd, path) = self._held.popitem()
            path.unlink(missing_ok=True)
            os.close(fd)

    def _take(self, port: int, path: Path) -> bool:
        fd = take_lock(path)
        if fd is None:
            return False
        if not can_bind(port):
            path.unlink()
            os.close(fd)
            return False
        self._held[port] = fd, path
        return True


@asynccontextmanager
async def start_lock(recorder: Recorder) -> AsyncIterator[None]:
    """Only one system of this machine starts at a time; how long it was waited for is a phase of its own."""
    from_ns = time.monotonic_ns()
    path = machine_folder() / "start"
    while (fd := take_lock(path)) is None:
        await asyncio.sleep(LOCK_EVERY_S)
    try:
        to_ns = time.monotonic_ns()
        recorder.line("phase", t_ns=to_ns, name="start lock", from_ns=from_ns, to_ns=to_ns)
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(fd)


def free_port() -> int:
    """A port that can be bound on loopback now; it is not reserved. Raises Missing where there is none."""
    for port in _candidates(TRIES):
        if can_bind(port):
            return port
    raise _none_free(1)


def can_bind(port: int) -> bool:
    """Whether a server could listen on this port of loopback now."""
    with socket.socket() as probe:
        # As servers do it: what an earlier connection left in TIME_WAIT is no hindrance.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def machine_folder() -> Path:
    """The folder of this user's locks, the same for all runs on the machine."""
    folder = Path(tempfile.gettempdir()) / f"nats-harness-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise Missing("the folder of port locks is another user's", where=str(folder), fix="remove it, or set TMPDIR")
    return folder


def _none_free(number: int) -> Missing:
    return Missing(
        f"there are no {number} free ports between {LOWEST} and {HIGHEST} outside the kernel's own range",
        where="/proc/sys/net/ipv4/ip_local_port_range",
        fix="narrow that range, or end what holds the ports",
    )


def _candidates(number: int) -> list[int]:
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    ports = [*range(LOWEST, low), *range(max(high + 1, LOWEST), HIGHEST + 1)]
    return random.Random().sample(ports, min(number, len(ports)))
