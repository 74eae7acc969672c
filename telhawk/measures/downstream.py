"""downstream: a timeout, a bulkhead and a circuit breaker around each call to another service."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from telhawk.calls import Answer, Caller, CallError, NotCalled, TooManyCalls
from telhawk.circuit import Circuit


class GuardedCaller:
    """Asks another service within `within_s`, `at_once` at the same time, and not at all while it is known to be away.

    `patience_s` is how long a call waits for its turn before it is refused: none where somebody waits for the answer.
    """

    def __init__(self, caller: Caller, *, within_s: float, at_once: int, patience_s: float = 0.0) -> None:
        self._caller = caller
        self._within_s = within_s
        self._patience_s = patience_s
        self._slots = asyncio.Semaphore(at_once)
        self.circuit = Circuit(CallError, NotCalled)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Post JSON. Raises CallError: TooManyCalls and NotCalled at once, where there is no patience."""
        if self._slots.locked():
            await self._wait_for_slot()
        else:
            await self._slots.acquire()
        try:
            return await self.circuit.run(lambda: self._post(url, body, headers), patience_s=self._patience_s)
        finally:
            self._slots.release()

    async def _wait_for_slot(self) -> None:
        try:
            async with asyncio.timeout(self._patience_s):
                await self._slots.acquire()
        except TimeoutError:
            raise TooManyCalls("as many calls as may be wait for an answer") from None

    async def _post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        try:
            async with asyncio.timeout(self._within_s):
                return await self._caller.post(url, body, headers)
        except TimeoutError:
            raise CallError(f"no answer within {self._within_s} s") from None
