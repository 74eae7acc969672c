"""A fault that does nothing must never pass for one that bit.

Goes through every registered fault, twice on the same real system: once as it is, which must have evidence, and once
with `inject` replaced by something that does nothing and *claims* to have taken effect, which must be inconclusive.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from time import monotonic_ns
from typing import Any

import pytest

from harness.faults import REGISTRY, Fault, load_all
from harness.run import Run
from harness.run.setting import Setting
from harness.system.loader import load_system

load_all()
ASKED: Mapping[str, object] = {"latency_ms": 200.0}
"""What a fault wants to be told beside its target."""


async def _nothing(_: Fault) -> int:
    return monotonic_ns()


def _judged(kind: str, folder: Path) -> dict[str, Any]:
    """A short run of `bare` with this fault on what its fields name: the broker, or the load's link to it."""
    setting = Setting(
        system=load_system("bare"),
        planned_id=f"no_op[{kind}]",
        scenario="no_op",
        state="default",
        settles_s=1,
        hardening=None,
        expect="holds",
        exposes={},
        calm=False,
        run="no-op",
        seed=1,
        folder=folder,
        repro="",
    )
    run = Run(setting)

    async def scenario() -> None:
        targets = {"node": run.broker, "provider": run.broker, "source": None}
        fields = [field.name for field in dataclasses.fields(REGISTRY[kind]) if field.init and field.name != "stage"]
        asked = {name: {**targets, **ASKED}[name] for name in fields if name in targets or name in ASKED}
        async with run.load():
            await run.steady(1)
            async with getattr(run.faults, kind)(**asked):
                await run.steady(1)
            await run.recovered(within_s=5)

    return asyncio.run(run.drive(scenario))


@pytest.mark.parametrize("kind", sorted(REGISTRY))
def test_fault_has_evidence(kind: str, tmp_path: Path) -> None:
    """The control: done for real, the fault bites, and observers show it."""
    verdict = _judged(kind, tmp_path / "scenario")
    assert [(fault["kind"], fault["bit"]) for fault in verdict["faults"]] == [(kind, True)], verdict["faults"]
    assert not [f for f in verdict["findings"] if f["reason"].startswith("no evidence")]


@pytest.mark.parametrize("kind", sorted(REGISTRY))
def test_fault_that_does_nothing_is_inconclusive(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever `inject` claims: without evidence every finding is inconclusive, for want of it."""
    monkeypatch.setattr(REGISTRY[kind], "inject", _nothing)
    verdict = _judged(kind, tmp_path / "scenario")
    assert [(fault["kind"], fault["bit"]) for fault in verdict["faults"]] == [(kind, False)], verdict["faults"]
    assert verdict["verdict"] == "inconclusive"
    assert not verdict["as_expected"]
    judged = [finding for finding in verdict["findings"] if finding["bound"] is not None]
    assert {finding["verdict"] for finding in judged} == {"inconclusive"}
    assert all(finding["reason"].startswith("no evidence") for finding in judged), judged
