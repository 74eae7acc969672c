"""Mistakes of a scenario: each says what, at which line of the scenario, and the fix; and none is judged."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from harness import reconnects
from harness.errors import HarnessError, StartError, UsageError
from harness.run import Run, raising

from .lab import judged

HERE = str(Path(__file__).relative_to(Path.cwd())) if Path(__file__).is_relative_to(Path.cwd()) else __file__


def _told(scenario: Callable[[], Awaitable[None]]) -> str:
    with pytest.raises(Exception) as raised:  # noqa: PT011
        asyncio.run(cast(Any, raising.driven(scenario)))
    return raising.told(raised.value)


def _line(scenario: object, text: str) -> int:
    lines, first = inspect.getsourcelines(cast(Any, scenario))
    return first + next(n for n, line in enumerate(lines) if text in line)


def test_an_error_says_at_which_line_of_the_scenario_it_was() -> None:
    async def by_itself() -> None:
        await asyncio.sleep(0)
        raise HarnessError("broken", where="here")

    async def below() -> None:
        async with asyncio.timeout(1):
            await asyncio.wait_for(asyncio.to_thread(int, "x"), 1)

    assert _told(by_itself) == f"{HERE}:{_line(by_itself, 'raise')}: here: broken"
    assert _told(below).startswith(f"{HERE}:{_line(below, 'wait_for')}: the scenario raised ValueError(")


def test_an_error_that_came_out_of_no_scenario_names_no_line() -> None:
    assert raising.told(StartError("not ready", where="web-0")) == "web-0: not ready"


def _wrong(run: Run) -> dict[str, Callable[[], Any]]:
    """What each mistake says, and the mistake."""
    faults, broker = run.faults, run.broker
    return {
        "no fault is called 'latncy'\n  fix: did you mean 'latency'?": lambda: faults.latncy(None, broker),
        "latency: missing a required argument: 'latency_ms'": lambda: faults.latency(None, broker),
        "no parameter of silent is called 'wya'\n  fix: did you mean 'way'?": lambda: faults.silent(
            None, broker, wya="to"
        ),
        "latency: latency_ms is '200'": lambda: faults.latency(None, broker, latency_ms="200"),
        "frozen: provider is None": lambda: faults.frozen(None, None),
        "kill: node is None": lambda: faults.kill(run.entry),
        "restart: by is 'sigkill'\n  fix: one of 'kill', 'terminate'": lambda: faults.restart(broker, by="sigkill"),
        "reload: missing a required argument: 'configuration'": lambda: faults.reload(broker),
        "there is no link from broker-0 to broker-0": lambda: faults.silent(broker, broker),
        "a rolling restart of no nodes": lambda: faults.rolling_restart(run.workers),
        "the system has no worker\n  fix: mark": lambda: faults.kill(run.a_worker),
        "None is no node": lambda: run.dependency_of(cast(Any, run.entry)),
        "expect takes guarantees, not <class": lambda: run.expect(cast(Any, reconnects)),
    }


def test_mistakes_in_a_scenario_are_wrong_usage_and_the_one_that_ends_it_names_its_line(tmp_path: Path) -> None:
    async def scenario(run: Run) -> None:
        async with run.load():
            await run.steady(0.5)
            for said, mistake in _wrong(run).items():
                with pytest.raises(UsageError) as told:
                    async with mistake():
                        raise AssertionError("it began")
                assert said in str(told.value)
            async with run.faults.silent(None, run.broker), run.faults.frozen(None, run.broker):
                raise AssertionError("it began")

    verdict = judged(scenario, tmp_path / "scenario")
    details = [trouble["detail"] for trouble in verdict["troubles"]]
    told = f"{HERE}:{_line(scenario, 'faults.frozen(None')}: the link load - broker-0 is under silent already"
    assert [detail[: len(told)] for detail in details] == [told]
    assert verdict["verdict"] == "inconclusive"
