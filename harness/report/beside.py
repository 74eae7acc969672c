"""What is written beside the page, for people and machines that look elsewhere: junit.xml, summary.md, metrics.txt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import whole
from harness.report import counting, junit, markdown, metrics
from harness.report.decided import Decided

JSON = Mapping[str, Any]
JUNIT, METRICS = "junit.xml", "metrics.txt"


def write(run_folder: Path, verdict: JSON, decided: Decided | None = None) -> None:
    """Writes the three files of a run from its verdict.json, which must be valid; each whole or not at all.

    `decided`, what a policy makes of it, stands in the summary.
    """
    whole.write_text(run_folder / JUNIT, junit.document([verdict]))
    whole.write_text(run_folder / markdown.FILE, markdown.fitted(markdown.run_lines(verdict, decided)))
    whole.write_text(run_folder / METRICS, metrics.text([verdict]))


def write_night(reports: Path, nightly: JSON, verdicts: Sequence[JSON], decided: Decided | None = None) -> None:
    """Writes the three files of a night, over all of its runs; `nightly` is nightly.json, `decided` as in `write`."""
    runs = counting.counted(nightly, verdicts)
    whole.write_text(reports / JUNIT, junit.document(runs, list(counting.besides(nightly, verdicts))))
    whole.write_text(reports / markdown.FILE, markdown.fitted(markdown.night_lines(nightly, runs, decided)))
    whole.write_text(reports / METRICS, metrics.text(runs))
