"""index.html of a run: one self-contained file, rendered from verdict.json and the histories beside it.

Its scripts draw the charts once more, to be zoomed, and copy: without them everything is there and can be read.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harness import whole
from harness.errors import HarnessError
from harness.report import changes, chart, interactive, promises, reading, text
from harness.report.decided import Decided
from harness.report.depth import NO_DEPTH, Cut, Depth, cuts, depths, rows_of
from harness.report.reading import Standing
from harness.report.schema import validate
from harness.report.shape import Run, Scenario, Trouble

_HERE = Path(__file__).parent
PARTS = ("start", "windows_and_waits", "stop_load", "final_reads", "judging", "writing", "teardown")
"""The parts of a scenario's cost, in the order in which they pass; others come after them."""
DECISIONS = {0: "GO", 1: "NO-GO", 2: "CANNOT SAY", 64: "CANNOT SAY"}
"""What a release manager reads from a run's exit."""


def write(run_folder: Path, baseline: Sequence[Run] = (), decided: Decided | None = None) -> Path:
    """Renders `run_folder`/verdict.json to index.html beside it, and returns that path.

    `baseline` has the runs that it is compared with, `decided` what a policy makes of it; without one its exit decides.
    Raises HarnessError where verdict.json is missing, is not JSON, or is not what its schema says.
    """
    source = run_folder / "verdict.json"
    try:
        verdict = json.loads(source.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HarnessError(
            f"the run's verdict cannot be read: {error}",
            where=str(source),
            fix="judge the run again, or name the folder of a run that ended",
        ) from error
    validate(verdict)
    return put(run_folder, verdict, baseline, decided)


def put(
    run_folder: Path, verdict: Mapping[str, Any], baseline: Sequence[Run] = (), decided: Decided | None = None
) -> Path:
    """The same for a valid verdict that is at hand. The page is replaced at once, never half written."""
    page = run_folder / "index.html"
    whole.write_text(page, render(verdict, depths(run_folder, verdict), cuts(run_folder, verdict), baseline, decided))
    return page


def render(
    verdict: Mapping[str, Any],
    deep: Sequence[Depth] = (),
    cut: Sequence[Cut] = (),
    baseline: Sequence[Run] = (),
    decided: Decided | None = None,
) -> str:
    """The page for a run's verdict.json, which must be valid (`schema.validate`); the same verdict, the same page.

    `deep` has what the histories add, one for each of the verdict's scenarios; without them there are no timelines.
    `cut` has the scenarios that left a history and no verdict.
    """
    run = cast(Run, text.plain_tree(dict(verdict)))
    headline, sentence = reading.EXITS[run["exit"]]
    scenarios = run["scenarios"]
    anchors = _anchors(scenarios)
    placed = _Places(dict(zip((id(scenario) for scenario in scenarios), anchors, strict=True)))
    unexpected = placed.take(reading.to_look_at(run))
    expected = placed.take([s for s in scenarios if reading.findings(s, Standing.SHOWN, Standing.ASIDE)])
    quiet = placed.take([s for s in scenarios if reading.findings(s, Standing.HOLDS) or placed.waits(s)])
    style, scripts = part("page.css"), [part("page.js")]
    if any(depth.line and not depth.line.why_not for depth in (*deep, *(one.depth for one in cut))):
        library, its_style = interactive.library()
        style, scripts = its_style + style, [*scripts, library, part("chart.js")]
    anchor_of = {scenario["id"]: anchor for scenario, anchor in zip(scenarios, anchors, strict=True)}
    found = {id(scenario): depth for scenario, depth in zip(scenarios, deep, strict=bool(deep))}
    late = [depth.line.late_ms for depth in deep if depth.line and not depth.line.why_not]
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            run=run,
            decision=decided.answer if decided else DECISIONS[run["exit"]],
            decided=decided,
            headline=headline,
            sentence=sentence,
            reasons=list(promises.reasons(run)),
            style=Markup(style),
            style_hash=hashed(style),
            scripts=[(Markup(script), hashed(script)) for script in scripts],
            promises=promises.rows(run),
            cut=cut,
            changes=changes.since(run, [cast(Run, text.plain_tree(dict(one))) for one in baseline]),
            skipped=promises.skipped(run),
            anchor_of=anchor_of,
            depth_of=lambda scenario: found.get(id(scenario), NO_DEPTH),
            late_ms=max(late, default=None),
            sums=reading.sums(run),
            columns=reading.columns(run),
            anchors=anchors,
            unexpected_scenarios=unexpected,
            expected_scenarios=expected,
            quiet_scenarios=quiet,
            reproduced=sum(weakness["reproduced"] for weakness in run["weaknesses"].values()),
            not_judged=reading.not_judged(run),
            troubles=_troubles(scenarios),
            calm=[scenario["id"] for scenario in scenarios if not scenario["faults"]],
            parts=_parts(scenarios),  # part of the cost to its sum
        )
    )


@cache
def environment() -> Environment:
    """What renders the templates of this package: everything is escaped, and what is not given is an error."""
    made = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        bound=reading.bound,
        count=lambda n: f"{n:,}",
        evidence=reading.evidence,
        margin=reading.margin,
        measured=reading.measured,
        moment=text.moment,
        folder=_folder,
        seconds=text.seconds,
    )
    made.tests["bare"] = reading.bare
    made.globals.update(
        bare=reading.bare,
        cell=reading.cell,
        draw=chart.draw,
        fault_words=chart.fault_words,
        numbers=interactive.numbers,
        rows_of=rows_of,
        findings=reading.findings,
        overlapping=reading.overlapping,
        reasons_besides=reading.reasons_besides,
        says=reading.SAYS,
        weaknesses_of=reading.weaknesses_of,
        wrong=reading.wrong,
        repro_of=reading.repro_of,
    )
    return made


def _folder(scenario_id: str) -> str:
    """Where a scenario's folder lies beside the page (`broker_crash[hardened]` in broker_crash-hardened), as a link."""
    return f"scenarios/{quote(scenario_id.replace('[', '-').replace(']', ''), safe='')}/"


def part(name: str) -> str:
    """A file of this package, which a page takes in as it is."""
    return (_HERE / name).read_text(encoding="utf-8")


def hashed(part: str) -> str:
    """A hash as a Content-Security-Policy names it: no other style, and no other script, can take effect."""
    return "sha256-" + base64.b64encode(hashlib.sha256(part.encode("utf-8")).digest()).decode("ascii")


def _anchors(scenarios: list[Scenario]) -> list[str]:
    """One anchor a scenario, readable and the same in every run: scenario-broker-crash-hardened."""
    found: list[str] = []
    for scenario in scenarios:
        name = "scenario-" + re.sub(r"[^a-z0-9]+", "-", scenario["id"].lower()).strip("-")
        taken = sum(other == name or other.startswith(f"{name}.") for other in found)
        found.append(f"{name}.{taken + 1}" if taken else name)
    return found


class _Places:
    """A scenario may stand in several sections; its anchor goes to the first."""

    def __init__(self, anchors: dict[int, str]) -> None:
        self._waiting = anchors

    def waits(self, scenario: Scenario) -> bool:
        """Has the scenario no place yet?"""
        return id(scenario) in self._waiting

    def take(self, scenarios: list[Scenario]) -> list[tuple[Scenario, str]]:
        """The scenarios, each with its anchor, or with none where an earlier section has it."""
        return [(scenario, self._waiting.pop(id(scenario), "")) for scenario in scenarios]


def _troubles(scenarios: list[Scenario]) -> list[tuple[str, Trouble]]:
    return [(scenario["id"], trouble) for scenario in scenarios for trouble in scenario["troubles"]]


def _parts(scenarios: list[Scenario]) -> dict[str, float]:
    """Each part of the cost, in the order in which they pass, with its sum."""
    seen = dict.fromkeys(part for scenario in scenarios for part in scenario["cost"])
    ordered = [part for part in PARTS if part in seen] + [part for part in seen if part not in PARTS]
    return {part: sum(scenario["cost"].get(part, 0.0) for scenario in scenarios) for part in ordered}
