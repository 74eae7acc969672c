"""A node: started, known to be ready, stopped and paused, wherever its process is. That is its host's affair."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from signal import Signals
from time import monotonic_ns
from typing import Literal, Protocol

from harness.errors import HarnessError, StartError, UnknownName, UsageError
from harness.runtime._child import Exit
from harness.runtime._hosting import OnLine
from harness.runtime._http import LOOPBACK
from harness.runtime._links import ProxyLink
from harness.runtime._ready import Look
from harness.runtime._together import together
from harness.runtime.contract import Address, Recorder
from harness.system.model import Role

LOOK_EVERY_S = 0.02


async def _ready_at_once() -> str:
    return ""


@dataclass
class Recipe:
    """How a node is started and known to be ready; everything in it is rendered."""

    argv: Callable[[str | None], Awaitable[Sequence[str]]]
    """The command, for a version asked for (the broker's) or the usual one; in a container, empty means the image's."""
    env: Mapping[str, str]
    cwd: Path
    """Its working folder, on this machine; containers see it read-only, if they see it at all."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Texts by their path within the node's folder, which are written before each start."""
    ready: Look = _ready_at_once
    stop_signal: signal.Signals = signal.SIGTERM
    grace_s: float = 10.0
    """How long it may take to stop, before it is killed."""
    fixes: Mapping[str, str] = field(default_factory=dict)
    """What to do about an end in whose last lines a text is found."""
    image: Callable[[str | None], Awaitable[str]] | None = None
    """The container's image, for a version asked for or the usual one; None in the process runtime."""
    mounts: Mapping[Path, str] = field(default_factory=dict)
    """Folders of this machine that a container sees read-only, and where."""


@dataclass(frozen=True, slots=True)
class Port:
    """A port of a node: its number, the scheme of its URL, and this machine's port that leads there (0: the same)."""

    number: int
    scheme: str = "http"
    published: int = 0


@dataclass(frozen=True, slots=True)
class Told:
    """What is called, in the loop, as a node's process lives.

    With each line; once it is seen dead; and once it is known how it ended, which can be a good deal later.
    """

    line: OnLine
    death: Callable[[], None]
    exit: Callable[[Exit], None]


class NodeProcess(Protocol):
    """One life of a node, from its start to its end."""

    @property
    def pid(self) -> int:
        """Its process, by its number on this machine."""

    @property
    def alive(self) -> bool:
        """Whether its end has not been seen yet."""

    @property
    def ended(self) -> asyncio.Future[Exit]:
        """How it ended, once that was seen."""

    @property
    def lines(self) -> Sequence[str]:
        """What it printed last."""

    async def wait(self) -> Exit:
        """Waits for its end."""

    async def ask(self, number: signal.Signals) -> int:
        """Sends it a signal; t_ns after that. Nothing when it has ended."""

    async def stop(self) -> int:
        """Stops all its tasks where they are; t_ns at which that was seen. Raises TimeoutError or HarnessError."""

    async def go_on(self) -> int:
        """Lets them go on; t_ns at which that was seen. Raises TimeoutError or HarnessError."""

    async def kill(self) -> Exit:
        """SIGKILL to all of it; waits until it is dead."""

    def give_way(self, nice: int) -> None:
        """Lets what already runs go first while it starts, where the kernel can; 0 ends that."""

    def close(self) -> None:
        """Lets go of what is dead. Does not end it."""


class NodeHost(Protocol):
    """Where one node's processes run."""

    address: str
    """Where the proxies of its links reach its ports."""
    dir: Path
    """`{dir}`, as the node sees it."""

    async def listens(self, port: int) -> bool:
        """Whether it accepts there."""

    async def write(self, files: Mapping[str, str]) -> None:
        """Writes files into its folder, whether it runs or not."""

    async def start(self, recipe: Recipe, version: str | None, told: Told) -> NodeProcess:
        """Writes the recipe's files and starts it. Raises StartError where it cannot be run."""


class SystemNode:
    """contract.Node in every runtime."""

    def __init__(
        self,
        name: str,
        service: str,
        role: Role,
        *,
        host: NodeHost,
        ports: Mapping[str, Port],
        recorder: Recorder,
    ) -> None:
        self.name, self.service, self.role = name, service, role
        self.dir = self.storage = host.dir
        self.ports = dict(ports)
        self.incoming: list[ProxyLink] = []
        """The links that lead to it, which refuse while it is down."""
        self.recipe: Recipe | None = None
        self.host, self._recorder = host, recorder
        self._process: NodeProcess | None = None
        self._expected, self._closing, self._dead = False, False, False
        self._refusing: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """See Node."""
        return self._process.pid if self._process is not None and self._process.alive else None

    @property
    def alive(self) -> bool:
        """See Node."""
        return self.pid is not None

    @property
    def process(self) -> NodeProcess | None:
        """Its process, for the runtime, which closes it."""
        return self._process

    def direct(self, port: str = "", what: Literal["url", "host", "port"] = "url") -> str:
        """See Node."""
        found = self._port(port)
        match what:
            case "host":
                return LOOPBACK
            case "port":
                return str(found.published or found.number)
            case "url":
                return f"{found.scheme}://{LOOPBACK}:{found.published or found.number}"

    def address(self, port: str = "") -> Address:
        """`direct` as host and port."""
        return LOOPBACK, int(self.direct(port, "port"))

    def inside(self, port: str = "") -> Address:
        """See Node."""
        return self.host.address, self._port(port).number

    async def listens(self, port: str = "") -> bool:
        """Whether it accepts on that port, as its own neighbours see it."""
        return await self.host.listens(self._port(port).number)

    def last_lines(self, count: int = 20) -> list[str]:
        """See Node."""
        return list(self._process.lines)[-count:] if self._process else []

    async def start(self, *, version: str | None = None) -> None:
        """See Node."""
        if self.alive:
            raise StartError("it runs already", where=self.name, fix="kill or terminate it first")
        if self._process is not None:
            self._process.close()
        self._expected = self._dead = False
        self._process = await self.host.start(
            self._known_recipe,
            version,
            Told(
                line=lambda t_ns, text: self._recorder.line("output", t_ns=t_ns, node=self.name, text=text),
                death=self._died,
                exit=self._gone,
            ),
        )
        self._line("started", pid=self._process.pid)

    async def ready(self, *, within_s: float) -> None:
        """See Node."""
        await self.come_up(within_s=within_s)

    async def come_up(self, *, within_s: float, open_links: bool = False) -> None:
        """Waits until it is ready; with `open_links` each link that leads to it is opened once its port listens."""
        process, ready = self._running, self._known_recipe.ready
        shut = {link.upstream_port for link in self.incoming} if open_links else set()
        unheard = {self._port().number} if self.ports else set()

        def heard() -> None:
            unheard.clear()
            self._line("listening", pid=process.pid)

        seen = ""
        try:
            async with asyncio.timeout(within_s):
                while True:
                    if not process.alive:
                        raise self._failed(f"died at start: {process.ended.result()}")
                    there = {port for port in shut | unheard if await self.host.listens(port)}
                    if unheard & there:
                        heard()
                    for port in shut & there:
                        shut.remove(port)
                        await together(link.open() for link in self.incoming if link.upstream_port == port)
                    seen = await ready() or (f"nobody listens on {self.host.address}:{min(shut)}" if shut else "")
                    if not seen:
                        break
                    await asyncio.sleep(LOOK_EVERY_S)
                if unheard and await self.listens():  # only since it was looked at
                    heard()
        except TimeoutError as error:
            raise self._failed(f"was not ready in {within_s:g} s; last seen: {seen or 'nothing'}") from error
        self._line("ready", pid=process.pid)

    async def check_up(self) -> None:
        """Raises StartError where it failed meanwhile: with nothing to be ready by, that is seen only afterwards."""
        if self._dead and (end := await self._running.wait()).code:
            raise self._failed(f"died at start: {end}")

    async def kill(self) -> int:
        """See Node."""
        self._expected = True
        end = await self._running.kill()
        await self.settle()
        return end.t_ns

    async def terminate(
        self,
        *,
        grace_s: float | None = None,
        signalled: Callable[[int], None] | None = None,
        by: Signals | None = None,
    ) -> tuple[int, int]:
        """See Node."""
        self._expected = True
        process, from_ns = self._running, monotonic_ns()
        asked_ns = await process.ask(by or self._known_recipe.stop_signal)
        self._line("stopping", t_ns=asked_ns, from_ns=from_ns, pid=process.pid)
        if signalled is not None:
            signalled(asked_ns)
        try:
            async with asyncio.timeout(self._known_recipe.grace_s if grace_s is None else grace_s):
                await process.wait()
        except TimeoutError:
            pass  # kill ends it, and what it left of its session
        end = await process.kill()
        await self.settle()
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

    async def reload(self, configuration: str | None = None) -> int:
        """See Node."""
        raise UsageError(f"{self.name} is no broker, so it has no configuration of ours", fix="reload run.broker")

    async def refuse(self) -> None:
        """Makes the links that lead to it refuse, those that do not yet."""
        await together(link.refuse() for link in self.incoming if not link.refusing)

    async def settle(self) -> None:
        """Waits until what its end set off is done."""
        if self._refusing is not None:
            await self._refusing

    def closing(self) -> None:
        """Its end is ours from now on, and no link needs to refuse."""
        self._expected = self._closing = True
        if self._refusing is not None:
            self._refusing.cancel()

    def _died(self) -> None:
        """Its links refuse at once: a proxy that dials a container which is gone waits, and answers no order."""
        self._dead = True
        if not self._closing:
            # Nobody may be waiting for this end; the task is held here, and cancelled by `closing`.
            self._refusing = asyncio.get_running_loop().create_task(self.refuse())

    def _gone(self, end: Exit) -> None:
        how = {"signal": -end.code} if end.code < 0 else {"code": end.code}
        self._line("exited", t_ns=end.t_ns, pid=self._running.pid, expected=self._expected, **how)

    def _failed(self, what: str) -> StartError:
        lines = "\n    ".join(self.last_lines())
        fix = next((fix for text, fix in self._known_recipe.fixes.items() if text in lines), "")
        return StartError(f"{what}\n  its last lines:\n    {lines or '(none)'}", where=self.name, fix=fix)

    def _line(self, event: str, *, t_ns: int | None = None, **fields: object) -> None:
        self._recorder.line(
            "node", t_ns=monotonic_ns() if t_ns is None else t_ns, node=self.name, event=event, **fields
        )

    def _port(self, name: str = "") -> Port:
        known = name or next(iter(self.ports), "")
        if known not in self.ports:
            raise UnknownName(name, self.ports, kind="port", where=self.name)
        return self.ports[known]

    @property
    def _running(self) -> NodeProcess:
        if self._process is None:
            raise HarnessError("it was never started", where=self.name, fix="start it first")
        return self._process

    @property
    def _known_recipe(self) -> Recipe:
        assert self.recipe is not None
        return self.recipe
