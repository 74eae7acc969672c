"""The probe's own process: numbered records over a link, both ways, and fresh connections. Started by `probe.Probe`.

    python -m harness.observe.probing FD FOLDER NONCE

FD is one end of a socket pair that carries orders and answers as JSON lines; when it ends, so does the process. Lines
of kind `probe` go to the history in FOLDER. A record is written when it is answered or can be no more, or at the stop.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic_ns
from typing import Any, Literal

from harness.errors import why
from harness.history.recorder import Recorder
from harness.observe import _http
from harness.observe._base import OWN_NAME
from harness.observe._own_ends import FRESH, LASTING, Ends, Own
from harness.runtime import _nats

RECORDS_EVERY_S = 0.01
REQUESTS_EVERY_S = 0.02
FRESH_EVERY_S = 0.1
FRESH_WITHIN_S = 2.0
FRESH_BESIDE_S = 0.5
"""Beside a fresh connection that was not answered for so long another is tried: a frozen link holds few of them."""
CONNECTS_WITHIN_S = 1.0
DIRECTLY_WITHIN_S = 0.1
"""A container that is down answers nothing, and the kernel asks again only after a second."""
AGAIN_EVERY_S = 0.003
OUTSTANDING = 64
"""Requests on one HTTP connection that may be unanswered; beyond that a record counts as sent, and waits."""
READY_AFTER = 10

Way = Literal["to", "from", "round", "fresh", "end"]
Keeper = Callable[[], Coroutine[None, None, None]]
Begins = Callable[[], None]


@dataclass(frozen=True)
class Order:
    """What to watch: `through` the proxy and `direct`, as (host, port); `path` is asked for by HTTP.

    A record has at least `size` bytes: of payload, or of a question; answers are as large as the service makes them.
    """

    fault: int
    link: tuple[str, str]
    kind: Literal["nats", "http"]
    through: tuple[str, int]
    direct: tuple[str, int]
    path: str = "/"
    size: int = 0
    login: dict[str, str] = field(default_factory=dict)


class Crossing(ABC):
    """Crosses one link until cancelled. `ready` is set after ten records were answered each way."""

    ways: tuple[Way, ...]
    every_s: float

    def __init__(self, order: Order, recorder: Recorder) -> None:
        self.order, self._recorder = order, recorder
        self.ends = Ends(order.through)
        self.ready = asyncio.Event()
        self._sent: dict[Way, int] = {}
        self._answered: dict[Way, int] = dict.fromkeys(self.ways, 0)
        self._pending: dict[Way, dict[int, tuple[int, bool]]] = {way: {} for way in self.ways}  # n -> sent_ns, old

    async def run(self) -> None:
        """Until cancelled; then what is still unanswered is recorded as such."""
        try:
            async with asyncio.TaskGroup() as group:
                for keep in self.keepers():
                    group.create_task(_again(keep))
                group.create_task(self._tick())
                group.create_task(self._refresh(group))
        finally:
            for way in self._pending:
                self.fail(way, "unanswered")

    async def open(self, own: Own) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection through the link. Raises OSError."""
        return await asyncio.open_connection(*self.order.through, local_addr=self.ends.next(own))

    @abstractmethod
    def keepers(self) -> list[Keeper]:
        """Coroutine functions, each of which makes one connection and holds it until it ends."""

    @abstractmethod
    def send(self, way: Way, n: int) -> str | None:
        """Sends record n; or why that cannot be."""

    @abstractmethod
    async def hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, begins: Begins) -> None:
        """Hears what a fresh connection's upstream answers to its end, and says when it begins. Raises OSError."""

    @property
    @abstractmethod
    def old(self) -> bool:
        """Are the connections still the first ones?"""

    def got(self, way: Way, n: int, got_ns: int) -> None:
        """Record n was answered."""
        sent = self._pending[way].pop(n, None)
        if sent is not None:
            self._write(way, n, sent[0], got_ns, old=sent[1])
            self._answered[way] += 1
            if min(self._answered.values()) >= READY_AFTER:
                self.ready.set()

    def lost(self, error: str) -> None:
        """The connection through the link ended."""
        self._write("end", self._number("end"), monotonic_ns(), None, error, old=self.old)

    def fail(self, way: Way, error: str) -> None:
        """Records of that way that are not answered by now never will be."""
        for n, (sent_ns, old) in self._pending[way].items():
            self._write(way, n, sent_ns, None, error, old=old)
        self._pending[way] = {}

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            for way in self.ways:
                n, sent_ns, old = self._number(way), monotonic_ns(), self.old
                self._pending[way][n] = (sent_ns, old)
                error = self.send(way, n)
                if error is not None:
                    del self._pending[way][n]
                    self._write(way, n, sent_ns, None, error, old=old)
            due = max(due + self.every_s, loop.time())
            await asyncio.sleep(due - loop.time())

    async def _refresh(self, group: asyncio.TaskGroup) -> None:
        last = None
        while True:
            if last is None or last.done():
                last, began = group.create_task(self._fresh()), monotonic_ns()
            elif monotonic_ns() - began > FRESH_BESIDE_S * 1e9:
                last = None
                continue
            await asyncio.sleep(FRESH_EVERY_S)

    async def _fresh(self) -> None:
        n, sent_ns, error = self._number("fresh"), monotonic_ns(), "unanswered"
        got_ns: int | None = None

        def begins() -> None:
            nonlocal got_ns
            got_ns = monotonic_ns()

        try:
            async with asyncio.timeout(FRESH_WITHIN_S):
                reader, writer = await self.open(FRESH)
                try:
                    # To its end: a proxy hangs that removes a toxic which has a piece of it for a client that is gone.
                    await self.hear(reader, writer, begins)
                finally:
                    writer.transport.abort()
        except OSError as problem:
            error = why(problem)
        finally:
            self._write("fresh", n, sent_ns, got_ns, error, old=False)

    def _number(self, way: Way) -> int:
        n = self._sent.get(way, 0)
        self._sent[way] = n + 1
        return n

    def _write(self, way: Way, n: int, sent_ns: int, got_ns: int | None, error: str = "", *, old: bool) -> None:
        about: dict[str, object] = {"fault": self.order.fault, "link": self.order.link, "way": way, "n": n, "old": old}
        if got_ns is None:
            about["error"] = error
        self._recorder.line("probe", t_ns=sent_ns, sent_ns=sent_ns, got_ns=got_ns, **about)


class NatsCrossing(Crossing):
    """Publishes through the link and hears it directly (`to`), and the other way about (`from`)."""

    ways = ("to", "from")
    every_s = RECORDS_EVERY_S

    def __init__(self, order: Order, recorder: Recorder) -> None:
        super().__init__(order, recorder)
        self._sides: dict[str, _nats.Connection] = {}
        self._errors: dict[str, str] = {}
        self._old = True
        self._subject = f"_INBOX.{recorder.nonce}.probe.{order.fault}.{'-'.join(order.link)}"

    def keepers(self) -> list[Keeper]:
        """The connection through the link, and the one that never crosses it."""
        return [
            lambda: self._keep("through", self.order.through, "from", CONNECTS_WITHIN_S),
            lambda: self._keep("direct", self.order.direct, "to", DIRECTLY_WITHIN_S),
        ]

    def send(self, way: Way, n: int) -> str | None:
        """Publishes record n."""
        for side in ("through", "direct"):
            if side not in self._sides:
                return f"{side}: {self._errors.get(side, 'not connected yet')}"
        payload = (b"%d" % n).ljust(self.order.size)
        self._sides["through" if way == "to" else "direct"].publish(f"{self._subject}.{way}", payload)
        return None

    async def hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, begins: Begins) -> None:
        """The server's greeting, a line."""
        if not await reader.read(1):
            raise ConnectionResetError("EOF")
        begins()
        await reader.readline()

    @property
    def old(self) -> bool:
        """Has neither connection ended?"""
        return self._old

    async def _keep(self, side: str, address: tuple[str, int], hears: Way, within_s: float) -> None:
        order = self.order
        connection = None
        try:
            connection = await _nats.connect(
                *address,
                name=OWN_NAME + "probe",
                login=order.login,
                within_s=within_s,
                local=self.ends.next(LASTING),
            )
            connection.subscribe(
                f"{self._subject}.{hears}", lambda heard: self.got(hears, int(heard.data), heard.got_ns)
            )
            await connection.flush(within_s=CONNECTS_WITHIN_S)
            self._sides[side] = connection
            self._errors[side] = await connection.lost()
            if side == "through":
                self.lost(self._errors[side])
            self._old = False
            self.fail(hears, self._errors[side])
        except OSError as error:
            self._errors[side] = why(error)
        finally:
            self._sides.pop(side, None)
            if connection is not None:
                connection.drop()


class HttpCrossing(Crossing):
    """Asks for one path over one connection, without waiting for the answers to the questions before (`round`)."""

    ways = ("round",)
    every_s = REQUESTS_EVERY_S

    def __init__(self, order: Order, recorder: Recorder) -> None:
        super().__init__(order, recorder)
        self._writer: asyncio.StreamWriter | None = None
        self._asked: deque[int] = deque()
        self._error, self._old = "not connected yet", True

    def keepers(self) -> list[Keeper]:
        """The one connection."""
        return [self._keep]

    def send(self, way: Way, n: int) -> str | None:
        """Asks question n."""
        if self._writer is None:
            return self._error
        if len(self._asked) >= OUTSTANDING:
            return f"{OUTSTANDING} before it are unanswered"
        self._asked.append(n)
        headers = {"X-Padding": "x" * self.order.size} if self.order.size else None
        self._writer.write(_http.request(*self.order.through, self.order.path, headers))
        return None

    async def hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, begins: Begins) -> None:
        """Any answer at all."""
        writer.write(_http.request(*self.order.through, self.order.path, close=True))
        first = await reader.read(1)
        if not first:
            raise ConnectionResetError("EOF")
        begins()
        await _http.read_answer(reader, first)

    @property
    def old(self) -> bool:
        """Has the connection never ended?"""
        return self._old

    async def _keep(self) -> None:
        try:
            async with asyncio.timeout(CONNECTS_WITHIN_S):
                reader, writer = await self.open(LASTING)
        except OSError as error:
            self._error = why(error)
            return
        self._writer = writer
        try:
            while not (await _http.read_answer(reader)).last or self._asked:
                self.got("round", self._asked.popleft(), monotonic_ns())
            self._error = "EOF"
            self.lost(self._error)
        except OSError as error:
            self._error = why(error)
            self.lost(self._error)
        finally:
            self._writer, self._old = None, False
            self._asked.clear()
            self.fail("round", self._error)
            writer.transport.abort()


async def _again(keep: Keeper) -> None:
    """Makes a connection, and another soon after it has ended or could not be made."""
    while True:
        await keep()
        await asyncio.sleep(AGAIN_EVERY_S)


KINDS = {"nats": NatsCrossing, "http": HttpCrossing}


async def serve(control: socket.socket, recorder: Recorder) -> None:
    """Does what the runner orders until the socket ends: {"do": "watch", ...Order} and {"do": "stop", "fault"}."""
    reader, writer = await asyncio.open_connection(sock=control)

    def answer(**message: object) -> None:
        writer.write(json.dumps(message).encode() + b"\n")

    async def cross(crossing: Crossing) -> None:
        async with asyncio.TaskGroup() as crossing_group:
            crossing_group.create_task(crossing.run())
            await crossing.ready.wait()
            answer(**{"is": "ready", "fault": crossing.order.fault, "link": crossing.order.link})

    running: dict[int, list[asyncio.Task[None]]] = {}
    async with asyncio.TaskGroup() as group:
        while line := await reader.readline():
            order = json.loads(line)
            if order.pop("do") == "watch":
                wanted = _order(order)
                for name in ("password", "token"):
                    recorder.secret(wanted.login.get(name, ""))
                crossing = KINDS[wanted.kind](wanted, recorder)
                running.setdefault(wanted.fault, []).append(group.create_task(cross(crossing)))
            else:
                await _cancelled(running.pop(order["fault"], []))
                answer(**{"is": "stopped", "fault": order["fault"]})
        for tasks in running.values():
            await _cancelled(tasks)


def _order(found: dict[str, Any]) -> Order:
    source, target = found.pop("link")
    through, direct = found.pop("through"), found.pop("direct")
    return Order(link=(source, target), through=(through[0], through[1]), direct=(direct[0], direct[1]), **found)


async def _cancelled(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def main() -> None:
    """The process."""
    fd, folder, nonce = sys.argv[1:]
    recorder = Recorder(Path(folder), name="probe", nonce=nonce)
    try:
        asyncio.run(serve(socket.socket(fileno=int(fd)), recorder))
    finally:
        recorder.close()


if __name__ == "__main__":
    main()
