"""retry: what failed is tried again, after pauses that grow and are never quite the same, within bounds."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import stamina
import stamina.instrumentation

from telhawk.calls import Answer, Caller, CallError, NotCalled, TooManyCalls
from telhawk.messaging import MessagingError, NotTried
from telhawk.web.queries import Deliver, Results
from telhawk.wire import Result

FIRST_PAUSE_S, LONGEST_PAUSE_S, JITTER_S = 0.05, 0.5, 0.05
TRIES_MOST = 6
# A user waits two seconds for an answer.
SUBMIT_WITHIN_S = 1.5
STATUS_WITHIN_S = 1.0
SEARCH_WITHIN_S = 1.75
RELAY_LONGEST_PAUSE_S = 1.0

T = TypeVar("T")

# A relay tries for as long as the broker is away: that is no line a try.
stamina.instrumentation.set_on_retry_hooks(())


class RetriedDelivery:
    """Hands jobs to the broker, in more than one try where it must be."""

    def __init__(self, deliver: Deliver) -> None:
        self._deliver = deliver

    async def deliver(self, job_id: str, job: bytes) -> None:
        """Raises MessagingError after the last try, or when the time is over."""
        await _bounded(lambda: self._deliver(job_id, job), _worth_publishing, MessagingError, SUBMIT_WITHIN_S)


class RetriedResults:
    """What is known of jobs, read in more than one try where it must be."""

    def __init__(self, results: Results) -> None:
        self._results = results

    async def expect(self, job_id: str) -> None:
        """Part of a delivery, which is retried as a whole."""
        await self._results.expect(job_id)

    async def forget(self, job_id: str) -> None:
        """As it is."""
        await self._results.forget(job_id)

    async def find(self, job_id: str) -> Result | None:
        """Raises KeyError for an unknown job, MessagingError after the last try, or when the time is over."""
        return await _bounded(lambda: self._results.find(job_id), _worth_publishing, MessagingError, STATUS_WITHIN_S)


class RetriedCaller:
    """Asks another service, in more than one try where it must be: what a try that failed did is not known."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Post JSON. Raises CallError after the last try, or when the time is over."""
        return await _bounded(lambda: self._caller.post(url, body, headers), _worth_calling, CallError, SEARCH_WITHIN_S)


async def relay(deliver: Callable[[], Awaitable[None]]) -> None:
    """Until it works: nobody waits for a relay, and nothing is lost while it tries."""
    await _again(deliver, lambda error: isinstance(error, MessagingError), None, RELAY_LONGEST_PAUSE_S)


async def _bounded(
    call: Callable[[], Awaitable[T]], worth: Callable[[Exception], bool], failure: type[Exception], within_s: float
) -> T:
    try:
        async with asyncio.timeout(within_s):
            return await _again(call, worth, TRIES_MOST - 1, LONGEST_PAUSE_S)
    except TimeoutError:
        raise failure(f"given up after {within_s} s") from None


async def _again(
    call: Callable[[], Awaitable[T]], worth: Callable[[Exception], bool], more: int | None, longest_s: float
) -> T:
    try:
        return await call()  # nearly always all that there is to do
    except Exception as error:
        if not worth(error):
            raise
    await asyncio.sleep(random.uniform(FIRST_PAUSE_S, FIRST_PAUSE_S + JITTER_S))
    async for attempt in stamina.retry_context(
        on=worth,
        attempts=more,
        timeout=None,
        wait_initial=2 * FIRST_PAUSE_S,
        wait_max=longest_s,
        wait_jitter=JITTER_S,
    ):
        with attempt:
            return await call()
    raise AssertionError("the last try raises")


def _worth_publishing(error: Exception) -> bool:
    return isinstance(error, MessagingError) and not isinstance(error, NotTried)


def _worth_calling(error: Exception) -> bool:
    return isinstance(error, CallError) and not isinstance(error, NotCalled | TooManyCalls)
