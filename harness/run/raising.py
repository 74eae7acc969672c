"""What a scenario raises, and at which of its lines."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from traceback import walk_tb

from harness.errors import HarnessError


async def driven(scenario: Callable[[], Awaitable[None]]) -> None:
    """Runs it, and marks in tracebacks where it begins."""
    await scenario()


def told(error: Exception) -> str:
    """An error as a trouble's detail: the scenario's file and line where it came out of one, and what it says."""
    if isinstance(error, HarnessError):
        said = " / ".join(line.strip() for line in str(error).splitlines())
    else:
        said = f"the scenario raised {error!r}"
    return ": ".join(filter(None, [_line(error), said]))


def _line(error: Exception) -> str:
    """The innermost line in the scenario's own file; empty where the error did not come out of a scenario."""
    frames = [(frame.f_code, line) for frame, line in walk_tb(error.__traceback__)]
    codes = [code for code, _ in frames]
    own = frames[codes.index(driven.__code__) + 1 :] if driven.__code__ in codes else []
    lines = [line for code, line in own if code.co_filename == own[0][0].co_filename]
    if not lines:
        return ""
    path, here = Path(own[0][0].co_filename), Path.cwd()
    return f"{path.relative_to(here) if path.is_relative_to(here) else path}:{lines[-1]}"
