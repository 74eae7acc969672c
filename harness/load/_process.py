"""The load's process, as its driver needs it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol


class Process(Protocol):
    """A child that is under way; `harness.runtime`'s children are such, and journalled."""

    @property
    def pid(self) -> int:
        """Its process id."""
        ...

    @property
    def alive(self) -> bool:
        """Whether its end has not been seen yet."""
        ...

    @property
    def lines(self) -> Collection[str]:
        """What it said last."""
        ...

    async def wait(self) -> object:
        """Waits for its end; str() of what it returns says how it ended."""
        ...

    async def kill(self) -> object:
        """SIGKILL, and waits for its end."""
        ...


Spawn = Callable[[str, Sequence[str], Mapping[str, str], Path, Sequence[int]], Process]
"""Starts a child in a session of its own that dies with us: its name, argv, environment, folder, and the descriptors
that it inherits. `Processes.child` is one.
"""
