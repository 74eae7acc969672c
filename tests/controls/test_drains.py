"""Controls of draining, under real stops: the pure system hands its work over, and each sin leaves something undone."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import Run, drains
from harness.runtime.contract import Node

from .control import NS, Came, came_of, of_nodes

pytestmark = pytest.mark.timed
KEEPER = Path(__file__).with_name("keeper.toml")
EXITS, FINISHES = ("drains.exits", "drains.finishes")
STOPS_TAKING, TAKES_OVER = ("drains.stops_taking", "drains.takes_over")
COUNTED = ("no_loss", "no_phantoms", "effects")


async def hand_asked(run: Run) -> None:
    """A worker is asked to stop, with work in its hands."""
    await asked(run, run.workers[0])


async def entry_asked(run: Run) -> None:
    """The entry is asked to stop, with work in its hands."""
    await asked(run, run.entry)


async def asked(run: Run, node: Node | None) -> None:
    async with run.load():
        await run.steady(1.5)
        await run.in_hand(node, 5)
        async with run.faults.terminate(node):
            await run.steady(1.5)
        await run.recovered(2)
    run.expect(drains())


async def came(scenario: object, folder: Path, sins: str) -> Came:
    found = await came_of(scenario, folder, sins=sins, settles_s=4.5, system=KEEPER)  # type: ignore[arg-type]
    found.must_have_bitten("terminate")
    return found


def accepted_from_then_on(came: Came) -> set[str]:
    """The operations that were accepted in the five seconds from when a node was asked to stop."""
    (then,) = [line["t_ns"] for line in came.history.lines("node") if line["event"] == "stopping"][:1]
    return came.of_history(lambda one: one.outcome == "ok" and 0 <= (one.end_ns or 0) - then <= 5 * NS)


async def test_a_pure_worker_hands_over(tmp_path: Path) -> None:
    found = await came(hand_asked, tmp_path, "none")
    found.must("holds", EXITS, FINISHES, STOPS_TAKING, TAKES_OVER, *COUNTED)
    assert found.finding(FINISHES)["counted"] >= 5
    assert 0.3 < found.finding(EXITS)["measured"] < 2.5  # it finishes what takes a second
    assert found.finding(TAKES_OVER)["counted"] >= 50
    assert found.verdict["as_expected"]


async def test_a_pure_entry_hands_over(tmp_path: Path) -> None:
    found = await came(entry_asked, tmp_path, "none")
    found.must("holds", EXITS, FINISHES, STOPS_TAKING, TAKES_OVER, *COUNTED)
    assert found.finding(FINISHES)["counted"] >= 5
    assert found.verdict["as_expected"]


async def test_a_worker_that_drops_what_it_has(tmp_path: Path) -> None:
    """Its peers do it again, so that nothing is lost; but it was to finish it."""
    found = await came(hand_asked, tmp_path, "abort")
    found.must_name(FINISHES, found.confessed("abort"), edges=3)  # what it took since it was asked, it had not in hand
    assert " 0 never ended" in found.finding(FINISHES)["reason"]
    found.must("holds", EXITS, STOPS_TAKING, *COUNTED)


async def test_a_worker_that_loses_what_it_has(tmp_path: Path) -> None:
    found = await came(hand_asked, tmp_path, "hasty,abort")
    found.must_name(FINISHES, found.confessed("abort"), edges=3)
    assert found.finding(FINISHES)["reason"].endswith("and 0 were begun anew")
    found.must_name("no_loss", found.confessed("abort"), edges=3)  # what it had not begun comes again
    found.must("holds", EXITS, STOPS_TAKING)


async def test_a_worker_that_goes_on_taking_and_ends_badly(tmp_path: Path) -> None:
    found = await came(hand_asked, tmp_path, "greedy,crash")
    found.must_name(STOPS_TAKING, found.confessed("greedy"), edges=4)  # it confesses to a little more
    of_nodes(found, EXITS, "hand-0 ended with code 3")
    found.must("holds", FINISHES, TAKES_OVER, *COUNTED)


async def test_a_worker_that_stops_its_peers_and_ends_late(tmp_path: Path) -> None:
    found = await came(hand_asked, tmp_path, "catching,linger")
    found.must_name(TAKES_OVER, accepted_from_then_on(found), edges=6)  # till its peers know, they go on
    of_nodes(found, EXITS, "hand-0 ended after ")
    assert found.finding(EXITS)["measured"] >= 3
    found.must("holds", FINISHES, STOPS_TAKING)


async def test_an_entry_that_is_not_prepared_to_stop(tmp_path: Path) -> None:
    found = await came(entry_asked, tmp_path, "rude")
    of_nodes(found, EXITS, "web-0 ended with signal 15")
    found.must("holds", STOPS_TAKING, TAKES_OVER, *COUNTED)


async def test_an_entry_that_goes_on_taking(tmp_path: Path) -> None:
    found = await came(entry_asked, tmp_path, "open")
    found.must_name(STOPS_TAKING, found.confessed("open"), edges=5)
    found.must("holds", EXITS, FINISHES, TAKES_OVER, *COUNTED)


async def test_an_entry_that_forgets_what_it_has(tmp_path: Path) -> None:
    found = await came(entry_asked, tmp_path, "forget")
    found.must_name(FINISHES, found.confessed("forget"), edges=2)  # the last may not have been answered
    found.must_name("no_loss", found.confessed("forget"), edges=2)
    found.must("holds", EXITS, STOPS_TAKING)
