"""Tells Locust of every finished operation, in small portions: its event costs as much as a publish, and a burst of
it would delay the arrivals.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Any, Protocol

from harness.history.rows import Outcome
from harness.load.outcomes import Answer

_EVERY_S = 0.02
_SHARE = 8  # of what waits, an eighth is fired at a time: the burst grows with the rate, and nothing is left behind


class NotOk(Exception):
    """What Locust counts as a failure: an operation whose outcome is fail or unknown."""


class Stats(Protocol):
    """Locust, as the rest of the load sees it."""

    def fire(self, kind: str, name: str, response_ms: float, exception: Exception | None) -> None:
        """Fires Locust's request event once."""
        ...

    def totals(self) -> Mapping[str, Any]:
        """Locust's own count: requests, failures, by_name {workload: {requests, failures}}."""
        ...


class Reporter:
    """Keeps what finished until it was fired."""

    def __init__(self, stats: Stats) -> None:
        self._stats = stats
        self._waiting: deque[tuple[str, str, float, Exception | None]] = deque()
        self._exceptions: dict[tuple[Outcome, str], NotOk] = {}

    def add(self, kind: str, name: str, response_ms: float, answer: Answer) -> None:
        """An operation has finished."""
        exception = None
        if answer.outcome is not Outcome.OK:
            key = (answer.outcome, answer.error)
            exception = self._exceptions.get(key)
            if exception is None:
                exception = self._exceptions[key] = NotOk(f"{answer.outcome}: {answer.error}")
        self._waiting.append((kind, name, response_ms, exception))

    async def run(self) -> None:
        """Fires what waits, a portion every 20 ms, until cancelled."""
        while True:
            await asyncio.sleep(_EVERY_S)
            self._fire(min(len(self._waiting), max(16, len(self._waiting) // _SHARE)))

    def drain(self) -> None:
        """Fires everything that waits."""
        self._fire(len(self._waiting))

    def _fire(self, count: int) -> None:
        for _ in range(count):
            self._stats.fire(*self._waiting.popleft())
