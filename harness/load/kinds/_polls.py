"""Asking the entry what became of the operations that it accepted.

Polls are no operations and are not counted by Locust. One at a time for each open operation, every `every_s` at first,
backing off to 2 s and few at once, so that lost work does not become a load of its own. A poll that cannot be answered
says nothing: no sighting.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import aiohttp

from harness.history.clock import now_ns
from harness.history.rows import Step, find_markers, marker
from harness.load._config import OP, REF
from harness.load._operations import Sightings
from harness.load.kinds._http import session
from harness.load.kinds._paths import Condition, Proof
from harness.verdict import Doubt

SOURCE = "poll"
_BACK_OFF = 1.5
_SLOWEST_S = 2.0
_AT_ONCE = 32
_FINAL_S = 30.0


class Polls:
    """The open operations of one workload."""

    def __init__(
        self, table: Mapping[str, Any], operations: Sightings, answers_s: float, tasks: asyncio.TaskGroup
    ) -> None:
        self._operations, self._tasks = operations, tasks
        self._url, self._answers_s = table["url"], answers_s
        self._headers: dict[str, str] = dict(table.get("headers") or {})
        self._every_s = float(table["every_s"])
        self._done, self._failed = Condition(table["done"]), Condition(table.get("failed") or {})
        self._gone = frozenset(table.get("gone") or ())
        self._proof = Proof(table.get("proof") or {})
        self._session = session()
        self._few = asyncio.Semaphore(_AT_ONCE)
        self._open: dict[int, str] = {}  # n: ref
        self._told: dict[int, Step] = {}  # n of what is open: what was last recorded of it
        self._followers: set[asyncio.Task[None]] = set()

    def follow(self, n: int, ref: str) -> None:
        """From now on operation n is asked for under `ref`, until it is terminal."""
        self._open[n] = ref
        task = self._tasks.create_task(self._follow(n, ref))
        self._followers.add(task)
        task.add_done_callback(self._followers.discard)

    async def final(self) -> None:
        """One last poll of everything open, whose answer is recorded whatever it is, and a line `read`."""
        await self._stop_following()
        from_ns, asked, answered = now_ns(), len(self._open), 0
        with suppress(TimeoutError):  # an entry that answers nothing: what was not asked stays undetermined
            async with asyncio.timeout(_FINAL_S), asyncio.TaskGroup() as tasks:
                polls = [tasks.create_task(self._ask(n, ref, last=True)) for n, ref in list(self._open.items())]
        answered = sum(poll.done() and not poll.cancelled() and poll.result() for poll in polls)
        self._operations.line("read", source=SOURCE, complete=answered == asked, count=answered, from_ns=from_ns)

    async def close(self) -> None:
        """Stops asking, and closes the connections."""
        await self._stop_following()
        await self._session.close()

    async def _stop_following(self) -> None:
        for task in self._followers:
            task.cancel()
        if self._followers:
            await asyncio.wait(self._followers)

    async def _follow(self, n: int, ref: str) -> None:
        every_s = self._every_s
        while n in self._open:
            await asyncio.sleep(every_s)
            await self._ask(n, ref, last=False)
            every_s = max(every_s, min(every_s * _BACK_OFF, _SLOWEST_S))

    async def _ask(self, n: int, ref: str, *, last: bool) -> bool:
        """One poll; whether it was answered."""
        url = self._url.replace(REF, quote(ref, safe="")).replace(OP, self._operations.marker(n))
        async with self._few:
            try:
                async with (
                    asyncio.timeout(self._answers_s),
                    self._session.get(url, headers=self._headers, allow_redirects=False) as response,
                ):
                    status, body = response.status, await response.read()
            except (TimeoutError, aiohttp.ClientError, ConnectionError):
                return False
        return self._answered(n, ref, status, body, last=last)

    def _answered(self, n: int, ref: str, status: int, body: bytes, *, last: bool) -> bool:
        if status in self._gone:
            self._tell(n, ref, Step.GONE, again=last)
            return True
        if status != 200:
            return False
        try:
            document = json.loads(body)
        except ValueError:
            return False
        if self._failed.met(document):
            del self._open[n]
            self._tell(n, ref, Step.FAILURE, proved=self._proves(document, n))
        elif not self._done.met(document):
            if last:
                self._tell(n, ref, Step.PENDING, again=True)
        elif self._proves(document, n):
            del self._open[n]
            self._tell(n, ref, Step.RESULT, proved=True)
        else:
            self._unproved(n, ref, self._proof.found(document), last=last)
        return True

    def _proves(self, document: Any, n: int) -> bool:
        return self._proof.holds(document, self._operations.marker(n), self._operations.padding)

    def _unproved(self, n: int, ref: str, found: Iterable[str], *, last: bool) -> None:
        """A result that is not proved stays open. One with another's marker in the place of its own is a crossing; a
        place with its own and others' is unclear.
        """
        first = self._told.get(n) is not Step.RESULT
        self._tell(n, ref, Step.RESULT, again=last)
        nonce, own = self._operations.recorder.nonce, self._operations.marker(n)
        for text in found if first else ():
            told = [marker(nonce, op) for op in find_markers(nonce, text).ours]
            if told and own not in told:
                crossed = f"crossed: the result of {own} carries {told[0]}: {text[:200]}"
                self._operations.line("phantom", source=SOURCE, text=crossed)
                break
            if len(told) > 1:
                detail = f"the result of {own} names {', '.join(told)}"
                self._operations.line("trouble", name=Doubt.IDS_UNCLEAR, detail=detail)

    def _tell(self, n: int, ref: str, step: Step, *, proved: bool = False, again: bool = False) -> None:
        """Records what was seen of an open operation, once, or once more at the last poll."""
        if self._told.get(n) is step and not again:
            return
        self._told[n] = step
        self._operations.sight(step, source=SOURCE, op=self._operations.id(n), ref=ref, proved=proved)
        if n not in self._open:
            del self._told[n]
