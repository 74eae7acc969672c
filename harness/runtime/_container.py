"""A node's container: made once, started again after each end, and made anew for another image. Its folder is a volume.

What happens to it is seen as it is with a child: its end by a pidfd on its first process, a pause by the state of its
cgroup, both on this machine; its output by the engine's attachment.
"""

from __future__ import annotations

import asyncio
import io
import os
import signal
import tarfile
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from time import monotonic_ns
from typing import TYPE_CHECKING

from harness.errors import HarnessError, HistoryError, Missing
from harness.runtime import _cgroup, _proc
from harness.runtime._child import LINES_KEPT, Exit
from harness.runtime._engine import JOURNAL_LABEL, Engine
from harness.runtime._http import LOOPBACK
from harness.runtime._node import Recipe, Told
from harness.runtime._output import Output
from harness.runtime.contract import Address
from harness.runtime.journal import Journal

if TYPE_CHECKING:
    from docker.models.containers import Container

DATA = "/data"
"""`{dir}` of every container."""
SIGNALLED = 128
"""What the engine's exit code is of a process that a signal ended, less the signal (as a shell's)."""
ENDS_WITHIN_S = 2.0
"""How long after its death its last lines and its exit code may take."""
STOP_WITHIN_S = 2.0
LOOK_EVERY_S = 0.0005
WEIGHT, STEP = 1024, 1.25
"""A group's weight at nice 0, and how much less each step of nice is (sched(7), and the kernel's own table)."""


@dataclass(frozen=True)
class Berth:
    """Where a container goes: the network that it shares with the hub alone, its address there, and its ports.

    `ports`: this machine's port on loopback for each of its own.
    """

    network: str
    address: str
    ports: Mapping[int, int]


Listens = Callable[[Address], Awaitable[bool]]
"""Whether somebody accepts there, as a neighbour sees it; a published port always accepts."""


class ContainerHost:
    """NodeHost with one container. `name` is the container's, its volume's too."""

    def __init__(self, node: str, name: str, berth: Berth, engine: Engine, journal: Journal, listens: Listens) -> None:
        self.dir = Path(DATA)
        self.address = berth.address
        self._node, self._name, self._berth = node, name, berth
        self._engine, self._journal, self._listens = engine, journal, listens
        self._container: Container | None = None
        self._image = ""

    async def make(self, recipe: Recipe, version: str | None = None) -> Container:
        """The container that the recipe asks for: the one that is there, or a new one where its image is another."""
        assert recipe.image is not None
        image, argv = await recipe.image(version), await recipe.argv(version)
        if self._container is None or image != self._image:
            if self._container is None:
                await self._make_volume()
            else:
                await self._engine.do(lambda: self._removed(), where=self._node)
            self._journal.container(self._name)
            self._container = await self._engine.do(lambda: self._create(recipe, image, argv), where=self._node)
            self._image = image
        return self._container

    async def listens(self, port: int) -> bool:
        """See NodeHost."""
        return await self._listens((self.address, port))

    async def write(self, files: Mapping[str, str]) -> None:
        """See NodeHost."""
        container, archive = self._container, _archive(files)
        assert container is not None
        await self._engine.do(lambda: container.put_archive("/", archive), where=self._node)

    async def start(self, recipe: Recipe, version: str | None, told: Told) -> ContainerLife:
        """See NodeHost."""
        container = await self.make(recipe, version)
        if recipe.files:
            await self.write(recipe.files)
        return await ContainerLife.begin(self._node, container, self._engine, told)

    async def run(self, command: list[str], env: Mapping[str, str], cwd: str | None) -> int:
        """Runs a command in it; its exit code."""
        container = self._container
        assert container is not None
        done = await self._engine.do(
            lambda: container.exec_run(command, environment=dict(env), workdir=cwd), where=self._node
        )
        return int(done.exit_code)

    async def _make_volume(self) -> None:
        self._journal.volume(self._name)
        labels = {JOURNAL_LABEL: self._journal.name}
        await self._engine.do(
            lambda: self._engine.tools.client.volumes.create(self._name, labels=labels), where=self._node
        )

    def _removed(self) -> None:
        assert self._container is not None
        self._container.remove(force=True)

    def _create(self, recipe: Recipe, image: str, argv: Sequence[str]) -> Container:
        from docker.types import EndpointConfig

        mounts = {str(path): {"bind": where, "mode": "ro"} for path, where in recipe.mounts.items()}
        endpoint = EndpointConfig(self._engine.api._version, ipv4_address=self._berth.address)
        return self._engine.tools.create(
            image,
            command=list(argv) or None,
            environment=dict(recipe.env),
            labels={JOURNAL_LABEL: self._journal.name},
            name=self._name,
            hostname=self._node,
            init=True,  # else a signal that a service has no handler for would be ignored, as by a first process
            network=self._berth.network,
            networking_config={self._berth.network: endpoint},
            ports=published(self._berth.ports),
            volumes={**mounts, self._name: {"bind": DATA, "mode": "rw"}},
            working_dir=recipe.mounts.get(recipe.cwd),
            cgroup_parent=self._engine.cgroup_parent,
        )


def published(ports: Mapping[int, int]) -> dict[str, tuple[str, int]]:
    """As the engine is told: ports of a container, and those of this machine's loopback that lead there."""
    return {f"{inside}/tcp": (LOOPBACK, here) for inside, here in ports.items()}


class ContainerLife:
    """NodeProcess in a container: from one start to the end that follows."""

    def __init__(self, name: str, container: Container, engine: Engine, told: Told) -> None:
        self.name, self._container, self._engine = name, container, engine
        self._told = told
        self._loop = asyncio.get_running_loop()
        self.lines: deque[str] = deque(maxlen=LINES_KEPT)
        self.ended: asyncio.Future[Exit] = self._loop.create_future()
        self._output = Output(self._hear)
        self._ending: asyncio.Task[None] | None = None
        self._giving_way: asyncio.Task[None] | None = None
        self._first, self._pidfd, self._died_ns = 0, -1, 0

    @classmethod
    async def begin(cls, name: str, container: Container, engine: Engine, told: Told) -> ContainerLife:
        """Starts the container. Raises StartError where the engine cannot run it."""
        self = cls(name, container, engine, told)
        try:  # also while it is attached: the engine's answer is waited for, and what it opened is closed
            await engine.do(lambda: self._output.attach(engine, container), where=name)
            self._output.follow()
            self._first = await engine.do(lambda: _started(engine, container), where=name)
            self._watch()
        except BaseException:
            self._output.close()
            raise
        return self

    @property
    def pid(self) -> int:
        """See NodeProcess. Not the container's first process, which only passes signals on, but what that started."""
        return next(iter(_proc.children(self._first)), self._first)

    @property
    def alive(self) -> bool:
        """See NodeProcess."""
        return not self.ended.done()

    async def wait(self) -> Exit:
        """See NodeProcess."""
        return await asyncio.shield(self.ended)

    async def ask(self, number: signal.Signals) -> int:
        """See NodeProcess. It may have died of that before the engine says that it was told."""
        began_ns = monotonic_ns()
        await self._signal(number)
        return self._died_ns - 1 if self._died_ns > began_ns else monotonic_ns()

    async def stop(self) -> int:
        """See NodeProcess."""
        return await self._changed(self._container.pause, frozen=True)

    async def go_on(self) -> int:
        """See NodeProcess."""
        return await self._changed(self._container.unpause, frozen=False)

    async def kill(self) -> Exit:
        """See NodeProcess."""
        await self._signal(signal.SIGKILL)
        return await self.wait()

    def give_way(self, nice: int) -> None:
        """See NodeProcess. Done in a moment, and not at all where the engine would not."""
        self._giving_way = self._loop.create_task(self._share(round(WEIGHT / STEP**nice)))

    async def _share(self, weight: int) -> None:
        with suppress(HarnessError):
            await self._engine.do(lambda: self._container.update(cpu_shares=weight), where=self.name)

    def close(self) -> None:
        """See NodeProcess."""
        self._output.close()
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1
        for task in (self._ending, self._giving_way):
            if task is not None:
                task.cancel()
        if self.alive:  # it was removed, and nobody waited to see it end
            self._over(Exit(self._died_ns or monotonic_ns(), -signal.SIGKILL))

    async def _signal(self, number: signal.Signals) -> None:
        try:
            await self._engine.do(lambda: self._container.kill(int(number)), where=self.name)
        except HarnessError:
            if self.alive and _proc.stat(self._first) is not None:
                raise  # else it has ended meanwhile, which is what was wanted

    async def _changed(self, call: Callable[[], None], *, frozen: bool) -> int:
        """The moment at which its cgroup was seen to be so, or, where that cannot be read, at which the engine said."""
        group = _cgroup.freezer(self._first)
        calling = asyncio.ensure_future(self._engine.do(call, where=self.name))
        t_ns = 0
        try:
            async with asyncio.timeout(STOP_WITHIN_S):
                while not calling.done():
                    if not t_ns and group is not None and group.frozen() is frozen:
                        t_ns = monotonic_ns()
                    await asyncio.sleep(LOOK_EVERY_S)
        finally:
            await calling
        return t_ns or monotonic_ns()

    def _watch(self) -> None:
        try:
            self._pidfd = os.pidfd_open(self._first)
        except (ProcessLookupError, OSError):
            self._see_end()  # it has ended already: the engine knows how
            return
        self._loop.add_reader(self._pidfd, self._see_end)

    def _see_end(self) -> None:
        self._died_ns = monotonic_ns()
        self._told.death()
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1
        self._ending = self._loop.create_task(self._end(self._died_ns))

    async def _end(self, t_ns: int) -> None:
        """What it said last, and its exit code, come a little after its death."""
        with suppress(TimeoutError):
            async with asyncio.timeout(ENDS_WITHIN_S):
                await self._output.ended.wait()
        try:
            answer = await self._engine.do(lambda: self._container.wait(timeout=ENDS_WITHIN_S), where=self.name)
            code = int(answer["StatusCode"])
        except HarnessError:
            code = SIGNALLED + signal.SIGKILL  # the engine is gone, or the container is
        self._over(Exit(t_ns, SIGNALLED - code if code > SIGNALLED else code))

    def _over(self, end: Exit) -> None:
        if not self.ended.done():
            self.ended.set_result(end)
            with suppress(HistoryError):
                self._told.exit(end)

    def _hear(self, t_ns: int, text: str) -> None:
        self.lines.append(text)
        # A history that is full says so itself; a container must be read all the same, lest it block.
        with suppress(HistoryError):
            self._told.line(t_ns, text)


def _started(engine: Engine, container: Container) -> int:
    """Starts it; its first process on this machine."""
    engine.tools.start(container)
    container.reload()
    pid = int(container.attrs["State"]["Pid"])
    if pid and _proc.stat(pid) is None and _is_running(container):
        raise Missing(
            "the engine's processes are not to be seen on this machine",
            where="container engine",
            fix="run the harness where the engine runs, or use --runtime processes",
        )
    return pid


def _is_running(container: Container) -> bool:
    container.reload()
    return bool(container.attrs["State"]["Running"])


def _archive(files: Mapping[str, str]) -> bytes:
    """The files as the engine takes them, in a folder that whoever runs in the container may write."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        root = PurePosixPath(DATA.lstrip("/"))
        inside = (PurePosixPath(path).parent for path in files)
        folders = {root, *(root / parent for path in inside for parent in (path, *path.parents))}
        for folder in sorted(folders):
            entry = tarfile.TarInfo(str(folder))
            entry.type, entry.mode = tarfile.DIRTYPE, 0o777
            archive.addfile(entry)
        for path, text in files.items():
            entry = tarfile.TarInfo(str(root / path))
            content = text.encode()
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()
