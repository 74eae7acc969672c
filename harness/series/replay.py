"""Scenarios of a stored run, run again as they were, once or until one comes out as wanted."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from harness import bundle, launching, plan
from harness.errors import UnknownName, UsageError
from harness.report.text import plain
from harness.system.loader import load_system
from harness.verdict import worst_exit

Tried = tuple[Path | None, int]


def replay(
    reports: Path,
    name: str,
    scenario: str | None,
    seed: int | None = None,
    *,
    system: str = "",
    hold: str = "",
    until: str = "",
    most: int = 1,
) -> int:
    """Runs scenarios of a run again, as they were, each `most` times or until its verdict is `until`; the worst exit.

    `name` may be a bundle, which is opened first; `system` is the system file of a run that was made elsewhere,
    `hold` where to stop (harness.run.holding).
    Raises UsageError for a run or scenario that there is not, and where nothing was other than expected.
    """
    folder = bundle.open_(Path(name), reports).path if bundle.is_bundle(name) else plan.find_run(reports, name)
    made = plan.read_plan(folder)
    system = system or _system(made, folder)
    scenarios = folder / bundle.SCENARIOS if bundle.opened(folder) else Path(made.scenarios)
    entries = {entry.id: entry for entry in made.planned}
    if scenario is not None and scenario not in entries:
        raise UnknownName(scenario, map(plain, entries), kind="scenario of this run", where=folder.name)
    unexpected, differences = _judged(folder)
    chosen = [scenario] if scenario else unexpected
    if not chosen:
        raise UsageError("everything was as expected", where=folder.name, fix="name the scenario to run again")
    for sentence in differences:
        print(f"not the same as then: {plain(sentence)}", file=sys.stderr)
    codes: list[int] = []
    folders: list[Path] = []
    for id_ in chosen:
        entry = entries[id_]
        asked = launching.Asked(
            system,
            None if made.hardening else entry.state,
            made.hardening,
            runtime=made.runtime,
            scenarios=scenarios,
            seed=made.seed if seed is None else seed,
            nodeids=(entry.nodeid,),
            hold=hold,
        )
        tries = list(_tries(asked, reports, id_, until, most))
        codes += [code for _, code in tries]
        folders += [tried for tried, _ in tries[-1:] if tried]
        if codes[-1] == launching.INTERRUPTED:
            return launching.INTERRUPTED
    launching.tell(folders)
    return worst_exit(codes)


def _judged(folder: Path) -> tuple[list[str], list[str]]:
    """The scenarios of a run that were not as expected or not judged, and what is not as it was then."""
    try:
        verdict = plan.merged(folder, seconds=0.0)
        unexpected = [found["id"] for found in verdict["scenarios"] if not found["as_expected"]]
        return unexpected + verdict["missing"], list(_differences(verdict["versions"]))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        what = f"no verdict can be read: {error!r}"
        fix = f"judge it again: nats-harness judge {folder.name}"
        raise UsageError(what, where=str(folder / "scenarios"), fix=fix) from error


def _system(made: plan.Plan, folder: Path) -> str:
    """The system of a run, where it is here."""
    try:
        load_system(made.system_file)
    except UsageError as error:
        if not bundle.opened(folder):
            raise
        fix = f"name yours with --system; as it was then it is in {folder}/scenarios/*/system.toml, without its secrets"
        raise UsageError(
            f"the system of this run is not here: {error.what}", where=made.system_file, fix=fix
        ) from error
    return made.system_file


def _tries(asked: launching.Asked, reports: Path, scenario: str, until: str, most: int) -> Iterator[Tried]:
    """The folder and exit of each try, up to the one that comes out as wanted."""
    for number in range(1, most + 1):
        folder, code = launching.launch(asked, reports)
        yield folder, code
        came = _verdict(folder) if folder else ""
        found = came == until
        if until:
            told = f"{until} {int(found)} of {number} times" if found or number == most else f"try {number} of {most}"
            print(f"{plain(scenario)}: {told}", flush=True)
        if found or code == launching.INTERRUPTED:
            return


def _verdict(folder: Path) -> str:
    """What the one scenario of a run came out as; empty where it was not judged."""
    judged = json.loads((folder / "verdict.json").read_text("utf-8"))["scenarios"]
    return str(judged[0]["verdict"]) if judged else ""


def _differences(versions: Mapping[str, str]) -> Iterator[str]:
    from harness.run.versions import versions as current

    now = current(versions.get("nats-server", ""))
    for name, then in versions.items():
        if now.get(name) != then:
            yield f"{name} was {then}, here it is {now.get(name)}"
