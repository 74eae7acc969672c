"""http-async: work is submitted by one HTTP request; what becomes of it is then asked for, poll by poll."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from harness.history.rows import Outcome
from harness.load._config import LoadConfig
from harness.load._operations import Operations
from harness.load.kinds._polls import Polls
from harness.load.kinds._submitting import Submitting
from harness.load.outcomes import Answer


def make(
    workload: Mapping[str, Any], operations: Operations, config: LoadConfig, tasks: asyncio.TaskGroup
) -> HttpAsync:
    """The kind of one workload."""
    return HttpAsync(workload, operations, tasks)


class HttpAsync(Submitting):
    """One workload of HTTP requests whose results are polled; see `Kind`."""

    def __init__(self, workload: Mapping[str, Any], operations: Operations, tasks: asyncio.TaskGroup) -> None:
        super().__init__(workload, operations, tasks)
        self._polls = Polls(workload["poll"], operations, self.answers_s, tasks)

    async def final(self) -> None:
        """Asks once more for everything that is open."""
        await self._polls.final()

    async def close(self) -> None:
        """Closes the connections."""
        await self._polls.close()
        await super().close()

    def answered(self, n: int, answer: Answer) -> None:
        """Follows what was accepted."""
        super().answered(n, answer)
        if answer.outcome is Outcome.OK:
            self._polls.follow(n, answer.ref)
