"""nightly.html of a night: its one decision, and its runs with a link to the page of each."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from markupsafe import Markup

from harness import whole
from harness.errors import HarnessError
from harness.report import page, promises, reading, text
from harness.report.decided import Decided
from harness.report.reading import Sums
from harness.report.schema import validate
from harness.report.shape import Night, Run
from harness.verdict import night_exit

_RUN = re.compile(r"[\w.-]{1,100}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Told:
    """One run of a night; `sums` is None where it left no verdict. `link` leads to its page, empty where none is."""

    name: str
    system: str
    exit: int
    decision: str
    link: str
    sums: Sums | None
    reasons: list[str]
    again: bool = False
    """It asks again what our own noise had kept from being judged in the run before."""


def write(reports: Path, decided: Decided | None = None) -> Path:
    """Renders `reports`/nightly.json and the verdicts of its runs to nightly.html beside it, and returns that path.

    `decided` is what a policy makes of the night; without one its exit decides. The page is replaced at once.
    Raises HarnessError where nightly.json is missing or is not one.
    """
    source = reports / "nightly.json"
    try:
        night = json.loads(source.read_text(encoding="utf-8"))
        html = render(night, {name: _verdict(reports, name) for name in _names(night)}, decided)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        fix = "run the nightly again: it writes both"
        raise HarnessError(f"the night cannot be read: {error!r}", where=str(source), fix=fix) from error
    target = reports / "nightly.html"
    whole.write_text(target, html)
    return target


def render(
    night: Mapping[str, Any], verdicts: Mapping[str, Mapping[str, Any] | None], decided: Decided | None = None
) -> str:
    """The page for a nightly.json and the valid verdicts of its runs by name (None: it left none)."""
    told = cast(Night, text.plain_tree(dict(night)))
    if told["exit"] not in page.DECISIONS:
        raise ValueError(f"no night has the exit {told['exit']}")
    runs = _runs(told, verdicts)
    # What was asked again stands for the run before it.
    stood_for = [one.again for one in runs[1:]] + [False]
    counts = [run.exit for run, again in zip(runs, stood_for, strict=bool(runs)) if not again]
    code = night_exit([told["exit"], *counts], unproven=bool(told.get("unproven")))
    style, script = page.part("page.css"), page.part("page.js")
    return (
        page.environment()
        .get_template("night.html.j2")
        .render(
            exit=code,
            decision=decided.answer if decided else page.DECISIONS[code],
            decided=decided,
            headline=reading.EXITS[code][0],
            runs=runs,
            unproven=told.get("unproven", []),
            style=Markup(style),
            style_hash=page.hashed(style),
            script=Markup(script),
            script_hash=page.hashed(script),
        )
    )


def _names(night: Mapping[str, Any]) -> list[str]:
    return [one["run"] for run in night["runs"] for one in (run, run.get("again")) if one]


def _verdict(reports: Path, name: str) -> Mapping[str, Any] | None:
    """A run's verdict; None where it left none, or one that is not what its schema says."""
    if not _RUN.fullmatch(name) or name in (".", ".."):
        return None
    try:
        found = json.loads((reports / name / "verdict.json").read_text("utf-8"))
        validate(found)
    except (OSError, ValueError, HarnessError):
        return None
    return cast("Mapping[str, Any]", found)


def _runs(night: Night, verdicts: Mapping[str, Mapping[str, Any] | None]) -> list[Told]:
    found = []
    for run in night["runs"]:
        found.append(_told(run["run"], run["system"], run["exit"], verdicts))
        if "again" in run:
            again = run["again"]
            found.append(_told(again["run"], run["system"], again["exit"], verdicts, again=True))
    return found


def _told(
    name: str, system: str, code: int, verdicts: Mapping[str, Mapping[str, Any] | None], *, again: bool = False
) -> Told:
    verdict = verdicts.get(name)
    code = code or (int(verdict["exit"]) if verdict else 2)  # what is there now has the last word
    decision = page.DECISIONS.get(code, f"exit {code}")
    if verdict is None:
        return Told(name, system, code, decision, "", None, ["It left no verdict that can be read."], again)
    run = cast(Run, text.plain_tree(dict(verdict)))
    reasons = [reason for _, reason in promises.reasons(run)]
    return Told(name, system, code, decision, f"{name}/index.html", reading.sums(run), reasons, again)
