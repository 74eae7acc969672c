"""What the runtime's tests stand on: a recorder that keeps its lines, small systems, and a wire that speaks NATS."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from pathlib import Path

from harness.runtime.contract import Address
from harness.system.loader import load_system
from harness.system.model import SystemFile

from .near import connected

HERE = Path(__file__).parent

BROKER_ALONE = """
[system]
name = "alone"
[broker]
{broker}
[streams.A]
subjects = ["a.>"]
[workloads.messages]
kind = "jetstream"
rate = 10
publish = {{ url = "{{broker.url}}", subject = "a.b" }}
stream = "A"
"""

INCLUDING = BROKER_ALONE.format(broker='version = "2.12.8"\ninclude = "their.conf"')

WITH_SERVICES = """
[system]
name = "small"
[broker]
[hardening]
variable = "MEASURES"
switches = ["a"]
[services.store]
role = "dependency"
command = ["{python}", "service.py", "{port.http}"]
ports = { http = 80, more = 81 }
ready = "/ready"
[services.web]
role = "entry"
command = ["{python}", "service.py", "{port}", "{dir}/config"]
ports = { http = 80 }
env = { NATS = "{broker.url}", STORE = "{store.url}", ME = "{replica}" }
files = { "config" = "{{ {replica} {dir} }}" }
ready = "/ready"
[services.work]
role = "worker"
replicas = 2
command = ["{python}", "service.py", "{port}"]
ports = { http = 80 }
env = { NATS = "{broker.url}", STORES = "{store.urls}", ME = "{replica}" }
ready = "/ready"
[workloads.orders]
kind = "http-async"
rate = 10
submit = { method = "POST", url = "{web.url}/orders", accepted = [202], ref = "$.id" }
poll = { url = "{web.url}/orders/{ref}", done = { "$.status" = ["complete"] } }
"""


SERVICE = """
[system]
name = "one"
[broker]
[streams.A]
subjects = ["a.>"]
[services.store]
role = "dependency"
command = ["{{python}}", "service.py", "{{port}}"]
ports = {{ http = 80 }}
{more}
[workloads.messages]
kind = "jetstream"
rate = 10
publish = {{ url = "{{broker.url}}", subject = "a.b" }}
stream = "A"
"""


def service(more: str) -> str:
    return SERVICE.format(more=more)


class Lines:
    """A recorder that keeps what it is told."""

    def __init__(self) -> None:
        self.all: list[dict[str, object]] = []
        self.secrets: list[str] = []

    def line(self, kind: str, /, *, t_ns: int | None = None, **fields: object) -> None:
        self.all.append({"kind": kind, "t_ns": time.monotonic_ns() if t_ns is None else t_ns, **fields})

    def secret(self, text: str) -> None:
        self.secrets.append(text)

    def of(self, kind: str, **fields: object) -> list[dict[str, object]]:
        """The lines of a kind with these fields."""
        return [
            line
            for line in self.all
            if line["kind"] == kind and all(line.get(name) == value for name, value in fields.items())
        ]


def system(folder: Path, text: str) -> SystemFile:
    """A system file with that text in `folder`, with the service that it may start beside it."""
    folder.mkdir(exist_ok=True)
    (folder / "service.py").write_text((HERE / "service.py").read_text())
    (folder / "system.toml").write_text(text)
    return load_system(folder / "system.toml")


class Wire:
    """One NATS connection, byte by byte, so that what arrives is what crossed."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def dial(cls, to: Address, options: str = '{"verbose":false}') -> Wire:
        reader, writer = await connected(to)
        wire = cls(reader, writer)
        try:
            if not (await reader.readline()).startswith(b"INFO"):
                raise ConnectionResetError("no INFO")
            writer.write(f"CONNECT {options}\r\n".encode())
            await wire.answer()
        except BaseException:
            writer.transport.abort()
            raise
        return wire

    def ping(self) -> None:
        """Sends a PING and waits for nothing."""
        self._writer.write(b"PING\r\n")

    def send(self, data: bytes) -> None:
        """Sends bytes as they are."""
        self._writer.write(data)

    async def pong(self, within_s: float = 5.0) -> bool:
        """Whether a PONG arrives in time."""
        try:
            async with asyncio.timeout(within_s):
                return await self._reader.readline() == b"PONG\r\n"
        except TimeoutError:
            return False

    async def line(self) -> bytes:
        """The next line; empty when the other end closed."""
        async with asyncio.timeout(5):
            return await self._reader.readline()

    async def answer(self, within_s: float = 5.0) -> float:
        """Milliseconds of one round trip; a ConnectionError where there was none."""
        started = time.monotonic()
        self.ping()
        if not await self.pong(within_s):
            raise ConnectionResetError("no PONG")
        return (time.monotonic() - started) * 1e3

    async def ended(self) -> bool:
        """Whether the other end has closed, or reset, the connection by now; what was sent before is read away."""
        try:
            async with asyncio.timeout(1):
                while await self._reader.read(1 << 16):
                    pass
        except TimeoutError:
            return False
        except ConnectionError:
            return True
        return True

    async def close(self) -> None:
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            return


async def cancelled(work: Coroutine[object, object, object], *, after_s: float) -> None:
    """Begins that, gives it up after so many seconds, and waits until it has ended."""
    begun = asyncio.ensure_future(work)
    await asyncio.sleep(after_s)
    begun.cancel()
    await asyncio.wait([begun])
