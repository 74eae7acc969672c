"""The weaknesses of a system as a table: what each is, where it must show, and what came of it when last judged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.errors import UsageError
from harness.report.markdown import code, prose, row
from harness.report.shape import Run
from harness.system.model import Exposure, SystemFile

BEGIN, END = "<!-- weaknesses: begin -->", "<!-- weaknesses: end -->"
"""The table stands between these lines in a page that has others as well."""
NOT_JUDGED = "not judged"


def table(system: SystemFile, asked: str, runs: Sequence[Run]) -> list[str]:
    """The table in Markdown, a row for each scenario that shows a weakness; of several runs the last one counts.

    `asked` is how the system is named to a command. Empty where no state of the system exposes anything.
    """
    order = list(dict.fromkeys([*system.weaknesses, *(one.weakness for one in system.exposures())]))
    exposures = sorted(system.exposures(), key=lambda one: order.index(one.weakness))
    states = [*dict.fromkeys(one.state for one in exposures), *_holding(system)]
    if not exposures:
        return []
    heads = ["weakness", "what it is", "scenario", "clause", *(f"as {prose(state)}" for state in states), "again"]
    lines = [row(heads), row(["---"] * len(heads))]
    for one in exposures:
        came_out = [_came_out(runs, system.system.name, one, state) for state in states]
        again = code(f"nats-harness run --system {asked} --all-states -k {one.scenario}")
        says = prose(system.weaknesses.get(one.weakness, ""))
        lines.append(row([prose(one.weakness), says, code(one.scenario), code(one.clause), *came_out, again]))
    return lines


def write_between(page: Path, lines: Sequence[str]) -> None:
    """Puts the table where it stands in a page. Raises UsageError where the page does not say where that is."""
    try:
        text = page.read_text("utf-8")
    except OSError as error:
        raise UsageError(f"the page cannot be read: {error.strerror}", where=str(page)) from error
    before, begun, rest = text.partition(f"{BEGIN}\n")
    _, ended, after = rest.partition(f"{END}\n")
    if not begun or not ended:
        raise UsageError("no place for the table", where=str(page), fix=f"write two lines, {BEGIN} and {END}")
    page.write_text("".join([before, begun, *(f"{line}\n" for line in lines), ended, after]), "utf-8")


def _holding(system: SystemFile) -> list[str]:
    return [name for name in system.state_names() if system.state(name).expect == "holds"]


def _came_out(runs: Sequence[Run], system: str, one: Exposure, state: str) -> str:
    """What the clause came out as in that state, in the last of the runs that planned it there."""
    found = [
        where["verdict"]
        for run in runs
        if run["system"] == system and one.weakness in run["weaknesses"]
        for where in run["weaknesses"][one.weakness]["where"]
        if (where["scenario"], where["state"], where["clause"]) == (one.scenario, state, one.clause)
    ]
    return found[-1] if found and found[-1] != "missing" else NOT_JUDGED
