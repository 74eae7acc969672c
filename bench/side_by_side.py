"""Do verdicts differ where two scenarios run side by side, on a machine of two cores, from one at a time?"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import mkdtemp

from bench.figures import Figure

ROUNDS = 10
SYSTEM, STATE = "telhawk", "hardened"
EIGHT = (
    "broker_crash",
    "broker_restart",
    "broker_paused",
    "entry_frozen",
    "entry_reset",
    "worker_killed",
    "worker_silent",
    "worker_refused",
)
"""Scenarios: each place that breaks, and each kind of recovery."""
WITHIN_S = 900
KEPT = Path("reports/side-by-side")

Verdicts = dict[str, str]


def figures() -> list[Figure]:
    """How many of all verdicts differ from one round of them one at a time to one side by side; the time of both.

    The runs of a round in which some differ are kept: they tell why.
    """
    differ, verdicts, took = 0, 0, {1: 0.0, 2: 0.0}
    KEPT.mkdir(parents=True, exist_ok=True)
    for number in range(1, ROUNDS + 1):
        folder = Path(mkdtemp(prefix=f"round-{number}-", dir=KEPT))
        found: dict[int, Verdicts] = {}
        for jobs in (1, 2):
            found[jobs], seconds = _judged(folder / str(jobs), jobs)
            took[jobs] += seconds
        verdicts += len(found[1])
        unlike = [
            name for name in sorted(found[1].keys() | found[2].keys()) if found[1].get(name) != found[2].get(name)
        ]
        for name in unlike:
            one, two = found[1].get(name), found[2].get(name)
            print(f"{folder}: {name}: {one} one at a time, {two} side by side", file=sys.stderr)
        differ += len(unlike)
        if not unlike:
            shutil.rmtree(folder)
        print(f"round {number} of {ROUNDS}: {differ} of {verdicts} differ", file=sys.stderr, flush=True)
    return [
        Figure(f"verdicts of {verdicts} that differ where two run side by side", differ, "", "at most", 0),
        Figure("  the time that it takes, of one at a time", round(took[2] / took[1], 2), "times"),
    ]


def _judged(folder: Path, jobs: int) -> tuple[Verdicts, float]:
    """Verdict by scenario; the seconds of the run."""
    folder.mkdir()
    chosen = " or ".join(f"{name}[" for name in EIGHT)
    command = [
        *(str(Path(sys.executable).with_name("nats-harness")), "run", "--system", SYSTEM, "--states", STATE),
        *("-k", chosen, "-j", str(jobs)),
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=WITHIN_S, check=False)
    if done.returncode not in (0, 1, 2):
        raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    run = json.loads((folder / "reports" / "latest" / "verdict.json").read_text())
    return {scenario["id"]: scenario["verdict"] for scenario in run["scenarios"]}, float(run["seconds"])
