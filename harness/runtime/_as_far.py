"""Coming up without a broker: some services wait for it, some end, some go on without, and none of that is an error."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping

from harness.errors import StartError
from harness.runtime.contract import Recorder

WAITED_FOR_S = 15.0
"""How long the start of the whole waits for services that are not ready without a broker."""
COMES_WITHIN_S = 3600.0
"""How long one may take to get ready: until its broker has come, however late."""


async def as_far_as_they_come(
    starts: Mapping[str, Coroutine[object, object, None]], recorder: Recorder
) -> list[asyncio.Task[None]]:
    """Starts nodes, and waits until each is ready or has ended, at most WAITED_FOR_S; returns what still goes on.

    A node that is not ready by then is recorded as such, with the reason. Whoever closes the runtime cancels the rest.
    """

    def not_ready(name: str, why: str) -> None:
        recorder.line("node", node=name, event="not ready", why=why)

    async def come(name: str, start: Coroutine[object, object, None]) -> None:
        try:
            await start
        except StartError as error:
            not_ready(name, error.what)

    tasks = {name: asyncio.create_task(come(name, start)) for name, start in starts.items()}
    try:
        if tasks:
            await asyncio.wait(tasks.values(), timeout=WAITED_FOR_S)
    except asyncio.CancelledError:
        for task in tasks.values():
            task.cancel()
        raise
    coming = {name: task for name, task in tasks.items() if not task.done()}
    for name in coming:
        not_ready(name, f"it waits, {WAITED_FOR_S:g} s after the start")
    return list(coming.values())
