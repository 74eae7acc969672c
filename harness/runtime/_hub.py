"""Inside the hub's container: starts the links' proxies, and does to them what our side orders.

    python3 -m harness.runtime._hub PORT          the token is in NATS_HARNESS_HUB

The first line of each connection is {"token", "for"}. One is for orders: these and their answers are JSON lines. An
order is {"n", "do", ...}, its answer {"n", ...} or {"n", "error", "message"}; lines and ends of proxies come as they
happen. When that connection goes, so does this process, and with it, as the first of its namespace, every proxy. Any
other is handed to a process of the harness' own, the probe, which is started for it and stands beside the proxies.
Standard library alone: the container has no other package.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.runtime import _resets, socket_states, sockets
from harness.runtime._beside import command
from harness.runtime._child import Child, Exit
from harness.runtime._http import request
from harness.runtime._proc import Identity
from harness.runtime._ready import listens

TOKEN_VARIABLE = "NATS_HARNESS_HUB"
WAITS_S = 30.0
"""For its client, after which it ends."""
LONGEST_ORDER = 1 << 20

Order = Mapping[str, Any]


class NoJournal:
    """Here nothing is left behind: it all goes with the container."""

    def starting(self, name: str, argv: Sequence[str]) -> None:
        """See Journal."""

    def process(self, name: str, process: Identity) -> None:
        """See Journal."""


class Hub:
    """The proxies of one run, by their names."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._proxies: dict[str, Child] = {}
        self._orders: dict[str, Callable[[Order], Awaitable[Mapping[str, Any]]]] = {
            "start": self._start,
            "stop": self._stop,
            "go on": self._go_on,
            "kill": self._kill,
            "sockets": self._sockets,
            "linger 0": self._linger_0,
            "states": self._states,
            "ask": self._ask,
            "listens": self._listens,
        }

    async def carry_out(self, order: Order) -> None:
        """Does one thing, and answers."""
        try:
            answer = await self._orders[order["do"]](order)
        except (HarnessError, OSError) as error:  # TimeoutError is an OSError
            message = getattr(error, "what", None) or getattr(error, "strerror", None) or str(error)
            answer = {"error": type(error).__name__, "message": message}
        self._tell(n=order["n"], **answer)

    async def _start(self, order: Order) -> Mapping[str, Any]:
        name = order["proxy"]

        def line(t_ns: int, text: str) -> None:
            self._tell(proxy=name, t_ns=t_ns, line=text)

        def end(found: Exit) -> None:
            self._tell(proxy=name, t_ns=found.t_ns, code=found.code)

        child = Child(
            name,
            order["argv"],
            env={**os.environ, **order["env"]},
            cwd=Path("/"),
            journal=NoJournal(),
            on_line=line,
            on_exit=end,
        )
        self._proxies[name] = child
        return {"pid": child.pid}

    async def _stop(self, order: Order) -> Mapping[str, Any]:
        return {"t_ns": await self._proxies[order["proxy"]].stop(alone=True)}

    async def _go_on(self, order: Order) -> Mapping[str, Any]:
        return {"t_ns": await self._proxies[order["proxy"]].go_on(alone=True)}

    async def _kill(self, order: Order) -> Mapping[str, Any]:
        child = self._proxies.pop(order["proxy"])
        await child.kill()
        child.close()
        return {}

    async def _sockets(self, order: Order) -> Mapping[str, Any]:
        pid = self._proxies[order["proxy"]].pid
        return {"sockets": await asyncio.to_thread(sockets.owned, pid, order["ports"])}

    async def _linger_0(self, order: Order) -> Mapping[str, Any]:
        pid = self._proxies[order["proxy"]].pid
        return {"count": await asyncio.to_thread(_resets.linger_0, pid, order["ports"])}

    async def _states(self, order: Order) -> Mapping[str, Any]:
        found = socket_states.states((local, remote) for local, remote in order["ends"])
        return {"states": [[*ends, state] for ends, state in found.items()]}

    async def _ask(self, order: Order) -> Mapping[str, Any]:
        """A request to a proxy's API, which listens in here alone. What comes of it is an answer, also a failure."""
        address, method, path = order["api"], order["method"], order["path"]
        try:
            status, body = await request(method, address, path, order["body"], within_s=order["within_s"])
        except TimeoutError:
            return {"timeout": True}
        except OSError as error:
            return {"failed": error.strerror or str(error)}
        return {"status": status, "body": body.decode()}

    async def _listens(self, order: Order) -> Mapping[str, Any]:
        host, port = order["address"]
        return {"listens": await listens((host, port))}

    def _tell(self, **message: object) -> None:
        self._writer.write(json.dumps(message).encode() + b"\n")


async def serve(port: int, token: str) -> None:
    """Takes orders until the client is gone."""
    served, over = asyncio.Event(), asyncio.Event()
    beside: list[asyncio.subprocess.Process] = []

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hello = _hello(await reader.readline())
        if hello.get("token") != token:
            writer.close()
        elif hello["for"] == "orders":
            served.set()
            try:
                await _orders(reader, writer)
            finally:
                over.set()
        else:
            try:
                beside.append(await _hand_over(writer, hello["for"]))
            finally:
                writer.close()

    server = await asyncio.start_server(client, "0.0.0.0", port, limit=LONGEST_ORDER)
    async with server:
        async with asyncio.timeout(WAITS_S):
            await served.wait()
        await over.wait()


def _hello(line: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


async def _orders(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    hub = Hub(writer)
    hub._tell(hello=writer.get_extra_info("sockname")[0])
    running = set()
    while line := await reader.readline():
        task = asyncio.create_task(hub.carry_out(json.loads(line)))
        running.add(task)
        task.add_done_callback(running.discard)


async def _hand_over(writer: asyncio.StreamWriter, wanted: Mapping[str, Any]) -> asyncio.subprocess.Process:
    """Starts a process with this connection as its control, and tells its number first."""
    writer.transport.pause_reading()  # type: ignore[attr-defined]  # what comes now is the process' own
    fd = os.dup(writer.get_extra_info("socket").fileno())
    user, group = wanted["owner"]
    try:
        process = await asyncio.create_subprocess_exec(
            *command(sys.executable, wanted["module"], fd, wanted["folder"], wanted["arguments"]),
            pass_fds=(fd,),
            stdin=asyncio.subprocess.DEVNULL,
            user=user,
            group=group,
            extra_groups=[],
        )
    finally:
        os.close(fd)
    writer.write(json.dumps({"pid": process.pid}).encode() + b"\n")
    await writer.drain()
    return process


def main() -> None:
    """The process."""
    (port,) = sys.argv[1:]
    try:
        asyncio.run(serve(int(port), os.environ.pop(TOKEN_VARIABLE)))
    finally:
        os._exit(0)  # without waiting for anything: the kernel ends the rest


if __name__ == "__main__":
    main()
