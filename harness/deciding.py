"""`gate` and `trend`: the decision over stored runs, and their course. Nothing is started."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from harness.errors import UsageError
from harness.gate import baseline, lines, policy_file, runs, store
from harness.gate import trend as course
from harness.gate.decide import decide
from harness.report.terminal import Look


def gate(reports: Path, names: Sequence[str], policy: Path | None, *, as_json: bool) -> int:
    """Decides and says why; the exit of the answer. Raises UsageError for a bad policy and for runs that are none."""
    chosen, where = policy_file.load(policy, Path.cwd())
    found = runs.chosen(reports, names)
    decision = decide(chosen, found, baseline.read(reports), today=datetime.now(UTC).date())
    if as_json:
        print(json.dumps(lines.as_json(decision, where), indent=1))
    else:
        _say(lines.of_decision(decision, where, _look()))
    return decision.answer.exit


def trend(reports: Path, last: int, system: str | None, *, every: bool, rebuild: bool, as_json: bool) -> int:
    """Takes new runs into the file and shows their course. Raises StoreError, and UsageError where no run is."""
    if rebuild and (aside := store.rebuild(reports)) is not None:
        print(f"set aside: {aside}", file=sys.stderr)
    for unread in store.update(reports):
        print(f"left out: {unread}", file=sys.stderr)
    rows = store.rows(reports, last, system)
    if not rows:
        what = f"no judged run of {system}" if system else "no judged run"
        raise UsageError(what, where=str(reports), fix="run nats-harness run first, or name another --system")
    found = course.courses(rows)
    if as_json:
        print(json.dumps(course.as_json(found), indent=1))
    else:
        _say(course.lines(found, _look(), every=every))
    return 0


def _look() -> Look:
    return Look.of(sys.stdout, os.environ)


def _say(told: Iterable[str]) -> None:
    for line in told:
        print(line)
