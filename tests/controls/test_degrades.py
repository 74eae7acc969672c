"""Controls of degrading, under real faults: the pure system tells what is wrong and stays up; each sin breaks a clause.

What is to be named is what the system confessed to of the operations that were begun under the fault.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import Run, degrades
from harness.history.reader import History
from harness.history.rows import Operation, Outcome
from harness.verdict import Verdict

from .control import SYSTEM, Came, came_of

pytestmark = pytest.mark.timed
STARTS, ANSWERS, TOLD_APART = ("degrades.starts", "degrades.answers", "degrades.told_apart")
HEALTH, BREAKER = ("degrades.health", "degrades.breaker")
BRITTLE = SYSTEM.with_name("brittle.toml")
WITHOUT = frozenset({"broker"})


async def absent(run: Run) -> None:
    """The broker comes after all the others."""
    async with run.load():
        async with run.faults.absent(run.broker):
            await run.steady(3)
        await run.recovered(3)
        await run.steady(1)
    run.expect(degrades())


async def killed(run: Run) -> None:
    """The broker dies, and another stands in its place."""
    async with run.load():
        await run.steady(2)
        async with run.faults.kill(run.broker):
            await run.steady(2)
        await run.recovered(3)
        await run.steady(3)
    run.expect(degrades(refusals=5))


async def silent(run: Run) -> None:
    """The entry's line to the broker is cut, and nobody is told."""
    async with run.load():
        await run.steady(1)
        async with run.faults.silent(run.entry, run.broker):
            await run.steady(3.5)
        await run.recovered(3)
    run.expect(degrades())


async def desk_paused(run: Run) -> None:
    """What the entry calls stops where it is, and goes on."""
    entry = run.entry
    assert entry is not None
    async with run.load():
        await run.steady(1)
        async with run.faults.pause(run.dependency_of(entry)):
            await run.steady(3)
        await run.steady(3)
    run.expect(degrades())


async def under_absence(folder: Path, sins: str) -> Came:
    came = await came_of(absent, folder, sins=sins, system=BRITTLE, without=WITHOUT)
    came.must_have_bitten("absent")
    return came


async def under(fault: str, folder: Path, sins: str) -> Came:
    scenario = {"kill": killed, "silent": silent, "pause": desk_paused}[fault]
    came = await came_of(scenario, folder, sins=sins, system=BRITTLE)
    came.must_have_bitten(fault)
    return came


def of_asks(came: Came, *, healed: bool = False) -> set[str]:
    """The questions for the desk that were refused after the healing."""
    (span,) = History.open(came.folder / "history").faults()
    assert span.healed_ns is not None
    moment = span.healed_ns

    def which(operation: Operation) -> bool:
        return operation.workload == "asks" and operation.start_ns >= moment and operation.outcome is Outcome.FAIL

    return came.of_history(which)


# ---- the pure system ------------------------------------------------------------------------------------------------


async def test_the_pure_system_starts_without_a_broker(tmp_path: Path) -> None:
    came = await under_absence(tmp_path, "none")
    came.must("holds", STARTS, ANSWERS, TOLD_APART, HEALTH)
    assert 0 < came.finding(STARTS)["measured"] < 3
    assert came.finding(STARTS)["counted"] == 2
    assert came.finding(ANSWERS)["counted"] >= 100
    assert came.verdict["as_expected"]


async def test_the_pure_system_says_that_the_broker_died(tmp_path: Path) -> None:
    came = await under("kill", tmp_path, "none")
    came.must("holds", ANSWERS, TOLD_APART, HEALTH, "no_loss")
    assert came.finding(STARTS)["reason"].startswith("not asked: ")
    assert "with other types" in came.finding(TOLD_APART)["reason"]
    assert came.finding(HEALTH)["counted"] == 2
    assert came.verdict["as_expected"]
    wanted = degrades(refusals=1_000).judge(History.open(came.folder / "history"))  # more than there were
    (finding,) = (one for one in wanted if one.clause == ANSWERS)
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "the scenario wants at least 1000" in finding.reason


async def test_the_pure_system_sees_a_silent_line(tmp_path: Path) -> None:
    came = await under("silent", tmp_path, "none")
    came.must("holds", ANSWERS, TOLD_APART, HEALTH)
    assert "web-0 was red after" in came.finding(HEALTH)["reason"]


async def test_the_pure_system_spares_a_desk_that_does_not_answer(tmp_path: Path) -> None:
    came = await under("pause", tmp_path, "none")
    came.must("holds", BREAKER)
    assert came.finding(BREAKER)["counted"] >= 50
    assert came.finding(ANSWERS)["bound"] is None
    assert came.verdict["as_expected"]


# ---- sins -----------------------------------------------------------------------------------------------------------


async def test_who_ends_without_a_broker(tmp_path: Path) -> None:
    came = await under_absence(tmp_path, "eager")
    came.must_blame(STARTS, "web-0")
    assert "ended by itself" in came.finding(STARTS)["reason"]
    came.must_blame(HEALTH, "web-0")
    came.must_name(ANSWERS, came.under())


async def test_who_waits_for_a_broker(tmp_path: Path) -> None:
    came = await under_absence(tmp_path, "patient")
    came.must_blame(STARTS, "web-0")
    assert "never, in " in came.finding(STARTS)["reason"]


@pytest.mark.parametrize("sin", ["someday", "pretend", "hang"])
async def test_answers(tmp_path: Path, sin: str) -> None:
    came = await under("kill", tmp_path, sin)
    came.must_name(ANSWERS, came.confessed(sin) & came.under())
    came.must("holds", TOLD_APART if sin == "someday" else HEALTH)


async def test_a_refusal_without_a_type_tells_nothing(tmp_path: Path) -> None:
    came = await under("kill", tmp_path, "plain")
    came.must_name(ANSWERS, came.confessed("plain") & came.under())
    came.must_name(TOLD_APART, came.confessed("plain") & came.under())
    came.must("holds", HEALTH)


async def test_a_query_that_fails_as_if_the_broker_were_away(tmp_path: Path) -> None:
    came = await under("kill", tmp_path, "alike")
    span = History.open(came.folder / "history").faults()[0]
    rest_ns = (span.healed_ns or 0) + 2_000_000_000
    other = came.of_history(lambda operation: not span.asked_ns <= operation.start_ns <= rest_ns)
    came.must_name(TOLD_APART, came.confessed("alike") & other)
    came.must("holds", ANSWERS, HEALTH)


@pytest.mark.parametrize("sin", ["blind", "sour", "mortal", "fickle"])
async def test_health(tmp_path: Path, sin: str) -> None:
    came = await under("kill", tmp_path, sin)
    came.must_blame(HEALTH, "web-0")
    said = {
        "blind": "was never red",
        "sour": "was never green again",
        "mortal": "was not live",
        "fickle": "was green again at +1.",
    }
    assert said[sin] in came.finding(HEALTH)["reason"]
    came.must("holds", ANSWERS, TOLD_APART)


async def test_health_of_who_is_not_told(tmp_path: Path) -> None:
    came = await under("silent", tmp_path, "blind")
    came.must_blame(HEALTH, "web-0")
    assert came.finding(HEALTH)["bound"] == 3


async def test_who_is_green_again_on_a_silent_line(tmp_path: Path) -> None:
    """Sooner than it would have had to be red, but it had said that it is."""
    came = await under("silent", tmp_path, "fickle")
    came.must_blame(HEALTH, "web-0")
    assert "was green again at +" in came.finding(HEALTH)["reason"]


@pytest.mark.parametrize("sin", ["stubborn", "crowd", "slow"])
async def test_breaker(tmp_path: Path, sin: str) -> None:
    came = await under("pause", tmp_path, sin)
    wronged = came.confessed(sin) & came.under()
    if sin == "slow":  # one that a busy machine kept waiting is named with them
        slow_ns = range(50_000_000, 200_000_000)
        wronged |= came.under() & came.of_history(lambda o: (o.end_ns or 0) - o.start_ns in slow_ns)
    came.must_name(BREAKER, wronged, edges=8)  # those that began before the client knew, or that were let through last


async def test_a_breaker_that_never_closes(tmp_path: Path) -> None:
    came = await under("pause", tmp_path, "stuck")
    came.must_name(BREAKER, of_asks(came))
    assert "later than 2 s after the healing" in came.finding(BREAKER)["reason"]
