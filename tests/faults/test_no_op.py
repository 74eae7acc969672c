"""A fault that does nothing must never pass for one that bit.

Goes through every registered fault, twice on the same real system: once as it is, which must have evidence, and once
with `inject` replaced by something that does nothing and *claims* to have taken effect, which must be inconclusive.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from time import monotonic_ns
from typing import Any

import pytest

from harness.errors import UsageError
from harness.faults import REGISTRY, Fault, load_all
from harness.run import Run
from harness.runtime import _nft

from .lab import judged

KINDS = sorted(load_all())
LASTS_S = 1.5
AT_START = {"absent": frozenset({"broker"})}
"""What is withheld from the start for a fault that is of the start: that is how it is done, so a no-op does not."""


async def _nothing(_: Fault) -> int:
    return monotonic_ns()


def _judged(kind: str, folder: Path, *, done: bool = True, runtime: str = "processes") -> dict[str, Any]:
    """A short run of `bare` with this fault on what its fields name: the broker, or the load's link to it."""

    async def scenario(run: Run) -> None:
        fault = REGISTRY[kind]
        targets = {"node": run.broker, "provider": run.broker, "source": None, "replicas": [run.broker]}
        fields = {field.name for field in dataclasses.fields(fault) if field.init}
        asked = {**{name: target for name, target in targets.items() if name in fields}, **fault.EXAMPLE}
        async with run.load():
            if kind not in AT_START:
                await run.steady(1)
            async with getattr(run.faults, kind)(**asked):
                await run.steady(LASTS_S)
            await run.recovered(within_s=5)

    return judged(scenario, folder, without=AT_START.get(kind, frozenset()) if done else frozenset(), runtime=runtime)


def _impossible(kind: str) -> str:
    """Why this machine cannot do it; empty where it can."""
    try:
        _nft.check()
    except UsageError as error:
        return error.what if kind == "packet_loss" else ""
    return ""


def _must_say(verdict: dict[str, Any], why: str) -> None:
    assert verdict["verdict"] == "inconclusive"
    assert any(why in trouble["detail"] for trouble in verdict["troubles"])


@pytest.mark.parametrize("runtime", ["processes", pytest.param("containers", marks=pytest.mark.engine)])
@pytest.mark.parametrize("kind", KINDS)
def test_fault_has_evidence(kind: str, runtime: str, tmp_path: Path) -> None:
    """The control: done for real, the fault bites, and observers show it."""
    verdict = _judged(kind, tmp_path / "scenario", runtime=runtime)
    if why := _impossible(kind):
        return _must_say(verdict, why)
    assert [(fault["kind"], fault["bit"]) for fault in verdict["faults"]] == [(kind, True)], str(verdict["faults"])
    assert not [f for f in verdict["findings"] if f["reason"].startswith("no evidence")]


@pytest.mark.parametrize("kind", KINDS)
def test_fault_that_does_nothing_is_inconclusive(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever `inject` claims: without evidence every finding is inconclusive, for want of it."""
    monkeypatch.setattr(REGISTRY[kind], "inject", _nothing)
    if kind in AT_START:
        monkeypatch.setattr(REGISTRY[kind], "check", lambda _: None)  # it would refuse what is there
    verdict = _judged(kind, tmp_path / "scenario", done=False)
    if why := _impossible(kind):
        return _must_say(verdict, why)
    assert [(fault["kind"], fault["bit"]) for fault in verdict["faults"]] == [(kind, False)], str(verdict["faults"])
    assert verdict["verdict"] == "inconclusive"
    assert not verdict["as_expected"]
    findings = [finding for finding in verdict["findings"] if finding["bound"] is not None]
    assert {finding["verdict"] for finding in findings} == {"inconclusive"}
    assert all(finding["reason"].startswith("no evidence") for finding in findings), findings
