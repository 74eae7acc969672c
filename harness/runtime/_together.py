"""Several things at once, of which the first failure ends the rest; and one that is not given up halfway."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import TypeVar

T = TypeVar("T")


async def together(tasks: Iterable[Coroutine[object, object, T]]) -> list[T]:
    """All results, in order. A failure cancels the others, waits for them, and is raised itself, not in a group.

    Of several it is that of the first in the order given, which may have brought down those after it.
    """
    running: list[asyncio.Task[T]] = []
    try:
        async with asyncio.TaskGroup() as group:
            running += [group.create_task(task) for task in tasks]
    except BaseExceptionGroup as failed:
        failures = [task.exception() for task in running if task.done() and not task.cancelled()]
        raise next(filter(None, failures), failed.exceptions[0]) from None
    return [task.result() for task in running]


async def to_its_end(work: Coroutine[object, object, T]) -> T:
    """The result. Who is cancelled meanwhile still waits for it, so that nothing of it happens later; then it ends.

    For orders that, once sent, may be carried out at any time after. They must have a deadline of their own.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        task.exception()
        raise cancelled
    return task.result()
