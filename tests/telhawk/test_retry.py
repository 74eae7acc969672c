"""How retry pauses and when it gives up, by itself."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import pytest

from telhawk.calls import Answer, CallError, NotCalled, TooManyCalls
from telhawk.measures import retry
from telhawk.messaging import MessagingError, NotTried


class Broker:
    """Takes a job after it has failed so many times."""

    def __init__(self, fails: int, error: Exception) -> None:
        self.fails = fails
        self.error = error
        self.asked_s: list[float] = []

    async def deliver(self, job_id: str, job: bytes) -> None:
        self.asked_s.append(time.monotonic())
        if len(self.asked_s) <= self.fails:
            raise self.error

    async def once(self) -> None:
        await self.deliver("a", b"{}")

    async def post(self, url: str, body: bytes, headers: object) -> Answer:
        await self.once()
        return Answer(200, b"{}", "application/json")

    def pauses_s(self) -> list[float]:
        return [second - first for first, second in pairwise(self.asked_s)]


async def test_pauses_grow() -> None:
    broker = Broker(4, MessagingError("away"))
    await retry.RetriedDelivery(broker.deliver).deliver("a", b"{}")
    pauses_s = broker.pauses_s()
    assert len(pauses_s) == 4
    for pause_s, least_s in zip(pauses_s, (0.05, 0.1, 0.2, 0.4), strict=True):
        assert pause_s >= least_s
    assert sum(pauses_s) < 2 * (0.05 + 0.1 + 0.2 + 0.4)


async def test_the_last_error_is_told_after_so_many_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(retry, "JITTER_S", 0.001)
    broker = Broker(100, MessagingError("away"))
    with pytest.raises(MessagingError, match="away"):
        await retry.RetriedDelivery(broker.deliver).deliver("a", b"{}")
    assert len(broker.asked_s) == retry.TRIES_MOST


async def test_no_try_outlives_the_time_that_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "SUBMIT_WITHIN_S", 0.1)

    async def never(job_id: str, job: bytes) -> None:
        await asyncio.Event().wait()

    with pytest.raises(MessagingError, match=r"given up after 0\.1 s"):
        await retry.RetriedDelivery(never).deliver("a", b"{}")


@pytest.mark.parametrize("error", [NotTried("open"), KeyError("x")])
async def test_what_no_try_would_better_is_told_at_once(error: Exception) -> None:
    broker = Broker(1, error)
    with pytest.raises(type(error)):
        await retry.RetriedDelivery(broker.deliver).deliver("a", b"{}")
    assert len(broker.asked_s) == 1


@pytest.mark.parametrize(("error", "tries"), [(CallError("away"), 2), (NotCalled("x"), 1), (TooManyCalls("x"), 1)])
async def test_calls_that_were_not_made_are_not_repeated(error: Exception, tries: int) -> None:
    broker = Broker(1, error)
    await asyncio.gather(retry.RetriedCaller(broker).post("", b"", {}), return_exceptions=True)
    assert len(broker.asked_s) == tries


async def test_a_relay_goes_on_whatever_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(retry, "JITTER_S", 0.001)
    monkeypatch.setattr(retry, "RELAY_LONGEST_PAUSE_S", 0.005)
    broker = Broker(50, NotTried("open"))
    await retry.relay(broker.once)
    assert len(broker.asked_s) == 51
