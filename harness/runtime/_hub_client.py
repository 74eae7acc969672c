"""Our side of the hub: its container's agent, told by JSON lines what to do, and the proxies that live there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from itertools import count
from time import monotonic_ns
from typing import Any

from harness.errors import HarnessError, HistoryError, ProxyError, StartError, UsageError
from harness.runtime import _proc
from harness.runtime._child import Exit
from harness.runtime._hosting import LOGS_ALL, OnLine, arguments
from harness.runtime.contract import Address, Ends, Lost, Socket, Way

CONNECTS_WITHIN_S = 10.0
LOOKS_EVERY_S = 0.02
ANSWERS_WITHIN_S = 5.0
TOXIPROXY = "/toxiproxy-server"
"""Where the hub's image has it."""
LONGEST_ANSWER = 16 << 20
KILLED = -9

JSON = Mapping[str, Any]


class Hub:
    """ProxyHost in the hub's container, once it is connected. When that connection ends, all its proxies are dead."""

    def __init__(self) -> None:
        self._pid = 0
        self._numbers = count()
        self._answers: dict[int, asyncio.Future[JSON]] = {}
        self._proxies: dict[str, HubProxy] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._gone = False

    async def connect(self, address: Address, token: str, pid: int) -> None:
        """`pid`: the agent's process on this machine. Raises StartError where it does not answer in time."""
        self._pid = pid
        try:
            async with asyncio.timeout(CONNECTS_WITHIN_S):
                while self._reading is None:
                    with suppress(OSError):
                        reader, writer = await asyncio.open_connection(*address, limit=LONGEST_ANSWER)
                        self._writer = writer
                        writer.write(token.encode() + b"\n")
                        if await reader.readline():
                            self._reading = asyncio.get_running_loop().create_task(self._read(reader))
                            return
                        writer.close()
                    await asyncio.sleep(LOOKS_EVERY_S)
        except TimeoutError as error:
            raise StartError(
                f"the hub did not answer at {address[0]}:{address[1]} in {CONNECTS_WITHIN_S:g} s",
                where="hub",
                fix="containers must run on this machine, in networks that it reaches; else use --runtime processes",
            ) from error

    async def ask(self, do: str, **order: object) -> JSON:
        """Gives an order; its answer. Raises TimeoutError, or ProxyError in the agent's words."""
        if self._gone or self._writer is None:
            raise ProxyError("the hub is gone, and all proxies with it", where="hub")
        n = next(self._numbers)
        self._answers[n] = answer = asyncio.get_running_loop().create_future()
        self._writer.write(json.dumps({"n": n, "do": do, **order}).encode() + b"\n")
        try:
            async with asyncio.timeout(ANSWERS_WITHIN_S):
                found: JSON = await answer
        finally:
            del self._answers[n]
        match found.get("error"):
            case None:
                return found
            case "TimeoutError":
                raise TimeoutError(found["message"])
            case "StartError":
                raise StartError(found["message"], where="hub")
            case _:
                raise ProxyError(found["message"], where=str(order.get("proxy", "hub")))

    async def start(self, name: str, api: Address, *, on_line: OnLine, on_exit: Callable[[Exit], None]) -> HubProxy:
        """See ProxyHost."""
        proxy = HubProxy(self, f"{name} #{next(self._numbers)}", on_line, on_exit)
        self._proxies[proxy.name] = proxy
        answer = await self.ask("start", proxy=proxy.name, argv=arguments(TOXIPROXY, api), env=LOGS_ALL)
        await proxy.found(self._pid, answer["pid"])
        return proxy

    async def states(self, ends: Sequence[Ends]) -> Mapping[Ends, str]:
        """See Runtime.socket_states."""
        try:
            answer = await self.ask("states", ends=ends)
        except HarnessError as error:
            raise OSError(error.what) from error
        return {(local, remote): state for local, remote, state in answer["states"]}

    def can_lose(self) -> None:
        """See ProxyHost."""
        raise UsageError(
            "packets are lost in the process runtime alone, for now", fix="use --runtime processes, or another fault"
        )

    async def lose(self, port: int, share: float, ways: Sequence[Way]) -> None:
        """See ProxyHost."""
        self.can_lose()

    async def lost(self, port: int) -> Lost:
        """See ProxyHost."""
        return Lost(0, 0)

    async def whole(self, port: int) -> None:
        """See ProxyHost."""

    def close(self) -> None:
        """Ends the connection, and so the agent and every proxy."""
        if self._writer is not None:
            self._writer.close()
        if self._reading is not None:
            self._reading.cancel()
        self._end()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with suppress(OSError):
            while line := await reader.readline():
                self._heard(json.loads(line))
        self._end()

    def _heard(self, message: JSON) -> None:
        if "proxy" not in message:
            answer = self._answers.get(message["n"])
            if answer is not None and not answer.done():
                answer.set_result(message)
        elif "line" in message:
            self._proxies[message["proxy"]].heard(message["t_ns"], message["line"])
        else:
            self._proxies[message["proxy"]].over(Exit(message["t_ns"], message["code"]))

    def _end(self) -> None:
        if self._gone:
            return
        self._gone = True
        for answer in self._answers.values():
            if not answer.done():
                answer.set_result({"error": "ProxyError", "message": "the hub is gone, and all proxies with it"})
        for proxy in self._proxies.values():
            proxy.over(Exit(monotonic_ns(), KILLED))


class HubProxy:
    """ProxyProcess in the hub's container."""

    def __init__(self, hub: Hub, name: str, on_line: OnLine, on_exit: Callable[[Exit], None]) -> None:
        self.name, self._hub, self._on_line, self._on_exit = name, hub, on_line, on_exit
        self.ended: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._identity = _proc.Identity(0, 0)

    async def found(self, hub_pid: int, inner_pid: int) -> None:
        """Finds out which process of this machine it is, by its number in the hub's namespace."""
        for pid in _proc.children(hub_pid):
            identity = _proc.identity(pid)
            if identity is not None and _proc.inner_pid(pid) == inner_pid:
                self._identity = identity
                return
        if not self.alive:
            return
        raise StartError("its process is not to be seen on this machine", where=self.name)

    @property
    def pid(self) -> int:
        """See ProxyProcess."""
        return self._identity.pid

    @property
    def alive(self) -> bool:
        """See ProxyProcess."""
        return not self.ended.done()

    def lives(self) -> bool:
        """See ProxyProcess."""
        return _proc.alive(self._identity)

    def states(self) -> str:
        """See ProxyProcess."""
        return _proc.task_states(self.pid)

    async def stop(self, *, alone: bool) -> int:
        """See ProxyProcess."""
        return int((await self._hub.ask("stop", proxy=self.name))["t_ns"])

    async def go_on(self, *, alone: bool) -> int:
        """See ProxyProcess."""
        return int((await self._hub.ask("go on", proxy=self.name))["t_ns"])

    async def kill(self) -> Exit:
        """See ProxyProcess."""
        if self.alive:
            await self._hub.ask("kill", proxy=self.name)
        return await asyncio.shield(self.ended)

    def close(self) -> None:
        """See ProxyProcess."""

    async def sockets(self, ports: Collection[int]) -> list[Socket]:
        """See ProxyProcess."""
        answer = await self._hub.ask("sockets", proxy=self.name, ports=sorted(ports))
        return [Socket(*found) for found in answer["sockets"]]

    async def linger_0(self, ports: Collection[int]) -> None:
        """See ProxyProcess."""
        await self._hub.ask("linger 0", proxy=self.name, ports=sorted(ports))

    def heard(self, t_ns: int, text: str) -> None:
        """It printed a line."""
        with suppress(HistoryError):
            self._on_line(t_ns, text)

    def over(self, end: Exit) -> None:
        """It has ended."""
        if not self.ended.done():
            self.ended.set_result(end)
            self._on_exit(end)
