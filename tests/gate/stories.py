"""Runs for a gate, made up of a few scenarios and clauses."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any, cast

from harness.gate.answer import Decision, Reason
from harness.gate.decide import decide
from harness.gate.policy import Policy
from harness.report.shape import Run
from tests.report import verdicts

TODAY = date(2026, 11, 29)
RECOVERY = "reconnects.works"


def run(name: str, *scenarios: verdicts.JSON, system: str = "ours", missing: Sequence[str] = ()) -> Run:
    """A run of this name; two scenarios that hold where none is given."""
    chosen = copy.deepcopy(scenarios or (verdicts.calm(), verdicts.scenario("crash")))
    return cast(Run, verdicts.run(chosen, run=name, system=system, missing=missing))


def recovering(name: str, seconds: float | None, **given: Any) -> Run:
    """A run whose one scenario recovered within that time, and lost nothing."""
    timed = verdicts.finding(RECOVERY, **{"bound": 5, "measured": seconds, "unit": "s", **given})
    return run(name, verdicts.scenario("crash", findings=[verdicts.finding("no_loss"), timed]))


def repeated(*seconds: float, name: str = "now") -> list[Run]:
    """A run for each time."""
    return [recovering(f"{name}-{number}", value) for number, value in enumerate(seconds)]


def write(reports: Path, *runs: Run) -> None:
    """Writes runs as `nats-harness run` leaves them, as far as a gate reads them."""
    for one in runs:
        folder = reports / one["run"]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "plan.json").write_text('{"schema": 1}')
        (folder / "verdict.json").write_text(json.dumps(one))


def policy(**given: Any) -> Policy:
    """A policy as a file would say it."""
    return Policy.model_validate(given)


def decided(policy: Policy, runs: Sequence[Run], baseline: Sequence[Run] = ()) -> Decision:
    """The decision of that day."""
    return decide(policy, runs, baseline, today=TODAY)


def reasons(decision: Decision, rule: str) -> list[Reason]:
    """The reasons of one rule."""
    return [reason for reason in decision.reasons if reason.rule == rule]


def findings(run: Run) -> Iterator[Any]:
    """Every finding of a run."""
    for scenario in run["scenarios"]:
        yield from scenario["findings"]


def known(**given: Any) -> dict[str, Any]:
    """A known weakness of the recovery, good for a month."""
    base = {"clause": RECOVERY, "owner": "Ada", "reason": "waits for nats-py 3", "expires": date(2026, 12, 31)}
    return {**base, **given}
