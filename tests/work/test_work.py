"""Kinds of workload whose ends nobody polls, and the three ways to read effects, run and judged for real.

Each verdict has its control: the same system, which does some work twice and some not at all, and says which.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness import Run
from harness.history.reader import History
from harness.history.rows import marker
from tests.controls.control import Came, came_of

DESK = Path(__file__).with_name("desk.toml")
WAYS = ("handed", "asked", "told")
BROKER_ALONE = """
[system]
name = "alone"
[broker]
version = "2.12.8"
[promises]
settles_s = 1
"""


async def short(run: Run) -> None:
    """Three seconds of work, and no fault."""
    async with run.load():
        await run.steady(3)


async def killed(run: Run) -> None:
    """The broker dies under the work, and comes back."""
    async with run.load():
        await run.steady(1)
        async with run.faults.kill(run.broker):
            await run.steady(1)
        await run.recovered()


def of_way(came: Came, ops: set[str], *ways: str) -> set[str]:
    """Those of the operations that were offered in these ways."""
    history = History.open(came.folder / "history")
    return ops & {marker(history.nonce, one.id) for one in history.operations() if one.workload in ways}


def not_judged(came: Came) -> Mapping[str, Any]:
    told: Mapping[str, Any] = came.verdict["not_judged"]
    return told


async def test_effects_of_every_source_hold(tmp_path: Path) -> None:
    came = await came_of(short, tmp_path, sins="none", calm=True, system=DESK)
    came.must("holds", "no_loss", "no_phantoms", "effects", "available.failed")
    offered, told = came.verdict["operations"]["offered"], came.finding("core_loss")
    assert came.verdict["operations"]["ok"] == offered >= 240
    assert came.finding("no_phantoms")["counted"] == offered  # each has its one effect, in whichever source
    assert (told["verdict"], told["measured"], told["bound"]) == ("holds", 0, None)
    assert told["counted"] >= 80
    assert came.finding("no_loss")["counted"] == offered - told["counted"]  # of core nobody promises anything
    assert not_judged(came) == {}


async def test_what_is_done_twice_or_not_at_all_is_named(tmp_path: Path) -> None:
    came = await came_of(short, tmp_path, sins="double,skip", calm=True, system=DESK)
    doubled, skipped = came.confessed("double"), came.confessed("skip")
    for way in WAYS:
        assert of_way(came, doubled, way), way
        assert of_way(came, skipped, way), way
    promised = of_way(came, skipped, "handed", "asked")
    came.must_name("no_loss", promised)  # nobody can be asked: what has no effect is lost
    came.must_name("effects", doubled | promised)
    lost = came.finding("core_loss")
    assert (lost["verdict"], lost["bound"], set(lost["ops"])) == ("holds", None, of_way(came, skipped, "told"))
    came.must("holds", "no_phantoms", "available.failed")


async def test_a_desk_whose_broker_dies(tmp_path: Path) -> None:
    """Requests are refused meanwhile; what was answered was done once, and what was not at most once."""
    came = await came_of(killed, tmp_path, sins="none", system=DESK)
    came.must_have_bitten("kill")
    came.must("holds", "no_phantoms", "effects")
    refused = [one for one in History.open(came.folder / "history").operations() if one.error == "not connected"]
    assert {one.workload for one in refused} == {"asked", "told"}
    came.must("holds", "no_loss")
    assert came.finding("core_loss")["bound"] is None


async def silenced(run: Run) -> None:
    """What is sent between the load and the broker vanishes for long enough to be noticed."""
    async with run.load():
        await run.steady(1)
        async with run.faults.silent(None, run.broker):
            await run.steady(5)
        await run.recovered()


async def test_a_load_that_is_cut_off_from_the_broker(tmp_path: Path) -> None:
    """Over a link of its own: requests get no answer, until our client notices and refuses to send."""
    came = await came_of(silenced, tmp_path, sins="none", system=DESK)
    came.must_have_bitten("silent")
    came.must("holds", "no_loss", "no_phantoms", "effects")
    history = History.open(came.folder / "history")
    [fault] = history.faults()
    assert fault.effective_ns is not None
    assert fault.healed_ns is not None
    under = [one for one in history.operations() if fault.effective_ns < one.start_ns < fault.healed_ns]
    errors = {way: {one.error for one in under if one.workload == way} for way in WAYS}
    assert errors["handed"] == {""}  # its link is another
    assert errors["asked"] >= {"not connected"}
    assert errors["asked"] <= {"not connected", "timeout", "closed"}
    assert errors["told"] == {"", "not connected"}
    swallowed = sum(one.workload == "told" and not one.error for one in under)
    assert came.finding("core_loss")["measured"] >= swallowed > 20


async def test_without_effects_loss_is_not_judged_and_what_to_add_is_said(tmp_path: Path) -> None:
    """Requests that nobody answers, and messages that the taps alone hear."""
    system = tmp_path / "alone.toml"
    system.write_text(
        BROKER_ALONE
        + """
[workloads.asked]
kind = "request"
rate = 30
publish = { url = "{broker.url}", subject = "nobody" }

[workloads.told]
kind = "core"
rate = 30
publish = { url = "{broker.url}", subject = "all.told" }
taps = [{ subject = "all.>", op = "$.op", step = "published" }]
"""
    )
    came = await came_of(short, tmp_path, sins=None, calm=True, system=system)
    assert set(not_judged(came)) == {"no_loss", "effects"}
    assert "effects" in not_judged(came)["no_loss"]
    came.must("holds", "no_phantoms")
    told, offered = came.finding("core_loss"), came.verdict["operations"]
    assert told["measured"] == 0
    assert told["counted"] == offered["ok"] >= 80
    assert offered["fail"] == offered["offered"] - offered["ok"] >= 80  # no responders: certainly not accepted
    came.must("violated", "available.failed")


async def test_a_listener_that_hears_half_shows_in_what_is_measured(tmp_path: Path) -> None:
    """The control of the taps: what they do not hear is counted, by name, and judged by nobody."""
    system = tmp_path / "half.toml"
    system.write_text(
        BROKER_ALONE
        + """
[workloads.heard]
kind = "core"
rate = 20
publish = { url = "{broker.url}", subject = "heard" }
taps = [{ subject = "heard", op = "$.op", step = "published" }]

[workloads.unheard]
kind = "core"
rate = 20
publish = { url = "{broker.url}", subject = "elsewhere" }
taps = [{ subject = "nowhere", op = "$.op", step = "published" }]
"""
    )
    came = await came_of(short, tmp_path, sins=None, calm=True, system=system)
    history = History.open(came.folder / "history")
    unheard = {marker(history.nonce, one.id) for one in history.operations() if one.workload == "unheard"}
    lost = came.finding("core_loss")
    assert lost["ops_total"] == lost["measured"] == len(unheard) >= 50
    assert set(lost["ops"]) <= unheard
    assert (lost["verdict"], lost["bound"]) == ("holds", None)
