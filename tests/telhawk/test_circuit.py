"""The circuit breaker by itself."""

from __future__ import annotations

import asyncio

import pytest

from telhawk import circuit
from telhawk.circuit import FAILURES, Circuit


class Failure(Exception):
    pass


class NotAsked(Exception):
    pass


class Provider:
    """Answers when it is told to, or fails."""

    def __init__(self) -> None:
        self.works = False
        self.go = asyncio.Event()
        self.go.set()
        self.asked = 0

    async def __call__(self) -> str:
        self.asked += 1
        await self.go.wait()
        if not self.works:
            raise Failure("broken")
        return "answer"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(circuit, "PROBE_EVERY_S", 0.1)


async def opened(provider: Provider, *, probe_within_s: float | None = None) -> Circuit:
    breaker = Circuit(Failure, NotAsked, probe_within_s=probe_within_s)
    for _ in range(FAILURES):
        assert breaker.state == "closed"
        with pytest.raises(Failure):
            await breaker.run(provider)
    assert breaker.state == "open"
    return breaker


async def test_it_opens_after_failures_in_a_row_and_then_asks_nobody() -> None:
    provider = Provider()
    breaker = await opened(provider)
    with pytest.raises(NotAsked):
        await breaker.run(provider)
    assert provider.asked == FAILURES


async def test_a_success_in_between_starts_the_row_again() -> None:
    provider, breaker = Provider(), Circuit(Failure, NotAsked)
    for n in range(3 * FAILURES):
        provider.works = n % FAILURES == FAILURES - 1
        await asyncio.gather(breaker.run(provider), return_exceptions=True)
    assert breaker.state == "closed"
    assert provider.asked == 3 * FAILURES


async def test_what_is_no_failure_does_not_count() -> None:
    async def other() -> None:
        raise KeyError

    breaker = Circuit(Failure, NotAsked)
    for _ in range(2 * FAILURES):
        with pytest.raises(KeyError):
            await breaker.run(other)
    assert breaker.state == "closed"


async def test_of_many_callers_one_probes_at_a_time() -> None:
    provider = Provider()
    breaker = await opened(provider)
    await asyncio.sleep(0.15)
    provider.go.clear()
    callers = [asyncio.create_task(breaker.run(provider)) for _ in range(10)]
    await asyncio.wait(callers, timeout=0.05)
    assert (provider.asked, breaker.state) == (FAILURES + 1, "half-open")
    provider.works = True
    provider.go.set()
    answers = await asyncio.gather(*callers, return_exceptions=True)
    assert answers[0] == "answer"
    assert [type(answer) for answer in answers[1:]] == [NotAsked] * 9
    assert breaker.state == "closed"
    assert await breaker.run(provider) == "answer"


async def test_a_probe_that_fails_opens_it_again() -> None:
    provider = Provider()
    breaker = await opened(provider)
    await asyncio.sleep(0.15)
    with pytest.raises(Failure):
        await breaker.run(provider)
    with pytest.raises(NotAsked):
        await breaker.run(provider)
    assert provider.asked == FAILURES + 1


async def test_a_probe_may_not_take_for_ever() -> None:
    provider = Provider()
    breaker = await opened(provider, probe_within_s=0.1)
    await asyncio.sleep(0.15)
    provider.go.clear()
    with pytest.raises(Failure, match=r"no answer within 0\.1 s"):
        await breaker.run(provider)
    assert breaker.state == "open"


async def test_calls_that_are_given_up_without_an_answer_are_failures() -> None:
    provider, breaker = Provider(), Circuit(Failure, NotAsked)
    provider.go.clear()
    for _ in range(FAILURES):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await breaker.run(provider)
    assert breaker.state == "open"


async def test_a_probe_that_is_given_up_leaves_its_turn_to_the_next() -> None:
    provider = Provider()
    breaker = await opened(provider)
    await asyncio.sleep(0.15)
    provider.go.clear()
    probe = asyncio.create_task(breaker.run(provider))
    await asyncio.wait({probe}, timeout=0.02)
    probe.cancel()
    await asyncio.wait({probe})
    provider.go.set()
    provider.works = True
    assert await breaker.run(provider, patience_s=1) == "answer"


async def test_who_has_patience_goes_on_once_it_closes() -> None:
    provider = Provider()
    breaker = await opened(provider)
    callers = [asyncio.create_task(breaker.run(provider, patience_s=5)) for _ in range(10)]
    await asyncio.wait(callers, timeout=0.02)
    assert provider.asked == FAILURES
    provider.works = True
    async with asyncio.timeout(1):
        assert await asyncio.gather(*callers) == ["answer"] * 10


async def test_patience_ends() -> None:
    provider = Provider()
    breaker = await opened(provider)
    provider.go.clear()
    await asyncio.sleep(0.15)
    probe = asyncio.create_task(breaker.run(provider))
    await asyncio.wait({probe}, timeout=0.02)
    with pytest.raises(NotAsked):
        await breaker.run(provider, patience_s=0.1)
    probe.cancel()


async def test_what_began_before_it_opened_changes_nothing_any_more() -> None:
    provider, late = Provider(), Provider()
    late.go.clear()
    breaker = Circuit(Failure, NotAsked)
    slow = [asyncio.create_task(breaker.run(late)) for _ in range(FAILURES)]
    await asyncio.wait(slow, timeout=0.02)
    for _ in range(FAILURES):
        with pytest.raises(Failure):
            await breaker.run(provider)
    provider.works = True
    await asyncio.sleep(0.15)
    assert await breaker.run(provider, patience_s=1) == "answer"
    late.works = True
    late.go.set()
    assert await asyncio.gather(*slow) == ["answer"] * FAILURES
    assert breaker.state == "closed"
