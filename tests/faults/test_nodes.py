"""Faults of nodes and of the work on systems with services: how they end, nest, and what is an error."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.errors import HarnessError, UsageError
from harness.faults import Stage
from harness.faults.poison import Poison
from harness.history.reader import History
from harness.run import Run
from harness.runtime import _as_far

from .lab import judged

ORDERS = str(Path(__file__).parents[2] / "examples" / "orders" / "orders.toml")
LATE = """
[system]
name = "late"
[broker]
version = "2.12.8"
[streams.LATE]
subjects = ["late.>"]
[services.quitter]
role = "worker"
command = ["{python}", "quitter.py", "{broker.host}", "{broker.port}"]
[services.waiter]
role = "worker"
command = ["{python}", "waiter.py", "{broker.host}", "{broker.port}", "{port}"]
ports = { tcp = 1 }
ready = { tcp = "tcp" }
[workloads.messages]
kind = "jetstream"
rate = 50
publish = { url = "{broker.url}", subject = "late.work" }
stream = "LATE"
"""
ALONE = """
[system]
name = "alone"
[broker]
version = "2.12.8"
[services.web]
role = "entry"
command = ["{python}", "-m", "http.server", "{port}", "--bind", "127.0.0.1"]
ports = { http = 8000 }
ready = "/"
[workloads.pages]
kind = "http"
rate = 20
answers_s = 1
submit = { url = "{web.url}/", method = "GET", accepted = [200] }
"""
QUITTER = """
import socket, sys, time
socket.create_connection((sys.argv[1], int(sys.argv[2])))
time.sleep(600)
"""
WAITER = """
import socket, sys, time
while True:
    try:
        broker = socket.create_connection((sys.argv[1], int(sys.argv[2])))
        break
    except OSError:
        time.sleep(0.05)
listening = socket.create_server(("127.0.0.1", int(sys.argv[3])))
time.sleep(600)
"""


def _bits(verdict: dict[str, Any]) -> dict[str, bool]:
    return {fault["kind"]: fault["bit"] for fault in verdict["faults"]}


def test_node_that_is_down_is_an_error_and_the_outer_fault_heals(tmp_path: Path) -> None:
    async def scenario(run: Run) -> None:
        async with run.load():
            async with run.faults.kill(run.broker):
                for kind in ("kill", "terminate", "restart", "crash_loop", "pause", "lame_duck", "reload"):
                    more = {"configuration": ""} if kind == "reload" else {}
                    with pytest.raises(HarnessError, match="broker-0 does not run"):
                        async with getattr(run.faults, kind)(run.broker, **more):
                            raise AssertionError("it began")
            await run.steady(1)

    verdict = judged(scenario, tmp_path / "scenario")
    assert [(fault["kind"], fault["bit"]) for fault in verdict["faults"]] == [("kill", True)]
    assert verdict["troubles"] == []


def test_a_configuration_that_the_broker_does_not_take_has_not_bitten(tmp_path: Path) -> None:
    """It goes on with the one that it has, and its words are in the history."""

    async def scenario(run: Run) -> None:
        async with run.load():
            async with run.faults.reload(run.broker, configuration="max_payload: many"):
                await run.steady(1)
            await run.steady(1)

    verdict = judged(scenario, tmp_path / "scenario")
    assert [(fault["kind"], fault["bit"]) for fault in verdict["faults"]] == [("reload", False)]
    told = [
        line for line in History.open(tmp_path / "scenario" / "history").lines("fault") if line["event"] == "failed"
    ]
    assert len(told) == 1
    assert "it did not take the configuration; its last lines:" in told[0]["detail"]
    assert "reloaded.conf:1:" in told[0]["detail"]


def test_a_service_has_no_configuration_of_ours(tmp_path: Path) -> None:
    async def scenario(run: Run) -> None:
        async with run.load():
            with pytest.raises(UsageError, match="is no broker"):
                async with run.faults.reload(run.workers[0], configuration=""):
                    raise AssertionError("it began")

    judged(scenario, tmp_path / "scenario", system=ORDERS)


@pytest.mark.parametrize("kind", ["kill", "terminate", "restart"])
def test_a_broker_that_nobody_calls_does_not_end_for_anybody(kind: str, tmp_path: Path) -> None:
    (tmp_path / "alone.toml").write_text(ALONE)

    async def scenario(run: Run) -> None:
        async with run.load():
            await run.steady(1)
            async with getattr(run.faults, kind)(run.broker):
                await run.steady(1)

    verdict = judged(scenario, tmp_path / "scenario", system=str(tmp_path / "alone.toml"))
    assert verdict["verdict"] == "inconclusive"
    assert next(trouble["detail"] for trouble in verdict["troubles"]).endswith(
        "no link leads to broker-0, so nobody would feel that it ended"
        " / fix: name the broker in the system file by {broker.url} wherever it is dialled"
    )


def test_nested_faults_heal_in_any_order(tmp_path: Path) -> None:
    async def scenario(run: Run) -> None:
        async with run.load():
            await run.steady(1)
            slow = run.faults.latency(None, run.broker, latency_ms=100)
            dead = run.faults.kill(run.broker)
            await slow.__aenter__()
            await run.steady(1)
            await dead.__aenter__()
            await slow.__aexit__(None, None, None)
            await dead.__aexit__(None, None, None)
            await run.recovered(within_s=5)

    verdict = judged(scenario, tmp_path / "scenario")
    assert _bits(verdict) == {"latency": True, "kill": True}
    # Toxiproxy may hang when it changes a toxic that holds a piece for a broker that has just died.
    assert {trouble["name"] for trouble in verdict["troubles"]} <= {"proxy replaced"}
    assert all(fault["healed"] is not None for fault in verdict["faults"])


def test_link_that_is_refused_stays_so_when_its_provider_comes_back(tmp_path: Path) -> None:
    async def scenario(run: Run) -> None:
        async with run.load():
            await run.steady(1)
            async with run.faults.refused(None, run.broker):
                async with run.faults.kill(run.broker):
                    await run.steady(0.5)
                await run.steady(1)
            await run.recovered(within_s=5)

    verdict = judged(scenario, tmp_path / "scenario")
    assert _bits(verdict) == {"refused": True, "kill": True}, verdict["troubles"]
    assert verdict["troubles"] == []


def test_nodes_are_restarted_one_after_the_other(tmp_path: Path) -> None:
    """It is healed once the last is back, also where links lead to others alone."""

    async def scenario(run: Run) -> None:
        assert run.entry is not None
        async with run.load():
            await run.steady(1)
            async with run.faults.rolling_restart([run.entry, *run.workers]):
                await run.steady(1)
            async with run.faults.terminate(run.a_worker):
                await run.steady(1)
            await run.recovered(within_s=10)

    verdict = judged(scenario, tmp_path / "scenario", system=ORDERS)
    rolling, terminated = verdict["faults"]
    assert rolling["evidence"] == {"ends": 3, "came_back": 3, "down_at_once": 1}
    assert terminated["evidence"]["exit_code"] == 0
    assert _bits(verdict) == {"rolling_restart": True, "terminate": True}


def test_services_come_up_as_far_as_they_do_without_a_broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_as_far, "WAITED_FOR_S", 2.0)
    for name, text in {"late.toml": LATE, "quitter.py": QUITTER, "waiter.py": WAITER}.items():
        (tmp_path / name).write_text(text)

    async def scenario(run: Run) -> None:
        async with run.load():
            async with run.faults.absent(run.broker):
                await run.steady(1)
            await run.recovered(within_s=5)

    folder = tmp_path / "scenario"
    verdict = judged(scenario, folder, system=str(tmp_path / "late.toml"), without=frozenset({"broker"}))
    assert _bits(verdict) == {"absent": True}
    assert verdict["troubles"] == []
    history = History.open(folder / "history", still=True)
    seen = [(line["node"], line["event"]) for line in history.lines("node")]
    assert seen.index(("quitter-0", "exited")) < seen.index(("broker-0", "started"))
    assert (
        seen.index(("waiter-0", "not ready")) < seen.index(("broker-0", "started")) < seen.index(("waiter-0", "ready"))
    )


def test_broker_that_is_there_is_not_absent(tmp_path: Path) -> None:
    async def scenario(run: Run) -> None:
        async with run.load():
            with pytest.raises(UsageError, match="is not absent"):
                async with run.faults.absent(run.broker):
                    raise AssertionError("it began")

    judged(scenario, tmp_path / "scenario")


def test_poison_without_a_subject_says_where_to_name_one() -> None:
    stage = cast(Stage, SimpleNamespace(subject="", runtime=SimpleNamespace(links={})))
    with pytest.raises(HarnessError, match="no subject"):
        Poison(stage).check()
    with pytest.raises(HarnessError, match="no subject"):
        Poison(stage, subject="orders.*").check()
    with pytest.raises(UsageError, match="cannot be told from others"):
        Poison(stage, subject="orders.new", payload="no marker").check()
