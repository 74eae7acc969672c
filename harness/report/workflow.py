"""Lines that GitHub shows beside a scenario's source, as workflow commands.

GitHub shows ten errors and ten warnings of a step and drops the others without a word, so the tenth line of too many
says how many there are. A message is cut there at 4096 characters; ours are shorter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

from harness.report import reading
from harness.report.shape import Run, Scenario
from harness.report.text import count, plain, plain_tree
from harness.verdict import Verdict

MOST = 10
"""Annotations of a kind that GitHub shows for a step."""
LONGEST = 900
"""Characters of one reason, or of the command that runs it again."""
TITLE = 200
_REASONS = 3


class Place(NamedTuple):
    """Where a scenario stands: its file below the repository's root, its line from 1 on."""

    file: str
    line: int


def lines(verdicts: Sequence[Mapping[str, Any]], places: Mapping[tuple[str, str], Place]) -> list[str]:
    """One command a scenario that is not as expected: an error where something is violated, else a warning.

    `places` maps a run and a scenario's id to where that stands; without a place it is shown with the job alone.
    """
    errors: list[str] = []
    warnings: list[str] = []
    for verdict in verdicts:
        run = cast(Run, plain_tree(dict(verdict)))
        stands = {plain(id_): place for (name, id_), place in places.items() if name == verdict["run"]}
        for scenario in reading.to_look_at(run):
            message = [*_reasons(scenario), f"run it again: {plain(scenario['repro'], longest=LONGEST)}"]
            title = f"{run['system']}: {scenario['id']} {scenario['verdict']}, not as expected"
            failed = any(_fails(scenario, clause) for clause in _unexpected(scenario))
            into, level = (errors, "error") if failed else (warnings, "warning")
            into.append(_command(level, title, "\n".join(message), stands.get(scenario["id"])))
        for id_ in run["missing"]:
            title = f"{run['system']}: {id_} has no verdict"
            warnings.append(_command("warning", title, "it was planned", stands.get(id_)))
    return [*_few(errors, "error"), *_few(warnings, "warning")]


def _unexpected(scenario: Scenario) -> list[str]:
    return [finding["clause"] for finding in reading.findings(scenario, reading.Standing.UNEXPECTED)]


def _fails(scenario: Scenario, clause: str) -> bool:
    return reading.merged(scenario, clause) is not Verdict.INCONCLUSIVE


def _reasons(scenario: Scenario) -> list[str]:
    reasons = scenario["reasons"] or ["nothing was judged"]
    more = len(reasons) - _REASONS
    shown = [plain(reason, longest=LONGEST) for reason in reasons[:_REASONS]]
    return [*shown, f"and {count(more, 'more reason')}"] if more > 0 else shown


def _few(commands: Sequence[str], level: str) -> list[str]:
    if len(commands) <= MOST:
        return list(commands)
    left = len(commands) - (MOST - 1)
    told = f"GitHub shows {MOST} of a step; the summary and index.html have all"
    return [*commands[: MOST - 1], _command(level, f"{left} more scenarios are not as expected", told, None)]


def _command(level: str, title: str, message: str, place: Place | None) -> str:
    properties = {"file": place.file, "line": str(place.line)} if place else {}
    properties["title"] = plain(title, longest=TITLE)
    given = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::{level} {given}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
