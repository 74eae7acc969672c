"""The one tree of errors. Each says what happened, where, and what to do next.

HarnessError
+-- UsageError          wrong usage: exit 64
|   +-- SystemFileError a system file that cannot be used
|   +-- UnknownName     a name that does not exist, with the nearest that does
+-- Missing             something this machine lacks (a binary, a network, a right)
+-- StartError          a node that died, or was not ready in time
+-- ProxyError          a proxy that did not do what it was told
+-- HistoryError        a history that cannot be written or read
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable

EXIT_USAGE = 64


class HarnessError(Exception):
    """Something went wrong in the harness, never in the system under test.

    `what` happened, `where` (a file and line, a node, a command), and `fix`: the next step.
    """

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        self.what, self.where, self.fix = what, where, fix
        super().__init__("".join([f"{where}: " if where else "", what, f"\n  fix: {fix}" if fix else ""]))


class UsageError(HarnessError):
    """The caller asked for something that cannot be done.

    The process exits with 64 where that is found before anything runs. A mistake that a scenario makes while it runs,
    beside others, is a harness error of that scenario, which says at which line; it could not be judged, and the exit
    is 2.
    """


class SystemFileError(UsageError):
    """A system file has mistakes; all of them are in the message, one a line."""


class UnknownName(UsageError):
    """A name that does not exist; the message suggests the nearest that does."""

    def __init__(self, name: str, known: Iterable[str], *, kind: str, where: str = "") -> None:
        names = sorted(known)
        super().__init__(f"no {kind} is called {name!r}", where=where, fix=suggestion(name, names))


class Missing(HarnessError):
    """This machine lacks something; the message says what to install or set."""


class StartError(HarnessError):
    """A node died at start or was not ready by its deadline; the message holds its last lines."""


class ProxyError(HarnessError):
    """A proxy's API failed, hung or answered something else than asked."""


class HistoryError(HarnessError):
    """A history could not be written (a full disk) or cannot be read (not one, or another version)."""


def suggestion(name: str, known: Iterable[str]) -> str:
    """The sentence that names the nearest of `known`, or all of them when none is near."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known: {', '.join(names)}" if names else "there is none"


def why(error: BaseException) -> str:
    """An error in a few words: the errno's name where there is one, as ECONNREFUSED."""
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, OSError) and error.errno is not None:
        return errno.errorcode.get(error.errno, str(error.errno))
    return str(error) or type(error).__name__
