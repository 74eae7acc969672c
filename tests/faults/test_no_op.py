"""A fault that does nothing must never pass for one that bit.

Every registered fault goes by twice on the same real system: once as it is, which must have evidence, and once with
`inject` replaced by something that does nothing and *claims* to have taken effect, which must be inconclusive. One run
goes through all of them, but for those that are of the start.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from time import monotonic_ns
from typing import Any

import pytest

from harness.faults import REGISTRY, Fault, load_all
from harness.run import Run

from .lab import can_lose, judged

AT_START = {"absent": frozenset({"broker"})}
"""What is withheld from the start for a fault that is of the start: that is how it is done, so a no-op does not."""
CANNOT = frozenset[str]() if can_lose() else frozenset({"packet_loss"})
"""What this machine cannot do."""
KINDS = sorted(load_all().keys() - AT_START.keys() - CANNOT)
LASTS_S = 1.5
RUNTIMES = ["processes", pytest.param("containers", marks=pytest.mark.engine)]


async def _nothing(_: Fault) -> int:
    return monotonic_ns()


def _judged(kinds: Sequence[str], folder: Path, *, done: bool = True, runtime: str = "processes") -> dict[str, Any]:
    """A run of `bare` with these faults on what their fields name: the broker, or the load's link to it."""
    withheld = [AT_START[kind] for kind in kinds if kind in AT_START]

    async def scenario(run: Run) -> None:
        targets = {"node": run.broker, "provider": run.broker, "source": None, "replicas": [run.broker]}
        async with run.load():
            for kind in kinds:
                fault = REGISTRY[kind]
                fields = {field.name for field in dataclasses.fields(fault) if field.init}
                asked = {**{name: target for name, target in targets.items() if name in fields}, **fault.EXAMPLE}
                if not withheld:
                    await run.steady(0.5)
                async with getattr(run.faults, kind)(**asked):
                    await run.steady(LASTS_S)
                await run.recovered(within_s=5)

    without = frozenset[str]().union(*withheld) if done else frozenset[str]()
    return judged(scenario, folder, without=without, runtime=runtime)


def _seen(verdict: dict[str, Any]) -> dict[str, bool]:
    assert not verdict["troubles"], verdict["troubles"]
    return {fault["kind"]: fault["bit"] for fault in verdict["faults"]}


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_every_fault_has_evidence(runtime: str, tmp_path: Path) -> None:
    """The control: done for real, each bites, and observers show it."""
    verdict = _judged(KINDS, tmp_path / "scenario", runtime=runtime)
    assert _seen(verdict) == dict.fromkeys(KINDS, True), verdict["faults"]
    assert not [finding for finding in verdict["findings"] if finding["reason"].startswith("no evidence")]


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("kind", AT_START)
def test_a_fault_of_the_start_has_evidence(kind: str, runtime: str, tmp_path: Path) -> None:
    verdict = _judged([kind], tmp_path / "scenario", runtime=runtime)
    assert _seen(verdict) == {kind: True}, verdict["faults"]


@pytest.mark.parametrize("kinds", [KINDS, *([kind] for kind in AT_START)], ids=["all", *AT_START])
def test_faults_that_do_nothing_are_inconclusive(
    kinds: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever `inject` claims: without evidence every finding is inconclusive, for want of it."""
    for kind in kinds:
        monkeypatch.setattr(REGISTRY[kind], "inject", _nothing)
        if kind in AT_START:
            monkeypatch.setattr(REGISTRY[kind], "check", lambda _: None)  # it would refuse what is there
    verdict = _judged(kinds, tmp_path / "scenario", done=False)
    assert _seen(verdict) == dict.fromkeys(kinds, False), verdict["faults"]
    assert verdict["verdict"] == "inconclusive"
    assert not verdict["as_expected"]
    findings = [finding for finding in verdict["findings"] if finding["bound"] is not None]
    assert {finding["verdict"] for finding in findings} == {"inconclusive"}
    assert all(finding["reason"].startswith("no evidence") for finding in findings), findings


@pytest.mark.skipif(not CANNOT, reason="this machine can do all of them")
@pytest.mark.parametrize("kind", ["packet_loss"])
def test_what_this_machine_cannot_do_is_said(kind: str, tmp_path: Path) -> None:
    verdict = _judged([kind], tmp_path / "scenario")
    assert verdict["verdict"] == "inconclusive"
    assert any("packets" in trouble["detail"] for trouble in verdict["troubles"])
