"""Controls of redelivery: workers that die with work in hand, and messages that nobody can handle."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import Run, redelivers

from .control import Came, came_of

pytestmark = pytest.mark.timed
KEEPER = Path(__file__).with_name("keeper.toml")
AGAIN, BOUNDED = ("redelivers.again", "redelivers.bounded")
DEAD_LETTERS, NO_HEALTHY = ("redelivers.dead_letters", "redelivers.no_healthy")
COUNTED = ("no_loss", "no_phantoms", "effects")


async def killed(run: Run) -> None:
    """A worker dies with work in its hands."""
    async with run.load():
        await run.steady(1.5)
        await run.in_hand(run.workers[0], 5)
        async with run.faults.kill(run.workers[0]):
            await run.steady(1.5)
        await run.recovered(3)
    run.expect(redelivers())


async def poisoned(run: Run) -> None:
    """Three messages that no worker understands, among the others."""
    async with run.load():
        await run.steady(1)
        async with run.faults.poison():
            await run.steady(2)
        await run.recovered(2)
    run.expect(redelivers())


async def came(scenario: object, folder: Path, sins: str) -> Came:
    return await came_of(scenario, folder, sins=sins, settles_s=4.5, system=KEEPER)  # type: ignore[arg-type]


def poisons(came: Came) -> set[str]:
    return came.of_history(lambda operation: operation.workload == "poison")


async def test_what_a_worker_had_is_done_by_others(tmp_path: Path) -> None:
    found = await came(killed, tmp_path, "none")
    found.must_have_bitten("kill")
    found.must("holds", AGAIN, BOUNDED, *COUNTED)
    assert found.finding(AGAIN)["counted"] >= 5
    assert 1 < found.finding(AGAIN)["measured"] < 4  # it is waited for two seconds
    assert found.finding(BOUNDED)["measured"] == 2
    assert found.verdict["as_expected"]


async def test_what_is_acknowledged_before_it_is_done_is_not_done_again(tmp_path: Path) -> None:
    found = await came(killed, tmp_path, "hasty")
    found.must_have_bitten("kill")
    left = found.said("holds", "hand-0") - found.said("did", "hand-0")
    # It may say what it holds and die before it begins, and may have done what it dies before it says.
    found.must_name(AGAIN, left, edges=2)
    found.must_name("no_loss", left, edges=2)
    found.must("holds", BOUNDED)


async def test_poison_is_put_aside(tmp_path: Path) -> None:
    found = await came(poisoned, tmp_path, "none")
    found.must_have_bitten("poison")
    found.must("holds", BOUNDED, DEAD_LETTERS, NO_HEALTHY, *COUNTED)
    assert found.finding(DEAD_LETTERS)["counted"] == len(poisons(found)) == 3
    assert found.verdict["as_expected"]


async def test_poison_that_vanishes_or_is_put_aside_badly_and_work_that_is_given_up(tmp_path: Path) -> None:
    found = await came(poisoned, tmp_path, "amiss,shy,stubborn")
    found.must_have_bitten("poison")
    found.must_name(DEAD_LETTERS, poisons(found))
    reason = "of 3 poisons 1 became no dead letter, 1 more than one, 1 one without reason or payload"
    assert found.finding(DEAD_LETTERS)["reason"] == reason
    found.must_name(NO_HEALTHY, found.confessed("shy"))
    found.must_name(BOUNDED, found.confessed("stubborn"))
    assert found.finding(BOUNDED)["measured"] == 6
