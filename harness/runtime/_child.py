"""Children: each leads a session of its own, dies with us, and is read line by line. Its end is seen by its pidfd.

They start in the main thread: PR_SET_PDEATHSIG follows the thread that forked, and does not reach grandchildren, which
are found by their session instead (journal.undo).
"""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic_ns
from typing import Protocol

from harness.errors import HarnessError, HistoryError, StartError
from harness.runtime import _proc
from harness.runtime._proc import Identity, end_sessions, send

LINES_KEPT = 200
LONGEST_LINE = 64 * 1024
PIPE_BYTES = 1 << 20
"""Room in the pipe, so that a short stall of our loop does not become one of the child."""
STOP_WITHIN_S = 2.0
LOOK_EVERY_S = 0.0003

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_F_SETPIPE_SZ = 1031  # linux/fcntl.h
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Exit:
    """How a child ended: the moment its pidfd was readable, and its exit code, negative for a signal."""

    t_ns: int
    code: int

    def __str__(self) -> str:
        return f"exit code {self.code}" if self.code >= 0 else f"signal {-self.code}"


class Journalled(Protocol):
    """Where a child is written down before it starts; a run's journal is one."""

    def starting(self, name: str, argv: Sequence[str]) -> None:
        """It is about to be started."""

    def process(self, name: str, process: Identity) -> None:
        """It is this one."""


class Child:
    """One child process, from its fork to its reaping. `on_line` and `on_exit` are called in the loop, with t_ns."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        journal: Journalled,
        on_line: Callable[[int, str], None],
        on_exit: Callable[[Exit], None] = lambda _: None,
        fds: Sequence[int] = (),
    ) -> None:
        """Starts it; it inherits `fds` under their own numbers. Raises StartError where the command cannot be run."""
        self.name, self._on_line, self._on_exit = name, on_line, on_exit
        self.lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[Exit] = self._loop.create_future()
        self._rest = b""
        journal.starting(name, argv)
        self._process = _spawn(name, argv, env, cwd, fds)
        self.pid = self._process.pid
        self._pidfd = os.pidfd_open(self.pid)
        # It cannot be reaped before we do it, so it is there, as a zombie at worst.
        found = _proc.identity(self.pid)
        assert found is not None
        self.identity: Identity = found
        journal.process(name, self.identity)
        assert self._process.stdout is not None
        self._out = self._process.stdout.fileno()
        os.set_blocking(self._out, False)
        self._loop.add_reader(self._pidfd, self._see_end)
        self._loop.add_reader(self._out, self._read)

    @property
    def alive(self) -> bool:
        """Whether its end has not been seen yet."""
        return not self.ended.done()

    def give_way(self, nice: int) -> None:
        """Lets what already runs go first while this starts; without effect where the kernel has no groups.

        Five interpreters that start at once would otherwise make a scenario beside them late. The weight is that of
        the session's scheduling group (sched(7), the autogroup feature).
        """
        with suppress(OSError):
            Path(f"/proc/{self.pid}/autogroup").write_text(str(nice))

    async def wait(self) -> Exit:
        """Waits for its end."""
        return await asyncio.shield(self.ended)

    def signal(self, number: int) -> None:
        """Sends a signal to it alone; nothing when it has ended."""
        if self.alive:
            try:
                signal.pidfd_send_signal(self._pidfd, number)
            except ProcessLookupError:
                return

    async def stop(self, *, alone: bool = False) -> int:
        """SIGSTOP to the session; t_ns at which every task of every member was seen in state T.

        With `alone` nobody looks for members beside the child itself, which spares a read of all of /proc.
        Raises TimeoutError when it was not so within STOP_WITHIN_S, HarnessError when the child is dead.
        """
        self.signal(signal.SIGSTOP)
        stopped: set[Identity] = set()
        t_ns = 0
        async with asyncio.timeout(STOP_WITHIN_S):
            while new := self._members(alone) - stopped:
                for member in new:
                    send(member, signal.SIGSTOP)
                while any(_proc.runs(one.pid) for one in new):
                    await asyncio.sleep(LOOK_EVERY_S)
                stopped |= new
                t_ns = monotonic_ns()
        # Whoever was stopped last can have forked before: only a look that finds nobody new ends the loop.
        if _proc.STOPPED not in _proc.task_states(self.pid):
            raise HarnessError("it is dead, and cannot be stopped", where=self.name)
        return t_ns

    async def go_on(self, *, alone: bool = False) -> int:
        """SIGCONT to the session; t_ns at which no task of its members was seen stopped any more."""
        members = self._members(alone)
        for member in members:
            send(member, signal.SIGCONT)
        async with asyncio.timeout(STOP_WITHIN_S):
            while any(_proc.STOPPED in _proc.task_states(one.pid) for one in members):
                await asyncio.sleep(LOOK_EVERY_S)
        return monotonic_ns()

    async def kill(self) -> Exit:
        """SIGKILL; waits until it is seen to be dead, then ends what is left of its session."""
        self.signal(signal.SIGKILL)
        ended = await self.wait()
        end_sessions([self.identity], within_s=STOP_WITHIN_S)
        return ended

    def close(self) -> None:
        """Reaps a child that is dead, and lets go of its pipe. Does not end it."""
        if self.alive:
            self._see_end()
        if self._out >= 0:
            self._loop.remove_reader(self._out)
            self._out = -1
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _members(self, alone: bool) -> set[Identity]:
        return {self.identity} if alone else {found.identity for found in _proc.members([self.identity])}

    def _see_end(self) -> None:
        t_ns = monotonic_ns()
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        code = self._process.wait()
        while self._read():
            pass  # what it said last comes before its end
        end = Exit(t_ns, code)
        self.ended.set_result(end)
        with suppress(HistoryError):
            self._on_exit(end)

    def _read(self) -> bool:
        if self._out < 0:
            return False
        try:
            data = os.read(self._out, 1 << 16)
        except BlockingIOError:
            return False
        t_ns = monotonic_ns()
        if not data:
            self._loop.remove_reader(self._out)
            self._out = -1
        *lines, self._rest = (self._rest + data).split(b"\n")
        if self._rest and (not data or len(self._rest) > LONGEST_LINE):
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            text = line.decode(errors="replace").rstrip("\r")
            self.lines.append(text)
            # A history that is full says so itself; a child must be read all the same, lest it block.
            with suppress(HistoryError):
                self._on_line(t_ns, text)
        return bool(data)


def _spawn(
    name: str, argv: Sequence[str], env: Mapping[str, str], cwd: Path, fds: Sequence[int]
) -> subprocess.Popen[bytes]:
    if threading.current_thread() is not threading.main_thread():
        raise StartError("children are started from the main thread only", where=name, fix="run the loop there")
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            cwd=cwd,
            env=env,
            pass_fds=fds,
            start_new_session=True,
            preexec_fn=dies_with(os.getpid()),
        )
    except OSError as error:
        raise StartError(
            f"{argv[0]!r} cannot be run: {error.strerror}",
            where=name,
            fix=f"check its command, and {cwd} as its folder",
        ) from error
    assert process.stdout is not None
    with suppress(PermissionError):  # this user's pipes hold as much as they may already
        fcntl.fcntl(process.stdout.fileno(), _F_SETPIPE_SZ, PIPE_BYTES)
    return process


def dies_with(parent: int) -> Callable[[], None]:
    """What a child does before its program begins: it asks to be killed when that process (its parent) dies."""

    def ask() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before we could ask
            os._exit(127)

    return ask
