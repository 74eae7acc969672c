"""Several things at once, of which the first failure ends the rest and is raised as it is."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import TypeVar

T = TypeVar("T")


async def together(tasks: Iterable[Coroutine[object, object, T]]) -> list[T]:
    """All results, in order. A failure cancels the others, waits for them, and is raised itself, not in a group."""
    try:
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(task) for task in tasks]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in running]
