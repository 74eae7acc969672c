"""The output of a command, where it may end before the command does: a reader that has seen enough, a full disk."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import TextIO


class _Lasting(io.TextIOWrapper):
    """What is written once nobody takes it goes nowhere: it decides no exit.

    The layers below are the interpreter's own: with code of ours in them, an interrupt between what was written and
    their being told would write it twice.
    """

    _told = False

    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except OSError as error:
            self._nowhere(error)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self._nowhere(error)

    def _nowhere(self, error: OSError) -> None:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), self.fileno())
        super().flush()
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
    raw = io.BufferedWriter(io.FileIO(stream.fileno(), "w", closefd=False))
    lines = stream.isatty() or stream is sys.__stderr__
    return _Lasting(raw, stream.encoding, stream.errors, line_buffering=lines)
