"""What pages and the terminal say of runs by the policy of the folder that one works in."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from harness.errors import UsageError
from harness.gate import baseline, policy_file, runs
from harness.gate.answer import Answer
from harness.gate.answer import Reason as Given
from harness.gate.decide import decide
from harness.history.shown import on_lines
from harness.report.decided import Decided, Reason
from harness.report.shape import Run


def of_run(reports: Path, verdict: dict[str, Any]) -> Decided | None:
    """The decision over one run, whose verdict.json this is, today; None where there is no policy."""
    return _decided(reports, lambda: ([cast(Run, verdict)], []))


def of_night(reports: Path) -> Decided | None:
    """The decision over the last night, today; None where there is no policy."""
    return _decided(reports, lambda: runs.to_decide(reports, [runs.NIGHT]))


def _decided(reports: Path, taken: Callable[[], tuple[list[Run], list[str]]]) -> Decided | None:
    """A policy, a baseline or a night that cannot be read was meant to take part: that is CANNOT SAY."""
    today, where = datetime.now(UTC).date(), "a policy that cannot be read"
    try:
        there = policy_file.found(Path())
        if there is None:
            return None
        policy, where = there
        found, besides = taken()
        decision = decide(policy, found, baseline.read(reports), today=today, besides=besides)
    except UsageError as error:
        answer = str(Answer.CANNOT_SAY)
        return Decided(answer, where, str(today), [Reason(answer, " ".join(on_lines(error).split()))])
    return Decided(str(decision.answer), where, str(today), _reasons(decision.deciding), _reasons(decision.told))


def _reasons(given: Iterable[Given]) -> list[Reason]:
    return [Reason(str(one.answer), one.text, one.scenario) for one in given]
