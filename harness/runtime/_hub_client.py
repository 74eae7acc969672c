"""Our side of the hub: its container's agent, told by JSON lines what to do, and the proxies that live there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from itertools import count
from time import monotonic_ns
from typing import Any

from harness.errors import HarnessError, HistoryError, ProxyError, StartError, why
from harness.runtime import _nft, _proc
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
        self._up = asyncio.Event()
        self.address = ""
        """The one of its addresses to which the engine's forwarder passes on what comes to its published ports."""

    async def connect(self, way: Address, token: str, pid: int, logs: Callable[[], Awaitable[str]]) -> None:
        """`pid`: the agent's process on this machine; `logs`: what it printed. Raises StartError: no answer in time."""
        self._pid, self._way, self._token, self._logs = pid, way, token, logs
        try:
            async with asyncio.timeout(CONNECTS_WITHIN_S):
                while self._reading is None:
                    with suppress(OSError):
                        reader, self._writer, hello = await self._dial("orders")
                        self.address = hello["hello"]
                        self._reading = asyncio.get_running_loop().create_task(self._read(reader))
                        self._up.set()
                        return
                    await asyncio.sleep(LOOKS_EVERY_S)
        except TimeoutError as error:
            lines = await logs()
            raise StartError(
                f"the hub did not answer at {way[0]}:{way[1]} in {CONNECTS_WITHIN_S:g} s\n  its last lines:\n"
                f"    {lines or '(none)'}",
                where="hub",
                fix="containers must run on this machine; else use --runtime processes",
            ) from error

    async def beside(self, module: str, folder: str, owner: tuple[int, int], arguments: Sequence[str]) -> HubBeside:
        """Starts a process there, once there is a hub. Raises HarnessError."""
        await self._up.wait()
        wanted = {"module": module, "folder": folder, "owner": owner, "arguments": arguments}
        try:
            reader, writer, hello = await self._dial(wanted)
        except OSError as error:
            said = await self._logs()
            raise HarnessError(f"{module} did not start: {why(error)}; the hub said:\n{said}", where="hub") from error
        return HubBeside(reader, writer, self._here(hello["pid"]), self._logs)

    async def listens(self, address: Address) -> bool:
        """Whether somebody accepts there, as the hub sees it."""
        try:
            return bool((await self.order("listens", address=address))["listens"])
        except (HarnessError, TimeoutError):
            return False

    async def _dial(self, what: object) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, JSON]:
        """A connection for that, and the agent's first word. Raises OSError, also where none comes."""
        reader, writer = await asyncio.open_connection(*self._way, limit=LONGEST_ANSWER)
        try:
            writer.write(json.dumps({"token": self._token, "for": what}).encode() + b"\n")
            async with asyncio.timeout(ANSWERS_WITHIN_S):
                word = await reader.readline()
            if not word:
                raise ConnectionResetError("the agent does not answer")
            return reader, writer, json.loads(word)
        except BaseException:
            writer.close()
            raise

    def _here(self, inner_pid: int) -> int:
        """The number on this machine of a process of the hub's; 0 where it is not to be seen."""
        return next((pid for pid in _proc.children(self._pid) if _proc.inner_pid(pid) == inner_pid), 0)

    async def order(self, do: str, **about: object) -> JSON:
        """Gives an order; its answer. Raises TimeoutError, or ProxyError in the agent's words."""
        if self._gone or self._writer is None:
            raise ProxyError("the hub is gone, and all proxies with it", where="hub")
        n = next(self._numbers)
        self._answers[n] = answer = asyncio.get_running_loop().create_future()
        self._writer.write(json.dumps({"n": n, "do": do, **about}).encode() + b"\n")
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
                raise ProxyError(found["message"], where=str(about.get("proxy", "hub")))

    async def start(self, name: str, api: Address, *, on_line: OnLine, on_exit: Callable[[Exit], None]) -> HubProxy:
        """See ProxyHost."""
        proxy = HubProxy(self, f"{name} #{next(self._numbers)}", on_line, on_exit)
        self._proxies[proxy.name] = proxy
        answer = await self.order("start", proxy=proxy.name, argv=arguments(TOXIPROXY, api), env=LOGS_ALL)
        proxy.found(self._here(answer["pid"]))
        return proxy

    # ---- what is asked of it ----

    async def ask(self, api: Address, method: str, path: str, body: object, within_s: float) -> tuple[int, bytes]:
        """See ProxyHost."""
        try:
            answer = await self.order("ask", api=api, method=method, path=path, body=body, within_s=within_s)
        except ProxyError as error:
            raise ConnectionResetError(error.what) from error
        match answer:
            case {"timeout": True}:
                raise TimeoutError
            case {"failed": str(failed)}:
                raise ConnectionResetError(failed)
        return int(answer["status"]), str(answer["body"]).encode()

    async def states(self, ends: Sequence[Ends]) -> Mapping[Ends, str]:
        """See Runtime.socket_states."""
        try:
            answer = await self.order("states", ends=ends)
        except HarnessError as error:
            raise OSError(error.what) from error
        return {(local, remote): state for local, remote, state in answer["states"]}

    def can_lose(self) -> None:
        """See ProxyHost."""
        _nft.check()

    async def lose(self, port: int, share: float, ways: Sequence[Way]) -> None:
        """See ProxyHost. The table is the hub's own, and goes with it."""
        await _nft.lose(_table(port), port, share, ways, where=self._network)

    async def lost(self, port: int) -> Lost:
        """See ProxyHost."""
        return await _nft.lost(_table(port), where=self._network)

    async def whole(self, port: int) -> None:
        """See ProxyHost."""
        await asyncio.to_thread(_nft.remove, _table(port), where=self._network)

    @property
    def _network(self) -> _nft.Where:
        return ("nsenter", f"--net=/proc/{self._pid}/ns/net")

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


def _table(port: int) -> str:
    return f"nats_harness_{port}"


class HubBeside:
    """contract.Beside in the hub's container."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        pid: int,
        logs: Callable[[], Awaitable[str]],
    ) -> None:
        self.reader, self.writer, self.pid, self._logs = reader, writer, pid, logs
        self._process = _proc.identity(pid)

    async def last_words(self) -> str:
        """See Beside."""
        return await self._logs()

    async def close(self, *, within_s: float) -> None:
        """See Beside. Where it does not end by then it ends with the hub."""
        self.writer.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self._process is not None and _proc.alive(self._process):
                    await asyncio.sleep(LOOKS_EVERY_S)


class HubProxy:
    """ProxyProcess in the hub's container."""

    def __init__(self, hub: Hub, name: str, on_line: OnLine, on_exit: Callable[[Exit], None]) -> None:
        self.name, self._hub, self._on_line, self._on_exit = name, hub, on_line, on_exit
        self.ended: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._identity = _proc.Identity(0, 0)

    def found(self, pid: int) -> None:
        """This process of this machine it is. Raises StartError where there is none, though it has not ended."""
        identity = _proc.identity(pid)
        if identity is not None:
            self._identity = identity
        elif self.alive:
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
        return int((await self._hub.order("stop", proxy=self.name))["t_ns"])

    async def go_on(self, *, alone: bool) -> int:
        """See ProxyProcess."""
        return int((await self._hub.order("go on", proxy=self.name))["t_ns"])

    async def kill(self) -> Exit:
        """See ProxyProcess."""
        if self.alive:
            await self._hub.order("kill", proxy=self.name)
        return await asyncio.shield(self.ended)

    def close(self) -> None:
        """See ProxyProcess."""

    async def sockets(self, ports: Collection[int]) -> list[Socket]:
        """See ProxyProcess."""
        answer = await self._hub.order("sockets", proxy=self.name, ports=sorted(ports))
        return [Socket(*found) for found in answer["sockets"]]

    async def linger_0(self, ports: Collection[int]) -> None:
        """See ProxyProcess."""
        await self._hub.order("linger 0", proxy=self.name, ports=sorted(ports))

    def heard(self, t_ns: int, text: str) -> None:
        """It printed a line."""
        with suppress(HistoryError):
            self._on_line(t_ns, text)

    def over(self, end: Exit) -> None:
        """It has ended."""
        if not self.ended.done():
            self.ended.set_result(end)
            self._on_exit(end)
