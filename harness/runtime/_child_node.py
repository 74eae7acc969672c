"""A node's processes as children of ours: each in a session of its own, on loopback, with a folder of its own."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from time import monotonic_ns

from harness.runtime import _ready
from harness.runtime._child import Child, Exit
from harness.runtime._http import LOOPBACK
from harness.runtime._node import Recipe, Told
from harness.runtime.journal import Journal


class NodeChild(Child):
    """NodeProcess as a child of ours."""

    async def ask(self, number: signal.Signals) -> int:
        """See NodeProcess."""
        self.signal(number)
        return monotonic_ns()


class ChildHost:
    """NodeHost with children of ours."""

    address = LOOPBACK

    def __init__(self, name: str, folder: Path, journal: Journal) -> None:
        self.dir = folder
        self._name, self._journal = name, journal

    async def listens(self, port: int) -> bool:
        """See NodeHost."""
        return await _ready.listens((self.address, port))

    async def write(self, files: Mapping[str, str]) -> None:
        """See NodeHost."""
        for path, text in files.items():
            target = self.dir / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)

    async def start(self, recipe: Recipe, version: str | None, told: Told) -> NodeChild:
        """See NodeHost."""
        await self.write(recipe.files)

        def end(found: Exit) -> None:
            told.exit(found)
            told.death()

        return NodeChild(
            self._name,
            await recipe.argv(version),
            env=recipe.env,
            cwd=recipe.cwd,
            journal=self._journal,
            on_line=told.line,
            on_exit=end,
        )


def base_environment() -> dict[str, str]:
    """The environment that every child gets, and nothing else but what its recipe adds."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": os.environ.get("HOME", "/"),
        "LANG": os.environ.get("LANG", "C.UTF-8"),
    }
