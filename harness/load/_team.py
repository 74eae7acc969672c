"""A team's own locustfile under way: its users are started and stopped, and each request that it tells is recorded.

It is a closed loop: its users ask when they like, so that nothing is intended and nothing can be behind. Locust tells
of a request when it is over, so that one under way is not in the history: users that had to be ended in the middle of
one are a trouble.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol

from harness.errors import HistoryError
from harness.history.clock import now_ns
from harness.history.recorder import Recorder
from harness.history.rows import Outcome
from harness.load._config import Amount, LoadConfig, is_elsewhere
from harness.load._noise import Noise
from harness.load._operations import Sightings
from harness.load._requests import answer_of
from harness.load.kinds._polls import Polls
from harness.system.model import with_op
from harness.verdict import Doubt

ELSEWHERE = 6
"""The exit code of a load one of whose requests left this machine."""


class Users(Protocol):
    """Locust and its users, as the offering needs them."""

    async def start(self, times: float) -> int:
        """Starts the users, or their shape; how many are wanted."""
        ...

    async def stop(self) -> bool:
        """Stops them; whether all came to an end by themselves."""
        ...

    def totals(self) -> Mapping[str, Any]:
        """Locust's own count: requests, failures, by_name {workload: {requests, failures}}."""
        ...


class Team:
    """One workload of kind locust; see `Offering`."""

    def __init__(self, config: LoadConfig, recorder: Recorder, tasks: asyncio.TaskGroup, users: Users) -> None:
        [(self._name, table)] = config.workloads.items()
        self._recorder, self._users, self._loop = recorder, users, asyncio.get_running_loop()
        self._refused = frozenset(table.get("refused") or ())
        self._running = False
        self._background = [tasks.create_task(Noise(recorder).run())]
        self._polls = None
        if table.get("poll"):
            seen = Sightings(with_op(self._name), recorder)
            self._polls = Polls(table["poll"], seen, float(table["answers_s"]), tasks)

    def heard(
        self,
        *,
        response_time: float | None,
        response_length: int | None = None,
        exception: object = None,
        context: Mapping[str, object] | None = None,
        response: object = None,
        url: str | None = None,
        **_: object,
    ) -> None:
        """Locust's request event: a request is over."""
        end_ns = now_ns()
        if url and is_elsewhere(url):
            self._leave(url)
        op = (context or {}).get("op")
        answer = answer_of(exception, response, self._refused)
        try:
            n = self._recorder.whole(
                self._name if op is None else with_op(self._name),
                start_ns=end_ns - int((response_time or 0) * 1e6),
                end_ns=end_ns,
                outcome=answer.outcome,
                ref="" if op is None else str(op),
                status=answer.status,
                error=answer.error,
                size=max(0, response_length or 0),
            )
        except HistoryError:  # a full disk, of which the files' headers tell
            return
        if self._polls and op is not None and answer.outcome is Outcome.OK:
            self._loop.call_soon_threadsafe(self._polls.follow, n, str(op))

    async def connect(self) -> None:
        """Connects nothing: its users do."""

    async def start(self, amount: Amount, start_ns: int) -> None:
        """Starts `times` the users."""
        users = await self._users.start(amount.times)
        self._line("load", event="started", t_ns=start_ns, times=amount.times, rates={}, users=users)
        self._running = True

    def burst(self, times: float, seconds: float, start_ns: int) -> None:
        """Nothing: users of a locustfile work at their own pace, and are not told."""

    async def stop(self) -> None:
        """Stops the users, who finish what they do; after the deadline of an answer they are ended."""
        self._line("load", event="stopping")
        if not await self._users.stop():
            detail = f"{self._name}: users were ended in the middle of a task: a request under way is not recorded"
            self._trouble(Doubt.HISTORY_INCOMPLETE, detail)
        self._running = False
        self._line("load", event="stopped", arrivals={})
        self._line("load", event="totals", **dict(self._users.totals()))

    async def final(self) -> None:
        """Asks once more for everything that is open."""
        if self._running:
            await self.stop()
        if self._polls:
            await self._polls.final()
            await self._polls.close()
        for task in self._background:
            task.cancel()

    def _leave(self, url: str) -> None:
        """Ends the process: load is offered on this machine only, and this is the first that we hear of another."""
        detail = f"{self._name}: a request went to {url}, which is not on this machine's loopback"
        self._trouble(Doubt.BYPASS, detail)
        print(f'{detail}; write host = "{{web.url}}" in the workload', file=sys.stderr, flush=True)
        os._exit(ELSEWHERE)

    def _trouble(self, name: Doubt, detail: str) -> None:
        self._line("trouble", name=name, detail=detail)

    def _line(self, kind: str, /, **fields: Any) -> None:
        with suppress(HistoryError):  # a full disk, of which the files' headers tell; the load goes on to its end
            self._recorder.line(kind, **fields)
