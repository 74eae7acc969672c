"""Clients that lose their broker: who gives up, and who is back and hears nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness import Run, bounded, converges, degrades, observable, reconnects
from tests.controls.control import Came

from .case import CASES, accepted, done, markers, outputs, refused

pytestmark = pytest.mark.timed


# ---- CB-03: credentials that change under way ------------------------------------------------------------------------

OTHERS = "authorization { users = [ { user: desk, password: second }, { user: observer, password: observing } ] }"


async def replaced(run: Run) -> None:
    """For two seconds the desk's password is another one."""
    async with run.load():
        await run.steady(1)
        async with run.faults.reload(run.broker, configuration=OTHERS):
            await run.steady(2)
        await run.recovered(3)
    run.expect(reconnects())


async def test_a_client_whose_password_was_none_for_a_while_is_never_back(tmp_path: Path) -> None:
    came = await CASES["CB-03"].as_reported(replaced, tmp_path)
    came.must_have_bitten("reload")
    came.must("violated", "reconnects.works")
    assert came.finding("reconnects.reconnects")["reason"].startswith("desk-0 never, in ")
    came.must("holds", "no_loss", "effects")  # what is refused is not lost
    assert len(refused(came)) >= 100


async def test_a_service_that_makes_itself_a_new_client_is_back(tmp_path: Path) -> None:
    came = await CASES["CB-03"].as_control(replaced, tmp_path)
    came.must_have_bitten("reload")
    came.must("holds", "reconnects.works", "no_loss", "effects")
    assert came.finding("reconnects.reconnects")["counted"] == 1


# ---- CB-04: a client that gives up ----------------------------------------------------------------------------------


async def away(run: Run) -> None:
    """The broker is away for longer than four attempts take."""
    async with run.load():
        await run.steady(1)
        async with run.faults.kill(run.broker):
            await run.steady(2.5)
        await run.recovered(3)
    run.expect(reconnects())


async def test_a_client_that_has_used_up_its_attempts_is_never_back(tmp_path: Path) -> None:
    came = await CASES["CB-04"].as_reported(away, tmp_path)
    came.must_have_bitten("kill")
    came.must("violated", "reconnects.works")
    assert came.finding("reconnects.reconnects")["reason"].startswith("desk-0 never, in ")
    came.must("holds", "no_loss", "effects")  # what is refused is not lost
    assert len(refused(came)) >= 100


async def test_a_client_that_goes_on_trying_is_back_at_once(tmp_path: Path) -> None:
    came = await CASES["CB-04"].as_control(away, tmp_path)
    came.must_have_bitten("kill")
    came.must("holds", "reconnects.works", "no_loss", "effects")
    assert came.finding("reconnects.reconnects")["counted"] == 1


# ---- CB-04, health: a check that is green whatever happens -----------------------------------------------------------


async def away_and_looked_at(run: Run) -> None:
    """The broker is away, and somebody balances the load by what the desk says."""
    async with run.load():
        await run.steady(1)
        async with run.faults.kill(run.broker):
            await run.steady(2.5)
        await run.recovered(3)
    run.expect(degrades())


async def test_a_check_that_asks_nobody_is_green_all_the_while(tmp_path: Path) -> None:
    came = await CASES["CB-04, health"].as_reported(away_and_looked_at, tmp_path)
    came.must_have_bitten("kill")
    came.must("holds", "no_loss", "effects")
    assert len(refused(came)) >= 40  # of 50 that were offered meanwhile


async def test_a_check_that_asks_the_client_is_red_and_green_again(tmp_path: Path) -> None:
    came = await CASES["CB-04, health"].as_control(away_and_looked_at, tmp_path)
    came.must_have_bitten("kill")
    came.must("holds", "no_loss", "effects")


# ---- CB-12: a loss that no callback tells ----------------------------------------------------------------------------


async def lost(run: Run) -> None:
    """The broker dies under a client that shall not reconnect by itself."""
    async with run.load():
        await run.steady(1)
        async with run.faults.kill(run.broker):
            await run.steady(2)
        await run.steady(1)
    run.expect(observable())


async def test_a_client_that_shall_not_reconnect_tells_nobody_that_it_is_lost(tmp_path: Path) -> None:
    came = await CASES["CB-12"].as_reported(lost, tmp_path)
    came.must_have_bitten("kill")
    assert came.finding("observable.logged")["counted"] == 1
    assert not any("client disconnected" in line for line in outputs(came, "desk-0"))


async def test_since_2_15_it_does(tmp_path: Path) -> None:
    came = await CASES["CB-12"].as_control(lost, tmp_path)
    came.must_have_bitten("kill")
    assert came.finding("observable.logged")["counted"] == 1


# ---- CB-56: a broker that tells that it will end ---------------------------------------------------------------------

GRACE_S = 2
"""How long after it told of its end the broker leaves its clients alone, in roll.conf."""


async def rolled(run: Run) -> None:
    """One broker of two is taken out of service, and then the other, as in a roll."""
    assert run.entry is not None
    async with run.load():
        await run.steady(1)
        async with run.faults.lame_duck(run.broker, within_s=15):
            await run.steady(GRACE_S + 1)
        async with run.faults.terminate(run.dependency_of(run.entry)):
            await run.steady(1)
        await run.recovered(3)
    run.expect(reconnects(notices_s=1))


async def test_a_client_that_cannot_hear_of_a_lame_duck_is_cut_off(tmp_path: Path) -> None:
    came = await CASES["CB-56"].as_reported(rolled, tmp_path)
    is_cut_off(came)
    assert not any("will end soon" in line for line in outputs(came, "desk-0"))


async def test_a_client_that_hears_of_it_and_does_nothing_is_cut_off_too(tmp_path: Path) -> None:
    changed = ('LAME_DUCK = "moves", PYTHONPATH = "nats-py-2.14.0"', 'LAME_DUCK = "told", PYTHONPATH = "."')
    is_cut_off(await replace(CASES["CB-56"], reported="holds", change=changed).as_control(rolled, tmp_path))


async def test_a_client_that_hears_of_it_and_moves_is_gone_before(tmp_path: Path) -> None:
    came = await CASES["CB-56"].as_control(rolled, tmp_path)
    came.must_have_bitten("lame_duck", "terminate")
    came.must("holds", "reconnects.reconnects", "reconnects.works")
    assert came.finding("reconnects.notices")["measured"] < 0.5
    events = [json.loads(line)["event"] for line in outputs(came, "desk-0") if "event" in line]
    assert events[:3] == ["the broker will end soon", "client disconnected", "client connected"]


def is_cut_off(came: Came) -> None:
    """The broker closed the desk's connection, and not the desk; both brokers gone, it is back at the first."""
    came.must_have_bitten("lame_duck", "terminate")
    came.must("holds", "reconnects.reconnects", "reconnects.works")
    finding = came.finding("reconnects.notices")
    assert finding["reason"].startswith("desk-0 never closed its connection in "), finding
    assert GRACE_S - 0.1 <= finding["measured"] <= 15


# ---- CB-17: all at once ---------------------------------------------------------------------------------------------


async def crowd(run: Run) -> None:
    """The broker dies under a hundred clients, and each comes back when it likes."""
    async with run.load():
        await run.steady(1)
        async with run.faults.kill(run.broker):
            await run.steady(2.5)
        await run.recovered(8)
    run.expect(bounded(returns=50))


async def test_clients_without_jitter_are_back_in_the_same_moment(tmp_path: Path) -> None:
    came = await CASES["CB-17"].as_reported(crowd, tmp_path)
    came.must_have_bitten("kill")
    at_once(came, "bounded.returns", least=60)


async def test_clients_with_jitter_come_back_one_by_one(tmp_path: Path) -> None:
    came = await CASES["CB-17"].as_control(crowd, tmp_path)
    came.must_have_bitten("kill")
    came.must("holds", "bounded.returns")
    finding = came.finding("bounded.returns")
    assert finding["counted"] > finding["bound"]  # all of them at once would have broken it


def at_once(came: Came, clause: str, *, least: int) -> None:
    """The clause is violated by so many clients, of a hundred and the load's own."""
    came.must("violated", clause)
    finding = came.finding(clause)
    assert finding["counted"] >= 100
    assert finding["measured"] >= least > finding["bound"]


# ---- CB-19: a watcher after a restart -------------------------------------------------------------------------------


async def restarted(run: Run) -> None:
    """The broker dies, and is back after a second."""
    async with run.load():
        await run.steady(2.5)
        async with run.faults.kill(run.broker):
            await run.steady(1)
        await run.recovered(4)
        await run.steady(2.5)
    run.expect(reconnects(), converges())


async def test_a_watcher_is_connected_and_hears_nothing(tmp_path: Path) -> None:
    """Its client is back. What it rode on was the broker's memory: each put after the restart is lost to it."""
    came = await CASES["CB-19"].as_reported(restarted, tmp_path)
    came.must_have_bitten("kill")
    came.must("holds", "reconnects.reconnects", "available.failed")
    came.must("violated", "converges.rate")  # nothing comes to its end any more
    assert "hand-0 never, in " in came.finding("reconnects.works")["reason"]
    sent = markers(came, accepted(came))
    gone = [op for op in sent if op not in done(came)]
    came.must_name("no_loss", set(gone))
    assert gone == sent[-len(gone) :]  # none since
    assert len(gone) >= 20


async def test_a_durable_consumer_goes_on(tmp_path: Path) -> None:
    came = await CASES["CB-19"].as_control(restarted, tmp_path)
    came.must_have_bitten("kill")
    came.must("holds", "reconnects.reconnects", "converges.rate", "no_loss", "effects")
