"""What a run says to the CI system that it runs in: the summary of its step, annotations, and nothing by accident.

GitHub takes a line that begins with `::`, after spaces too, or has `##[` in it, as a command, whoever printed it. While
lines are printed that hold words of a system under test, commands are off, and only a token that nobody can guess turns
them on again.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import plan
from harness.report import markdown, workflow

JSON = Mapping[str, Any]
Say = Callable[[str], None]


def tell(folders: Sequence[Path], environ: Mapping[str, str], say: Say | None) -> None:
    """Says what these runs came to, as the environment asks for it; nothing elsewhere.

    Annotations go to `say` (None: nowhere), each run's summary.md to $GITHUB_STEP_SUMMARY.
    """
    for folder in folders:
        _append(environ, folder / markdown.FILE)
    verdicts = [json.loads((folder / "verdict.json").read_text("utf-8")) for folder in folders]
    _annotate(folders, verdicts, environ, say)


def tell_night(reports: Path, verdicts: Sequence[JSON], environ: Mapping[str, str], say: Say) -> None:
    """Says what a night came to: one summary over its runs, and annotations of what counts in `verdicts`."""
    _append(environ, reports / markdown.FILE)
    _annotate([reports / verdict["run"] for verdict in verdicts], verdicts, environ, say)


def _annotate(folders: Sequence[Path], verdicts: Sequence[JSON], environ: Mapping[str, str], say: Say | None) -> None:
    if say is not None and _on_github(environ):
        root = Path(environ.get("GITHUB_WORKSPACE") or Path.cwd())
        places = {key: place for folder in folders for key, place in _places(folder, root)}
        for line in workflow.lines(verdicts, places):
            say(line)


@contextlib.contextmanager
def commands_off(environ: Mapping[str, str], say: Say | None) -> Iterator[None]:
    """While the body lasts, no line that is printed is a command to GitHub. Elsewhere, and without `say`, nothing."""
    if say is None or not _on_github(environ):
        yield
        return
    token = secrets.token_hex(16)
    say(f"::stop-commands::{token}")
    try:
        yield
    finally:
        say(f"::{token}::")


def _on_github(environ: Mapping[str, str]) -> bool:
    return environ.get("GITHUB_ACTIONS") == "true"


def _append(environ: Mapping[str, str], source: Path) -> None:
    """Appends a summary, cut to what GitHub still takes; what cannot be written there fails no run."""
    if not (named := environ.get("GITHUB_STEP_SUMMARY")):
        return
    target = Path(named)
    try:
        taken = target.stat().st_size if target.exists() else 0
        lines = source.read_text("utf-8").splitlines()
        text = markdown.fitted(lines, markdown.LONGEST - taken - 1)
        with target.open("a", encoding="utf-8") as file:
            file.write(f"{text}\n" if text else "")
        if not text:
            print(f"the summary of this step is full; see {source}", file=sys.stderr)
    except OSError as error:
        print(f"the summary of this step was not written: {error}; see {source}", file=sys.stderr)


def _places(folder: Path, root: Path) -> Iterator[tuple[tuple[str, str], workflow.Place]]:
    """Where each planned scenario stands below the repository's root, by run and id."""
    made = plan.read_plan(folder)
    for planned in made.planned:
        path = Path(os.path.abspath(Path(made.scenarios) / planned.file))
        if path.is_relative_to(root):
            yield (made.run, planned.id), workflow.Place(path.relative_to(root).as_posix(), planned.line)
