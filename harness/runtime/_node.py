"""A node as a child process with a session of its own."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic_ns
from typing import Literal

from harness.errors import HarnessError, StartError, UnknownName
from harness.runtime._child import Child, Exit
from harness.runtime._http import LOOPBACK
from harness.runtime._links import ProxyLink
from harness.runtime._ready import Look, listens
from harness.runtime._together import together
from harness.runtime.contract import Recorder
from harness.runtime.journal import Journal
from harness.system.model import Role

LOOK_EVERY_S = 0.02


async def _ready_at_once() -> str:
    return ""


@dataclass
class Recipe:
    """How a node is started and known to be ready; everything in it is rendered."""

    argv: Callable[[str | None], Awaitable[Sequence[str]]]
    """The command, for a version asked for (the broker's) or the usual one."""
    env: Mapping[str, str]
    cwd: Path
    files: Mapping[str, str] = field(default_factory=dict)
    """Texts by their path within the node's folder, which are written before each start."""
    ready: Look = _ready_at_once
    stop_signal: signal.Signals = signal.SIGTERM
    fixes: Mapping[str, str] = field(default_factory=dict)
    """What to do about an end in whose last lines a text is found."""


@dataclass(frozen=True, slots=True)
class Port:
    """A port of a node: its number, and the scheme of its URL."""

    number: int
    scheme: str = "http"


class ProcessNode:
    """contract.Node in the process runtime."""

    def __init__(
        self,
        name: str,
        service: str,
        role: Role,
        *,
        folder: Path,
        ports: Mapping[str, Port],
        journal: Journal,
        recorder: Recorder,
    ) -> None:
        self.name, self.service, self.role = name, service, role
        self.dir = self.storage = folder
        self.ports = dict(ports)
        self.incoming: list[ProxyLink] = []
        """The links that lead to it, which refuse while it is down."""
        self.recipe: Recipe | None = None
        self._journal, self._recorder = journal, recorder
        self._child: Child | None = None
        self._expected = False
        self._refusing: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """See Node."""
        return self._child.pid if self._child is not None and self._child.alive else None

    @property
    def alive(self) -> bool:
        """See Node."""
        return self.pid is not None

    @property
    def child(self) -> Child | None:
        """Its process, for the runtime, which closes it."""
        return self._child

    def direct(self, port: str = "", what: Literal["url", "host", "port"] = "url") -> str:
        """See Node."""
        name = port or next(iter(self.ports), "")
        if name not in self.ports:
            raise UnknownName(port, self.ports, kind="port", where=self.name)
        found = self.ports[name]
        match what:
            case "host":
                return LOOPBACK
            case "port":
                return str(found.number)
            case "url":
                return f"{found.scheme}://{LOOPBACK}:{found.number}"

    def last_lines(self, count: int = 20) -> list[str]:
        """See Node."""
        return list(self._child.lines)[-count:] if self._child else []

    async def start(self, *, version: str | None = None) -> None:
        """See Node."""
        if self.alive:
            raise StartError("it runs already", where=self.name, fix="kill or terminate it first")
        recipe = self._known_recipe
        for path, text in recipe.files.items():
            target = self.dir / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        argv = await recipe.argv(version)
        if self._child is not None:
            self._child.close()
        self._expected = False
        self._child = Child(
            self.name,
            argv,
            env=recipe.env,
            cwd=recipe.cwd,
            journal=self._journal,
            on_line=lambda t_ns, text: self._recorder.line("output", t_ns=t_ns, node=self.name, text=text),
            on_exit=self._gone,
        )
        self._line("started", pid=self._child.pid)

    async def ready(self, *, within_s: float) -> None:
        """See Node."""
        await self.come_up(within_s=within_s)

    async def come_up(self, *, within_s: float, open_links: bool = False) -> None:
        """Waits until it is ready; with `open_links` each link that leads to it is opened once its port listens."""
        child, ready = self._running, self._known_recipe.ready
        shut = {link.upstream_port for link in self.incoming} if open_links else set()
        first = next(iter(self.ports.values()), None)
        heard = first is None
        seen = ""
        try:
            async with asyncio.timeout(within_s):
                while True:
                    if not child.alive:
                        raise self._failed(f"died at start: {child.ended.result()}")
                    if not heard and first is not None and listens(first.number):
                        heard = True
                        self._line("listening", pid=child.pid)
                    for port in [port for port in shut if listens(port)]:
                        shut.remove(port)
                        await together(link.open() for link in self.incoming if link.upstream_port == port)
                    seen = await ready() or (f"nobody listens on {LOOPBACK}:{min(shut)}" if shut else "")
                    if not seen:
                        break
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError as error:
            raise self._failed(f"was not ready in {within_s:g} s; last seen: {seen or 'nothing'}") from error
        self._line("ready", pid=child.pid)

    async def kill(self) -> int:
        """See Node."""
        self._expected = True
        end = await self._running.kill()
        await self.refuse()
        return end.t_ns

    async def terminate(self, *, grace_s: float) -> tuple[int, int]:
        """See Node."""
        self._expected = True
        child = self._running
        child.signal(self._known_recipe.stop_signal)
        try:
            async with asyncio.timeout(grace_s):
                await child.wait()
        except TimeoutError:
            pass  # kill ends it, and what it left of its session
        end = await child.kill()
        await self.refuse()
        return end.t_ns, end.code

    async def pause(self) -> int:
        """See Node."""
        try:
            t_ns = await self._running.stop()
        except TimeoutError as error:
            raise HarnessError("not all of its tasks would stop", where=self.name) from error
        self._line("paused", t_ns=t_ns, pid=self._running.pid)
        return t_ns

    async def resume(self) -> int:
        """See Node."""
        try:
            t_ns = await self._running.go_on()
        except TimeoutError as error:
            raise HarnessError("not all of its tasks would go on", where=self.name) from error
        self._line("resumed", t_ns=t_ns, pid=self._running.pid)
        return t_ns

    async def refuse(self) -> None:
        """Makes the links that lead to it refuse, those that do not yet."""
        await together(link.refuse() for link in self.incoming if not link.refusing)

    async def settle(self) -> None:
        """Waits until what an end of its own set off is done."""
        if self._refusing is not None:
            await self._refusing

    def closing(self) -> None:
        """Its end is ours from now on, and no link needs to refuse."""
        self._expected = True
        if self._refusing is not None:
            self._refusing.cancel()

    def _gone(self, end: Exit) -> None:
        how = {"signal": -end.code} if end.code < 0 else {"code": end.code}
        self._line("exited", t_ns=end.t_ns, pid=self._running.pid, expected=self._expected, **how)
        if not self._expected:
            # Nobody waits for an end that nobody asked for; the task is held here, and cancelled by `closing`.
            self._refusing = asyncio.get_running_loop().create_task(self.refuse())

    def _failed(self, what: str) -> StartError:
        lines = "\n    ".join(self.last_lines())
        fix = next((fix for text, fix in self._known_recipe.fixes.items() if text in lines), "")
        return StartError(f"{what}\n  its last lines:\n    {lines or '(none)'}", where=self.name, fix=fix)

    def _line(self, event: str, *, t_ns: int | None = None, **fields: object) -> None:
        self._recorder.line(
            "node", t_ns=monotonic_ns() if t_ns is None else t_ns, node=self.name, event=event, **fields
        )

    @property
    def _running(self) -> Child:
        if self._child is None:
            raise HarnessError("it was never started", where=self.name, fix="start it first")
        return self._child

    @property
    def _known_recipe(self) -> Recipe:
        assert self.recipe is not None
        return self.recipe


def base_environment() -> dict[str, str]:
    """The environment that every child gets, and nothing else but what its recipe adds."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": os.environ.get("HOME", "/"),
        "LANG": os.environ.get("LANG", "C.UTF-8"),
    }
