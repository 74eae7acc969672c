"""A command that is run to its end, bounded in time and output: what shows a service ready, what lists effects."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from harness.runtime._child import dies_with

OUTPUT_LIMIT = 64 * 1024 * 1024
"""Bytes of its output that are read at most."""
SAID_BYTES = 300
"""How much of what it said last on stderr is kept."""
_READ_BYTES = 1 << 16


class Ran(NamedTuple):
    """How a command ended: its exit code (negative for a signal), its stdout, and the end of its stderr."""

    code: int
    out: bytes
    said: str

    def __str__(self) -> str:
        how = f"exited with {self.code}" if self.code >= 0 else f"died of signal {-self.code}"
        return f"{how}: {self.said}" if self.said else how


async def run(argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, within_s: float) -> Ran:
    """Runs it; nothing of its session is left afterwards, whatever came of it. To be called in the main thread.

    It has ended once it has exited and closed its output. Raises OSError: it cannot be run, prints more than
    OUTPUT_LIMIT, or (TimeoutError) has not ended `within_s`.
    """
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=pipe,
        stderr=pipe,
        env=env,
        cwd=cwd,
        start_new_session=True,
        preexec_fn=dies_with(os.getpid()),
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(within_s):
            out, said, code = await asyncio.gather(_whole(process.stdout), _end(process.stderr), process.wait())
    finally:
        # What it left running is of its group, whose number is given to nobody else while anybody is in it.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        # First the pipes, which are full or which a stranger to the session holds open: asyncio would wait for them.
        process._transport.close()  # type: ignore[attr-defined]
        await process.wait()
    return Ran(code, out, said)


async def _whole(stream: asyncio.StreamReader) -> bytes:
    pieces, size = [], 0
    while piece := await stream.read(_READ_BYTES):
        pieces.append(piece)
        size += len(piece)
        if size > OUTPUT_LIMIT:
            raise OSError(f"it prints more than {OUTPUT_LIMIT} bytes")
    return b"".join(pieces)


async def _end(stream: asyncio.StreamReader) -> str:
    kept = b""
    while piece := await stream.read(_READ_BYTES):
        kept = (kept + piece)[-SAID_BYTES:]
    return " ".join(kept.decode(errors="replace").split())
