"""A short run of a real system under real faults, judged."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.run import Run
from harness.run.setting import Setting
from harness.runtime import _nft
from harness.system.loader import load_system

Scenario = Callable[[Run], Awaitable[None]]


def can_lose() -> bool:
    """Whether this machine can lose packets."""
    try:
        _nft.check()
    except UsageError:
        return False
    return True


def judged(
    scenario: Scenario,
    folder: Path,
    *,
    system: str = "bare",
    hardening: str | None = None,
    without: frozenset[str] = frozenset(),
    runtime: str = "processes",
) -> dict[str, Any]:
    """The verdict of a scenario, whose history is in `folder` / history."""
    setting = Setting(
        system=load_system(system),
        planned_id=folder.name,
        scenario="faults",
        state="default",
        settles_s=1,
        hardening=hardening,
        expect="holds",
        exposes={},
        calm=False,
        run="faults",
        seed=1,
        folder=folder,
        repro="",
        without=without,
        runtime=runtime,
    )
    run = Run(setting)
    return asyncio.run(run.drive(lambda: scenario(run)))
