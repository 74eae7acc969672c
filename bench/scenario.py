"""What a scenario costs: until telhawk is ready, until it is gone, beyond its windows, and in processor time."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Any

from bench.figures import Figure, middle
from harness.history.reader import History
from harness.run import Run
from harness.run.setting import Setting
from harness.system.loader import load_system

WAITS = ("start lock", "steady", "recovered", "settle")
"""Phases that the scenario asked for, or that waited for other runs: none of the harness' own cost."""
ITEMS = ("start", "prepare", "start_load", "stop_load", "final_reads", "teardown")
CALM_S = 6.0


def setting(system: str, folder: Path, *, hardening: str | None, name: str = "bench") -> Setting:
    """A scenario of a system, in a folder of its own."""
    loaded = load_system(system)
    return Setting(
        system=loaded,
        planned_id=name,
        scenario=name,
        state="bench",
        settles_s=loaded.promises.settles_s,
        hardening=hardening,
        expect="holds",
        exposes={},
        calm=True,
        run=folder.name,
        seed=1,
        folder=folder / name,
        repro="",
    )


def drive(made: Setting, scenario: Callable[[Run], Awaitable[None]]) -> dict[str, Any]:
    """Runs it to its verdict."""
    run = Run(made)
    return asyncio.run(run.drive(lambda: scenario(run)))


async def calm(run: Run) -> None:
    """Nothing goes wrong for CALM_S."""
    async with run.load():
        await run.steady(CALM_S)


def figures(*, rounds: int) -> list[Figure]:
    """Medians of so many calm scenarios of hardened telhawk."""
    costs: list[dict[str, float]] = []
    cores: dict[str, list[float]] = {}
    with TemporaryDirectory() as temporary:
        for number in range(rounds):
            began = time.monotonic()
            verdict = drive(setting("telhawk", Path(temporary), hardening="all", name=f"calm{number}"), calm)
            total = time.monotonic() - began
            assert verdict["verdict"] == "holds", json.dumps(verdict["findings"], indent=1)
            cost = dict(verdict["cost"])
            cost["beyond"] = total - sum(cost.get(name, 0.0) for name in WAITS)
            cost["judging and writing"] = cost["beyond"] - sum(cost.get(name, 0.0) for name in ITEMS)
            costs.append(cost)
            for group, share in _cores(Path(temporary) / f"calm{number}" / "history").items():
                cores.setdefault(group, []).append(share)
    system = [sum(parts) for parts in zip(cores["system"], cores["broker"], cores["proxies"], strict=True)]
    own = [sum(parts) for parts in zip(cores["load"], cores["runner"], strict=True)]
    return [
        Figure("telhawk ready", middle([cost["start"] for cost in costs]), "s", "at most", 2.0),
        Figure("telhawk torn down", middle([cost["teardown"] for cost in costs]), "s", "at most", 1.0),
        Figure("a scenario beyond its windows and waits", middle([c["beyond"] for c in costs]), "s", "at most", 4.0),
        *(
            Figure(f"  of it {name}", middle([cost.get(name, 0.0) for cost in costs]), "s")
            for name in (*ITEMS, "judging and writing")
        ),
        Figure("telhawk, broker and proxies in steady", middle(system), "cores", "at most", 0.4),
        Figure("the harness itself beside them", middle(own), "cores"),
    ]


def _cores(folder: Path) -> dict[str, float]:
    """Mean cores by group in the steady window."""
    history = History.open(folder)
    steady = next(line for line in history.lines("phase") if line["name"] == "steady")
    lines = [
        line["cpu"]
        for line in history.lines("noise")
        if line["what"] == "runner" and steady["from_ns"] + 10**9 <= line["t_ns"] <= steady["t_ns"]
    ]
    return {group: mean(line[group] for line in lines) for group in lines[0]}
