"""Scenarios of a stored run, run again as they were, once or until one comes out as wanted."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness import bundle, launching, plan
from harness.errors import UnknownName, UsageError
from harness.history.shown import REDACTED, escaped
from harness.report.text import plain
from harness.run import holding
from harness.run.judging import without_secrets
from harness.system.loader import load_system
from harness.verdict import worst_exit

STOPS = {holding.FAULTS: "--step", holding.END: "--keep"}
"""Where to stop, and the option that says so."""
MOST_KEYS = 5
"""So many keys of the system file are told that are not as they were."""
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
    holding.asked(hold, ", ".join(option for word, option in STOPS.items() if word in hold.split(",")))
    folder = bundle.open_(Path(name), reports).path if bundle.is_bundle(name) else plan.find_run(reports, name)
    made = plan.read_plan(folder)
    scenarios = folder / bundle.SCENARIOS if bundle.opened(folder) else Path(made.scenarios)
    entries = {entry.id: entry for entry in made.planned}
    if scenario is not None and scenario not in entries:
        raise UnknownName(scenario, map(plain, entries), kind="scenario of this run", where=folder.name)
    unexpected, differences = _judged(folder, system or made.system_file)
    chosen = [scenario] if scenario else unexpected
    if not chosen:
        raise UsageError("everything was as expected", where=folder.name, fix="name the scenario to run again")
    for sentence in differences:
        print(f"not the same as then: {plain(sentence)}", file=sys.stderr)
    system = system or _system(made, folder)
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


def _judged(folder: Path, system: str) -> tuple[list[str], list[str]]:
    """The scenarios of a run that were not as expected or not judged, and what is not as it was then."""
    try:
        verdict = plan.merged(folder, seconds=0.0)
        unexpected = [found["id"] for found in verdict["scenarios"] if not found["as_expected"]]
        return unexpected + verdict["missing"], list(_differences(folder, verdict["versions"], system))
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


def _differences(folder: Path, versions: Mapping[str, str], system: str) -> Iterator[str]:
    """What is not as it was in a run: versions, then the system file, where that can be read."""
    from harness.run.versions import versions as current

    try:
        here = load_system(system)
    except UsageError:  # told after what differs
        here = None
    now = current(here.broker.version or "" if here else versions.get("nats-server", ""))
    for name, then in versions.items():
        if now.get(name) != then:
            yield f"{name} was {then}, here it is {now.get(name)}"
    kept = next(iter(sorted(folder.glob("scenarios/*/system.toml"))), None)
    if here is not None and kept is not None:
        yield from _in_system(kept.read_text("utf-8", "replace"), without_secrets(here))


def _in_system(then: str, now: str) -> Iterator[str]:
    """What differs between two system files without their secrets, a sentence a key, MOST_KEYS of them."""
    try:
        before, after = dict(_keys(tomllib.loads(then))), dict(_keys(tomllib.loads(now)))
    except tomllib.TOMLDecodeError:
        yield from ["the system file"] if then != now else []
        return
    changed = [
        f"{'.'.join(key)} of the system was {_value(before, key)}, here it is {_value(after, key)}"
        for key in dict.fromkeys((*before, *after))
        if before.get(key) != after.get(key) and REDACTED not in str(before.get(key))
    ]
    yield from map(escaped, changed[:MOST_KEYS])
    if len(changed) > MOST_KEYS:
        yield f"{len(changed) - MOST_KEYS} more of the system"


def _keys(table: Mapping[str, Any], *above: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in table.items():
        if isinstance(value, dict) and value:
            yield from _keys(value, *above, name)
        else:
            yield (*above, name), value


def _value(values: Mapping[tuple[str, ...], Any], key: tuple[str, ...]) -> str:
    return f"{json.dumps(values[key], default=str):.60}" if key in values else "not there"
