"""A broker of our own, a link that can be silenced, and the stack, all in this process but the broker."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

import telhawk
from telhawk.authenticate.__main__ import server as authenticate_server
from telhawk.eventstore.__main__ import server as eventstore_server
from telhawk.plainhttp import JsonServer
from telhawk.problems import serving
from telhawk.search.__main__ import run as run_search
from telhawk.settings import Settings
from telhawk.web.__main__ import run as run_web
from tests.listening import listening
from tests.stopping import stand_still

NATS_SERVER = Path(sys.executable).with_name("nats-server")


async def until(what: Callable[[], Awaitable[object]], *, within_s: float = 10.0) -> Any:
    """The first true answer of `what`; a missed deadline says what was seen last."""
    deadline = time.monotonic() + within_s
    while True:
        seen = await what()
        if seen:
            return seen
        assert time.monotonic() < deadline, f"not within {within_s} s; last seen: {seen!r}"
        await asyncio.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Broker:
    """A nats-server with file storage, which can be killed and started again on its port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        self._spawn()
        await until(self._listens)

    def _spawn(self) -> None:
        command = [str(NATS_SERVER), "-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", str(self.folder / "js")]
        with (self.folder / "nats.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    async def _listens(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        await writer.wait_closed()
        return True

    async def pause(self) -> None:
        assert self._process is not None
        stand_still(self._process.pid)

    def resume(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class Link:
    """A relay to a port, which can stop passing bytes on, or drop them, without closing anything."""

    def __init__(self, target_port: int, port: int = 0) -> None:
        self._target = target_port
        self._passing = asyncio.Event()
        self._passing.set()
        self.dropping = False
        self.accepted = 0
        self.port = port
        self._writers: set[asyncio.StreamWriter] = set()
        self._listens = AsyncExitStack()

    async def __aenter__(self) -> Link:
        self.port = await self._listens.enter_async_context(listening(self._relay, self.port))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._listens.aclose()

    def freeze(self) -> None:
        self._passing.clear()

    def thaw(self) -> None:
        self._passing.set()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        with suppress(OSError), self._cuttable(writer):
            back, forth = await asyncio.open_connection("127.0.0.1", self._target)
            with self._cuttable(forth):
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._pump(reader, forth))
                    both.create_task(self._pump(back, writer))

    @contextmanager
    def _cuttable(self, writer: asyncio.StreamWriter) -> Iterator[None]:
        self._writers.add(writer)
        try:
            yield
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                await self._passing.wait()
                if not self.dropping:
                    writer.write(data)
                    await writer.drain()
            writer.close()


class FakeStore:
    """An event store that answers as it is told to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.status = 200
        self.go = asyncio.Event()
        self.go.set()
        self.asked: list[dict[str, str]] = []
        self.takes_s = 0.0
        self.url = ""

    async def search(self, request: web.Request) -> web.Response:
        self.asked.append(dict(request.headers))
        await self.go.wait()
        await asyncio.sleep(self.takes_s)
        if self.status != 200:
            return web.json_response({"error": {"reason": "as told"}}, status=self.status)
        return web.json_response({"hits": {"total": {"value": 0}, "hits": []}})


def serve_in_thread(server: JsonServer) -> Iterator[str]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def settings(**env: str) -> Settings:
    return Settings.from_env({"PORT": "0", **env}, port=0)


class Stack:
    """web and any number of search replicas, as tasks; the services they call, in threads."""

    def __init__(self, folder: Path, broker: Broker, eventstore_url: str, authenticate_url: str) -> None:
        self.folder = folder
        self.env = {
            "NATS_URL": broker.url,
            "EVENTSTORE_URL": eventstore_url,
            "AUTHENTICATE_SERVICE_URL": authenticate_url,
            "OUTBOX": str(folder / "outbox.db"),
            "ACK_WAIT": "1s",
        }
        self.url = ""
        self.http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5))
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.token = ""
        self.processes: list[asyncio.subprocess.Process] = []

    async def search(self, replica: str = "search-0", **env: str) -> str:
        port = free_port()
        told = {**self.env, "REPLICA": replica, "PORT": str(port), **env}
        self.tasks[replica] = asyncio.create_task(run_search(settings(**told)))
        await self._ready(replica, f"http://127.0.0.1:{port}/healthz")
        return f"http://127.0.0.1:{port}"

    async def process(self, service: str, **env: str) -> asyncio.subprocess.Process:
        """A service as a process of its own, listening at PORT."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            f"telhawk.{service}",
            env={**self.env, **env},
            cwd=Path(telhawk.__file__).parent.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.processes.append(process)

        async def listens() -> bool:
            assert process.returncode is None
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", int(env["PORT"]))
            except OSError:
                return False
            writer.close()
            return True

        await until(listens, within_s=20)
        return process

    async def web(self, **env: str) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.tasks["web"] = asyncio.create_task(run_web(settings(**{**self.env, "PORT": str(port), **env})))
        await self._ready("web", f"{self.url}/api/health")
        await self.login()

    async def web_process(self, **env: str) -> asyncio.subprocess.Process:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        process = await self.process("web", PORT=str(port), **env)
        await self.login()
        return process

    async def login(self) -> None:
        login = {"username": "admin", "password": "admin"}
        _, answer = await self.call("POST", "/api/auth/login", json=login)
        self.token = answer["access_token"]

    async def _ready(self, name: str, url: str) -> None:
        async def answers() -> bool:
            if self.tasks[name].done():
                self.tasks[name].result()
            try:
                async with self.http.get(url) as response:
                    return response.status == 200
            except aiohttp.ClientConnectorError:
                return False

        await until(answers)

    async def stop(self, name: str) -> None:
        task = self.tasks.pop(name)
        task.cancel()
        await asyncio.wait({task})

    async def close(self) -> None:
        for name in list(self.tasks):
            await self.stop(name)
        for process in self.processes:
            if process.returncode is None:
                process.kill()
            await process.communicate()
        await self.http.close()

    async def call(self, method: str, path: str, **given: Any) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.token}", **given.pop("headers", {})}
        async with self.http.request(method, self.url + path, headers=headers, **given) as response:
            text = await response.text()
            return response.status, json.loads(text) if "json" in response.content_type else text

    async def submit(self, query: str) -> str:
        status, answer = await self.call("POST", "/api/async-query/submit", json={"query": query})
        assert status == 202, answer
        return str(answer["query_id"])

    async def status(self, query_id: str) -> dict[str, Any]:
        status, answer = await self.call("GET", f"/api/async-query/status/{query_id}")
        return {"status": f"http {status}", "answer": answer} if status != 200 else answer

    async def answered(self, query_id: str, *, within_s: float = 10.0) -> dict[str, Any]:
        async def answer() -> dict[str, Any] | None:
            seen = await self.status(query_id)
            return seen if seen["status"] in ("complete", "failed") else None

        found: dict[str, Any] = await until(answer, within_s=within_s)
        return found

    async def executions(self) -> list[dict[str, Any]]:
        async with self.http.get(f"{self.env['EVENTSTORE_URL']}/executions?after=0") as response:
            rows: list[dict[str, Any]] = (await response.json())["executions"]
            return rows


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    running = Broker(tmp_path)
    await running.start()
    yield running
    running.resume()
    running.kill()


@pytest.fixture
def eventstore_url(tmp_path: Path) -> Iterator[str]:
    yield from serve_in_thread(eventstore_server(settings(DATABASE=str(tmp_path / "events.db"))))


@pytest.fixture
def authenticate_url() -> Iterator[str]:
    yield from serve_in_thread(authenticate_server(settings()))


@pytest.fixture
async def stack(tmp_path: Path, broker: Broker, eventstore_url: str, authenticate_url: str) -> AsyncIterator[Stack]:
    ours = Stack(tmp_path, broker, eventstore_url, authenticate_url)
    yield ours
    await ours.close()


@pytest.fixture
async def store() -> AsyncIterator[FakeStore]:
    fake = FakeStore()
    app = web.Application()
    app.router.add_post("/{index}/_search", fake.search)
    port = free_port()
    async with serving(app, "127.0.0.1", port):
        fake.url = f"http://127.0.0.1:{port}"
        yield fake
