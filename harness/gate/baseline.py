"""The baseline: verdicts of runs that somebody accepted, kept under reports/baseline/ beside the code.

Each is a folder with the run's plan.json and verdict.json alone, so that it can be committed.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import plan
from harness.errors import UsageError
from harness.gate import runs
from harness.history.shown import on_lines
from harness.report.shape import Run
from harness.report.text import plain

FOLDER = "baseline"


@dataclass(frozen=True, slots=True)
class Accepted:
    """What accepting did: the runs that are kept now, those that were removed, and where the baseline is."""

    folder: str
    kept: Sequence[str]
    removed: Sequence[str]

    def lines(self) -> list[str]:
        """What to say of it."""
        kept = [f"accepted: {self.folder}/{plain(name)}" for name in self.kept]
        return kept + [f"removed: {self.folder}/{plain(name)}" for name in self.removed]


def accept(reports: Path, names: Sequence[str], *, replacing: bool, anyway: bool) -> Accepted:
    """Keeps runs in the baseline; `replacing` removes the older ones of the same systems and runtimes.

    Raises UsageError, before anything is changed, for a run that was not as expected, unless `anyway`, and for one in
    which nothing was judged.
    """
    found = runs.chosen(reports, names)
    folders = {path.name: path for name in names or ["latest"] for path in runs.folders(reports, name)}
    for run in found:
        if run["run"] not in folders:
            what = f"its verdict is that of {plain(run['run'])}"
            raise UsageError(what, where=", ".join(map(plain, folders)), fix="name that run")
        if not run["scenarios"]:
            raise UsageError(f"nothing was judged in {plain(run['run'])}", fix="accept a run that judged something")
        if run["exit"] and not anyway:
            why = plain(run["reasons"][0]) if run["reasons"] else "something is missing"
            fix = "accept one that was good, or say --anyway; what did not hold is no sample either way"
            raise UsageError(f"{plain(run['run'])} was not as expected: {why}", fix=fix)
    base = reports / FOLDER
    if base.exists() and not base.is_dir():
        raise UsageError("it is no folder", where=str(base), fix="move it away")
    same = {(run["system"], run["runtime"]) for run in found}
    new = [run["run"] for run in found]
    there = zip(_folders(reports), read(reports), strict=True)
    old = [folder for folder, run in there if (run["system"], run["runtime"]) in same and folder.name not in new]
    for run in found:
        folder = base / run["run"]
        source = folders[run["run"]]
        folder.mkdir(parents=True, exist_ok=True)
        if source != folder.resolve():
            plan.write_json(folder / "verdict.json", run)
            shutil.copyfile(source / "plan.json", folder / "plan.json")
    removed = old if replacing else []
    for folder in removed:
        folder.unlink() if folder.is_symlink() else shutil.rmtree(folder)
    return Accepted(str(base), new, [folder.name for folder in removed])


def read(reports: Path) -> list[Run]:
    """Every run of the baseline, the oldest first. Raises UsageError where one cannot be read."""
    return [runs.read(folder) for folder in _folders(reports)]


def _folders(reports: Path) -> list[Path]:
    return [path.parent for path in sorted((reports / FOLDER).glob("*/plan.json"))]


def known(reports: Path) -> list[Run]:
    """The same for a page, which is written without it where it cannot be read; that is told."""
    try:
        return read(reports)
    except UsageError as error:
        print(f"not compared with the baseline: {on_lines(error)}", file=sys.stderr)
        return []
