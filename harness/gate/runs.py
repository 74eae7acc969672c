"""The verdicts of runs, found by name and checked against the published schema."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from harness import plan
from harness.errors import HarnessError, UsageError
from harness.report import counting, schema
from harness.report.shape import Night, Run

NIGHT = "night"
UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What a file raises that is no verdict."""


def to_decide(reports: Path, names: Sequence[str]) -> tuple[list[Run], list[str]]:
    """The runs to decide over, those of a `night` as it counts them, and what that night left open beside them.

    What was asked again stands for what noise had kept from being judged. Raises UsageError as `chosen`.
    """
    found, besides = chosen(reports, names), []
    if NIGHT in names:
        night = _night(reports)
        verdicts = cast("list[counting.JSON]", found)
        besides = list(counting.besides(cast("counting.JSON", night), verdicts))
        counted = cast("list[Run]", counting.counted(cast("counting.JSON", night), verdicts))
        found = [run for run in found if run["run"] not in _names(night)] + counted
    return found, besides


def chosen(reports: Path, names: Sequence[str]) -> list[Run]:
    """The runs of these names, paths, `latest`, or `night`: those of reports/nightly.json. Without a name: the latest.

    Raises UsageError for what is not there or no verdict, and where one run is named twice.
    """
    found = [read(folder) for name in names or ["latest"] for folder in folders(reports, name)]
    for at, run in enumerate(found):
        if run["run"] in [other["run"] for other in found[:at]]:
            raise UsageError(f"{run['run']} is named twice", fix="name each run once: it is no repetition of itself")
    return found


def folders(reports: Path, name: str) -> list[Path]:
    """The folder of a run, or of each run of the night that left one. Raises UsageError."""
    return [plan.find_run(reports, one) for one in (_names(_night(reports)) if name == NIGHT else [name])]


def read(folder: Path) -> Run:
    """The verdict of a run; of one that was killed halfway, what its scenarios left. Raises UsageError."""
    path = folder / "verdict.json"
    try:
        verdict = json.loads(path.read_text("utf-8")) if path.exists() else plan.merged(folder, seconds=0.0)
        schema.validate(verdict)
    except UNREADABLE as error:
        fix = f"judge it again: nats-harness judge {folder.name}"
        raise UsageError(f"no verdict can be read: {error}", where=str(path), fix=fix) from error
    except UsageError:
        raise
    except HarnessError as error:
        fix = f"judge it again: nats-harness judge {folder.name}"
        raise UsageError(error.what, where=str(path), fix=fix) from error
    return cast(Run, verdict)


def _night(reports: Path) -> Night:
    path = reports / "nightly.json"
    try:
        night = json.loads(path.read_text("utf-8"))
        for run in night["runs"]:
            _ = run["system"], run["exit"], run.get("again", {"scenarios": []})["scenarios"]
        _ = _names(night)
    except UNREADABLE as error:
        raise UsageError(f"no night can be read: {error}", where=str(path), fix="nats-harness nightly") from error
    return cast(Night, night)


def _names(night: Night) -> list[str]:
    """The runs of a night, and those in which it asked again, as far as they left something."""
    names = [name for run in night["runs"] for name in (run["run"], run["again"]["run"] if "again" in run else "")]
    return [name for name in names if name]
