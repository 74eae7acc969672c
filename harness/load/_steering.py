"""How the runner steers a load: a few words, told and answered.

    runner -> load    {"do": "configure", "config": ...}, {"do": "start", "times": 1.0, ...}, {"do": "stop"},
                      {"do": "burst", "times": 5.0, "seconds": 2.0}, {"do": "final"}
    load -> runner    {"is": "ready", "t_ns": ...}, and so "configured", "started", "bursting", "stopped", "finished"

They travel as JSON lines over an inherited socket, and not as a file: the configuration is known only once the system
runs, while Locust takes seconds to start, and it holds secrets. Where several processes carry the load, Locust's master
has that socket, and `Crew` passes each word on to its workers, in Locust's own messages. The state of the work is read
from the history, never from these messages.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

from harness.history.clock import now_ns
from harness.load._config import LONGEST_MESSAGE, LoadConfig

Message = dict[str, Any]

MESSAGE = "nats-harness"
"""The type of Locust's messages that carry our words."""
ORPHANED = 3
"""The exit code of a load whose runner went away."""
WORKER_LOST = 4
"""The exit code of a master one of whose workers ended before its time."""
_LOOK_S = 0.05
_SOON_NS = 20_000_000
"""Arrivals of several processes begin so long after the last was ready: by then each has got its message."""


class Channel(Protocol):
    """The load's end of the steering."""

    async def next(self) -> Message:
        """The next command."""
        ...

    def tell(self, word: str, **more: object) -> None:
        """Says that it is now so."""
        ...

    async def close(self) -> None:
        """Sends what was told, and ends."""
        ...


class SocketChannel:
    """Over the socket to the runner. Where the runner goes away the process ends at once."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._commands: asyncio.Queue[Message] = asyncio.Queue()
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def open(cls, control: socket.socket) -> SocketChannel:
        """The channel over an inherited socket."""
        return cls(*await asyncio.open_unix_connection(sock=control, limit=LONGEST_MESSAGE))

    async def next(self) -> Message:
        """See Channel."""
        return await self._commands.get()

    def tell(self, word: str, **more: object) -> None:
        """See Channel."""
        self._writer.write(json.dumps({"is": word, "t_ns": now_ns(), **more}).encode() + b"\n")

    async def close(self) -> None:
        """See Channel."""
        self._listening.cancel()
        await self._writer.drain()
        self._writer.close()

    async def _listen(self) -> None:
        with suppress(ConnectionError):
            while line := await self._reader.readline():
                self._commands.put_nowait(json.loads(line))
        # Nobody judges what comes now, and the work must end. All that was recorded is in the files.
        os._exit(ORPHANED)


class MessageChannel:
    """Over Locust's messages, in a worker: `send` sends one to the master; `received` is called with each of its.

    `proof` shows the master that this is a worker of its own: anybody on the machine can connect to its port.
    """

    def __init__(self, send: Callable[[Message], None], proof: str) -> None:
        self._send, self._proof = send, proof
        self._loop = asyncio.get_running_loop()
        self._commands: asyncio.Queue[Message] = asyncio.Queue()

    def received(self, message: Message) -> None:
        """Called by Locust, in a greenlet of its own: the loop must be woken."""
        self._loop.call_soon_threadsafe(self._commands.put_nowait, message)

    async def next(self) -> Message:
        """See Channel."""
        return await self._commands.get()

    def tell(self, word: str, **more: object) -> None:
        """See Channel."""
        self._send({"is": word, "t_ns": now_ns(), "proof": self._proof, **more})

    async def close(self) -> None:
        """See Channel."""


class Crew:
    """Locust's workers, as one load: in the master, between the runner's channel and them.

    Worker number `part` is told what `LoadConfig.for_part` says. Where one of them ends before the load does, so does
    the master: the rest of the load would not be the load that was asked for.
    """

    def __init__(self, send: Callable[[Message, str], None], pids: Sequence[int], proof: str) -> None:
        """`send` sends a message to the worker of that name; `pids` are the children that are to be workers."""
        self._send, self._pids, self._proof = send, pids, proof
        self._loop = asyncio.get_running_loop()
        self._heard: asyncio.Queue[tuple[str, Message]] = asyncio.Queue()
        self._workers: dict[str, int] = {}  # name: part

    def received(self, worker: str, message: Message) -> None:
        """Called by Locust, in a greenlet of its own: the loop must be woken."""
        self._loop.call_soon_threadsafe(self._heard.put_nowait, (worker, message))

    async def serve(self, channel: Channel) -> None:
        """Passes on each word of the runner, and each answer once all workers gave it, until `final` is answered."""
        watching = asyncio.create_task(self._watch())
        await self._all("ready")
        channel.tell("ready", pids=self._pids)
        word = ""
        while word != "finished":
            command = await channel.next()
            match command["do"]:
                case "configure":
                    config = LoadConfig.from_json(command["config"])
                    for worker, part in self._workers.items():
                        told = config.for_part(part, len(self._workers)).to_json()
                        self._send({"do": "configure", "config": told}, worker)
                    word = "configured"
                case "start":
                    self._tell({"do": "connect"})
                    await self._all("connected")
                    self._tell({**command, "start_ns": now_ns() + _SOON_NS})
                    word = "started"
                case "burst":
                    self._tell({**command, "start_ns": now_ns() + _SOON_NS})
                    word = "bursting"
                case "stop":
                    self._tell(command)
                    word = "stopped"
                case _:
                    watching.cancel()  # they end now
                    self._tell(command)
                    word = "finished"
            await self._all(word)
            channel.tell(word)
        await channel.close()

    def _tell(self, command: Message) -> None:
        for worker in self._workers:
            self._send(command, worker)

    async def _all(self, word: str) -> None:
        """Waits until each worker has said the word; by the first one that they say they are known."""
        said: dict[str, None] = {}
        while len(said) < len(self._pids):
            worker, message = await self._heard.get()
            if message.get("proof") != self._proof:
                continue
            if message["is"] != word:
                raise RuntimeError(f"a worker says it is {message['is']}, not {word}")
            said[worker] = None
        if not self._workers:
            self._workers = {worker: part for part, worker in enumerate(said)}

    async def _watch(self) -> None:
        """Ends the process where a worker has ended; Locust itself would take seconds to notice."""
        while True:
            for pid in self._pids:
                ended, status = os.waitpid(pid, os.WNOHANG)  # noqa: ASYNC222 (it does not wait)
                if ended:
                    code = os.waitstatus_to_exitcode(status)
                    how = f"exit code {code}" if code >= 0 else f"signal {-code}"
                    print(f"worker {pid} of the load ended ({how})", file=sys.stderr, flush=True)
                    os._exit(WORKER_LOST)  # the others die with us
            await asyncio.sleep(_LOOK_S)
