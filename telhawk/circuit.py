"""A circuit breaker: after a few failures in a row nobody is asked, but for one probe at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

FAILURES = 5
PROBE_EVERY_S = 0.5

T = TypeVar("T")


class Circuit:
    """Closed, open after FAILURES in a row, half-open while a probe is under way; closed again once one succeeds.

    `failure` is what counts, and what a probe raises that takes longer than `probe_within_s`; a call that is given up
    before it has an answer counts, too. `refusal` is raised where nobody was asked. What a call that began before the
    circuit opened comes to, changes nothing any more.
    """

    def __init__(
        self, failure: type[Exception], refusal: type[Exception], *, probe_within_s: float | None = None
    ) -> None:
        self._failure = failure
        self._refusal = refusal
        self._probe_within_s = probe_within_s
        self._in_a_row = 0
        self._probe_at: float | None = None
        self._probing = False
        self._changed = asyncio.Event()

    @property
    def state(self) -> str:
        """closed, open or half-open."""
        if self._probe_at is None:
            return "closed"
        return "half-open" if self._probing else "open"

    async def run(self, call: Callable[[], Awaitable[T]], *, patience_s: float = 0.0) -> T:
        """The call's answer. Where the circuit is open, wait `patience_s` at most until it is not."""
        if self._probe_at is not None and await self._is_probe(patience_s):
            return await self._probe(call)
        try:
            answer = await call()
        except (self._failure, asyncio.CancelledError):
            if self._probe_at is None:
                self._in_a_row += 1
                if self._in_a_row >= FAILURES:
                    self._open()
            raise
        self._in_a_row = 0
        return answer

    async def _is_probe(self, patience_s: float) -> bool:
        """Whether this call is the next probe; if not, the circuit has closed. Raises the refusal."""
        loop = asyncio.get_running_loop()
        gives_up_at = loop.time() + patience_s
        while self._probe_at is not None:
            now = loop.time()
            if not self._probing and now >= self._probe_at:
                return True
            if now >= gives_up_at:
                raise self._refusal("not tried: it failed again and again just now")
            wakes_at = gives_up_at if self._probing else min(gives_up_at, self._probe_at)
            try:
                async with asyncio.timeout_at(wakes_at):
                    await self._changed.wait()
            except TimeoutError:
                pass
        return False

    async def _probe(self, call: Callable[[], Awaitable[T]]) -> T:
        self._probing = True
        try:
            async with asyncio.timeout(self._probe_within_s):
                answer = await call()
        except (self._failure, asyncio.CancelledError):
            self._open()
            raise
        except TimeoutError:
            self._open()
            raise self._failure(f"no answer within {self._probe_within_s} s") from None
        else:
            self._probe_at = None
            self._in_a_row = 0
            return answer
        finally:
            self._probing = False
            self._tell()

    def _open(self) -> None:
        self._probe_at = asyncio.get_running_loop().time() + PROBE_EVERY_S

    def _tell(self) -> None:
        # Whoever waits wakes, and the next who come wait for the next change.
        self._changed.set()
        self._changed = asyncio.Event()
