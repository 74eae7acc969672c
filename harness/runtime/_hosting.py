"""Where a link's proxy lives: beside us as a child, or in the hub's container. What a link does to it is the same."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from time import monotonic_ns
from typing import Protocol

from harness.errors import ProxyError
from harness.runtime import _nft, _proc, _resets, sockets
from harness.runtime._child import Child, Exit
from harness.runtime._http import request
from harness.runtime.contract import Address, Lost, Socket, Way
from harness.runtime.journal import Journal

OnLine = Callable[[int, str], None]
"""Called in the loop with t_ns of arrival and a line of output."""


class ProxyProcess(Protocol):
    """One toxiproxy process, from its start to its end."""

    @property
    def pid(self) -> int:
        """Its number on this machine."""

    @property
    def alive(self) -> bool:
        """Whether its end has not been seen yet."""

    @property
    def ended(self) -> asyncio.Future[Exit]:
        """How it ended, once that was seen."""

    def lives(self) -> bool:
        """Whether it runs or is stopped at this very moment."""

    def states(self) -> str:
        """The states of its tasks, each once, sorted; empty when it is gone."""

    async def stop(self, *, alone: bool) -> int:
        """SIGSTOP; t_ns at which all its tasks were seen stopped. Raises TimeoutError, HarnessError when it is dead."""

    async def go_on(self, *, alone: bool) -> int:
        """SIGCONT; t_ns at which no task of it was seen stopped any more. Raises TimeoutError."""

    async def kill(self) -> Exit:
        """SIGKILL; waits until it is dead."""

    def close(self) -> None:
        """Lets go of what is dead. Does not end it."""

    async def sockets(self, ports: Collection[int]) -> list[Socket]:
        """The TCP sockets that it has open, with one of these ports at either end; not those that listen."""

    async def linger_0(self, ports: Collection[int]) -> None:
        """Whatever it has open with one of these ports at either end will be reset when it closes it.

        Raises ProxyError where we may not, or it is dead.
        """


class ProxyHost(Protocol):
    """Where proxies are started."""

    async def start(self, name: str, api: Address, *, on_line: OnLine, on_exit: Callable[[Exit], None]) -> ProxyProcess:
        """Starts a toxiproxy whose API listens on `api`. Raises StartError."""

    async def ask(self, api: Address, method: str, path: str, body: object, within_s: float) -> tuple[int, bytes]:
        """One request to a proxy's API; status and body. Raises TimeoutError, or OSError where there is no answer."""

    def can_lose(self) -> None:
        """Raises UsageError where packets cannot be lost."""

    async def lose(self, port: int, share: float, ways: Sequence[Way]) -> None:
        """Drops a share of the TCP packets to, or from, the port that a source dials. Raises HarnessError."""

    async def lost(self, port: int) -> Lost:
        """How many packets that rule has seen and dropped; none where there is no rule."""

    async def whole(self, port: int) -> None:
        """Drops nothing any more, also where `lose` never ended."""


def arguments(binary: str, api: Address) -> list[str]:
    """The command of a proxy."""
    return [binary, "-host", api[0], "-port", str(api[1])]


LOGS_ALL = {"LOG_LEVEL": "trace"}
"""What makes a proxy tell each connection that it accepts and closes."""


class ChildProxy(Child):
    """ProxyProcess as a child of ours."""

    def lives(self) -> bool:
        """See ProxyProcess."""
        return _proc.alive(self.identity)

    def states(self) -> str:
        """See ProxyProcess."""
        return _proc.task_states(self.pid)

    async def sockets(self, ports: Collection[int]) -> list[Socket]:
        """See ProxyProcess."""
        return await asyncio.to_thread(sockets.owned, self.pid, ports)

    async def linger_0(self, ports: Collection[int]) -> None:
        """See ProxyProcess."""
        try:
            await asyncio.to_thread(_resets.linger_0, self.pid, ports)
        except OSError as error:
            raise ProxyError(f"its connections cannot be reset: {error.strerror}", where=self.name) from error


class ChildProxies:
    """ProxyHost with children of ours."""

    def __init__(self, binary: Path, env: Mapping[str, str], journal: Journal) -> None:
        self._binary, self._env, self._journal = binary, {**env, **LOGS_ALL}, journal
        self._tables: dict[int, str] = {}

    async def start(self, name: str, api: Address, *, on_line: OnLine, on_exit: Callable[[Exit], None]) -> ChildProxy:
        """See ProxyHost."""
        return ChildProxy(
            f"proxy {name}",
            arguments(str(self._binary), api),
            env=self._env,
            cwd=Path("/"),
            journal=self._journal,
            on_line=on_line,
            on_exit=on_exit,
        )

    async def ask(self, api: Address, method: str, path: str, body: object, within_s: float) -> tuple[int, bytes]:
        """See ProxyHost."""
        return await request(method, api, path, body, within_s=within_s)

    def can_lose(self) -> None:
        """See ProxyHost."""
        _nft.check()

    async def lose(self, port: int, share: float, ways: Sequence[Way]) -> None:
        """See ProxyHost."""
        self._tables[port] = table = f"nats_harness_{os.getpid()}_{monotonic_ns()}"
        self._journal.nft(table)
        await _nft.lose(table, port, share, ways)

    async def lost(self, port: int) -> Lost:
        """See ProxyHost."""
        return await _nft.lost(self._tables[port]) if port in self._tables else Lost(0, 0)

    async def whole(self, port: int) -> None:
        """See ProxyHost."""
        if port in self._tables:
            await asyncio.to_thread(_nft.remove, self._tables[port])
            del self._tables[port]
