"""A process of the harness' own beside the proxies of the process runtime: on this machine."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path


def command(python: str, module: str, fd: int, folder: str, arguments: Sequence[str]) -> list[str]:
    """What Runtime.beside starts."""
    return [python, "-m", module, str(fd), folder, *arguments]


class ChildBeside:
    """contract.Beside as a child of ours."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def __init__(self) -> None:
        self._files = ExitStack()
        self._errors = self._files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        self._process: asyncio.subprocess.Process

    @classmethod
    async def start(cls, module: str, folder: Path, arguments: Sequence[str]) -> ChildBeside:
        """See Runtime.beside."""
        self = cls()
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                *command(sys.executable, module, theirs.fileno(), str(folder), arguments),
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                start_new_session=True,  # a Ctrl-C is the runner's business; without it the socket ends
            )
        self.reader, self.writer = await asyncio.open_connection(sock=ours)
        return self

    @property
    def pid(self) -> int:
        """See Beside."""
        return self._process.pid

    async def last_words(self) -> str:
        """See Beside."""
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace").strip()

    async def close(self, *, within_s: float) -> None:
        """See Beside."""
        self.writer.close()
        try:
            async with asyncio.timeout(within_s):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        self._files.close()
