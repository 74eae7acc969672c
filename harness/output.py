"""The output of a command, where it may end before the command does: a reader that has seen enough, a full disk."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Lasting(io.FileIO):
    """What is written once nobody takes it goes nowhere: it decides no exit."""

    _told = False

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self._nowhere(error)
            return memoryview(data).nbytes

    def _nowhere(self, error: OSError) -> None:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), self.fileno())
        if error.errno != errno.EPIPE and not self._told and sys.stderr is not None:
            self._told = True
            print(f"error: the output ends here: {error.strerror}\n  fix: make room where it goes", file=sys.stderr)


@contextmanager
def lasting() -> Iterator[None]:
    """While the body lasts, no write to this process' own stdout and stderr fails."""
    with ExitStack() as stack:
        for own, redirect in ((sys.__stdout__, redirect_stdout), (sys.__stderr__, redirect_stderr)):
            if own is not None and own in (sys.stdout, sys.stderr):
                stream = _of(own)
                stack.enter_context(redirect(stream))
                stack.callback(stream.flush)
        yield


def _of(stream: TextIO) -> TextIO:
    stream.flush()
    raw = io.BufferedWriter(_Lasting(stream.fileno(), "w", closefd=False))
    lines = stream.isatty() or stream is sys.__stderr__
    return io.TextIOWrapper(raw, stream.encoding, stream.errors, line_buffering=lines)
