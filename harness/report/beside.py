"""What is written beside the page, for people and machines that look elsewhere: junit.xml, summary.md, metrics.txt."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.report import counting, junit, markdown, metrics

JSON = Mapping[str, Any]
JUNIT, METRICS = "junit.xml", "metrics.txt"


def write(run_folder: Path, verdict: JSON) -> None:
    """Writes the three files of a run from its verdict.json, which must be valid; each whole or not at all."""
    _write(run_folder / JUNIT, junit.document([verdict]))
    _write(run_folder / markdown.FILE, markdown.fitted(markdown.run_lines(verdict)))
    _write(run_folder / METRICS, metrics.text([verdict]))


def write_night(reports: Path, nightly: JSON, verdicts: Sequence[JSON]) -> None:
    """Writes the three files of a night, over all of its runs; `nightly` is nightly.json."""
    runs = counting.counted(nightly, verdicts)
    _write(reports / JUNIT, junit.document(runs, list(counting.besides(nightly, verdicts))))
    _write(reports / markdown.FILE, markdown.fitted(markdown.night_lines(nightly, runs)))
    _write(reports / METRICS, metrics.text(runs))


def _write(path: Path, text: str) -> None:
    half = path.with_name(f".{path.name}.{os.getpid()}")
    half.write_text(text, encoding="utf-8")
    half.replace(path)
