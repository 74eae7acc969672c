"""Controls of being observable: the pure worker tells of its connection and its handlers; each sin keeps one back."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import Run, observable

from .control import Came, came_of

pytestmark = pytest.mark.timed
SYSTEM = Path(__file__).with_name("teller.toml")
LOGGED, COUNTED, HANDLER = ("observable.logged", "observable.counted", "observable.handler")
POISONS = 3


async def poisoned_and_cut_off(run: Run) -> None:
    """Three messages that nobody can handle, then the broker dies, and another stands in its place."""
    async with run.load():
        await run.steady(1)
        async with run.faults.poison(subject="work", times=POISONS):
            await run.steady(0.5)
        async with run.faults.kill(run.broker):
            await run.steady(1)
        await run.recovered()
        await run.steady(3)
    run.expect(observable())


async def told(folder: Path, sin: str) -> Came:
    came = await came_of(poisoned_and_cut_off, folder, sins=sin, system=SYSTEM)
    came.must_have_bitten("poison", "kill")
    return came


async def test_the_pure_system_tells_of_all(tmp_path: Path) -> None:
    came = await told(tmp_path, "none")
    came.must("holds", LOGGED, COUNTED, HANDLER)
    assert [came.finding(clause)["counted"] for clause in (LOGGED, COUNTED, HANDLER)] == [2, 2, POISONS]
    assert {came.finding(clause)["bound"] for clause in (LOGGED, COUNTED, HANDLER)} == {0}


@pytest.mark.parametrize(
    ("sin", "lacks"),
    [
        ("mute", "no line that says"),
        ("bare", "is no JSON"),
        ("hushed", "has level 'info', not warning or more"),
        ("early", "has a time of its own that is +3600.0 s from ours"),
    ],
)
async def test_who_does_not_say_it_is_not_logged(tmp_path: Path, sin: str, lacks: str) -> None:
    came = await told(tmp_path, sin)
    came.must_blame(LOGGED, "hand-0")
    came.must("holds", COUNTED)
    finding = came.finding(LOGGED)
    assert (finding["measured"], finding["counted"]) == (2, 2)
    assert lacks in finding["reason"]


@pytest.mark.parametrize("sin", ["idle", "shut"])
async def test_who_does_not_count_it_is_not_counted(tmp_path: Path, sin: str) -> None:
    came = await told(tmp_path, sin)
    came.must_blame(COUNTED, "hand-0")
    came.must("holds", LOGGED)
    assert (" scrapes, first at" in came.finding(COUNTED)["reason"]) is (sin == "shut")


@pytest.mark.parametrize(("sin", "untold"), [("swallow", POISONS + 1), ("lump", 1)])
async def test_who_hides_what_a_handler_failed_on(tmp_path: Path, sin: str, untold: int) -> None:
    came = await told(tmp_path, sin)
    came.must_blame(HANDLER, "hand-0")
    came.must("holds", LOGGED, COUNTED)
    assert came.finding(HANDLER)["measured"] == untold
