"""The night's runs, each a system in its states, and a check of the whole night.

A scenario that could not be judged, and for no other reason than that this machine was too busy to time it, is asked
again once, alone, as one would by hand: the first run stands as it was, and nightly.json tells of both.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import launching, plan, telling
from harness.gate import here
from harness.guarantees import judged_clauses
from harness.report import beside, terminal
from harness.report import night as night_page
from harness.report import weaknesses as told
from harness.report.counting import counted
from harness.system.loader import load_system
from harness.verdict import Doubt, Verdict, night_exit

JSON = dict[str, Any]
NIGHT = (
    launching.Asked("telhawk", "all"),
    launching.Asked("bare"),
    launching.Asked("examples/orders/orders.toml"),
)
"""What a night judges: each system in its states."""


def nightly(reports: Path, jobs: int | None) -> int:
    """Judges each system of the night; writes nightly.json and what stands beside it; the worst exit."""
    runs: list[JSON] = []
    verdicts: list[JSON] = []
    for one in NIGHT:
        path = _found(one.system)
        if path is None:
            print(f"{one.system} is not here (an installed wheel has no examples)", file=sys.stderr)
            continue
        print(f"\n{one.system}{f', states: {one.states}' if one.states else ''}", flush=True)
        asked = replace(one, system=path, jobs=jobs)
        folder, code = launching.launch(asked, reports)
        run: JSON = {"run": folder.name if folder else "", "system": load_system(path).system.name, "exit": code}
        runs.append(run)
        verdicts += _verdicts(folder)
        noisy = too_busy_for(verdicts[-1]) if folder and code == 2 else []
        if folder and noisy:
            print(f"\nthis machine was too busy to judge {', '.join(noisy)}: asked again, one at a time", flush=True)
            again, code = launching.launch(_alone(asked, folder, noisy), reports)
            verdicts += _verdicts(again)
            run["again"] = {"run": again.name if again else "", "scenarios": noisy, "exit": code}
        if code == launching.INTERRUPTED:
            break
    code = write(reports, runs, verdicts)
    weaknesses(reports, verdicts)
    decided = here.of_night(reports)
    page = night_page.write(reports, decided)
    print()
    night = json.loads((reports / "nightly.json").read_text("utf-8"))
    beside.write_night(reports, night, verdicts, decided)
    launching.say(terminal.night_lines(night, launching.look(), decided))
    launching.say_one(f"page: {os.path.relpath(page)}")
    telling.tell_night(reports, counted(night, verdicts), os.environ, launching.say_one)
    return code


def _verdicts(folder: Path | None) -> list[JSON]:
    """What a run came to; nothing where it came to nothing."""
    return [json.loads((folder / "verdict.json").read_text("utf-8"))] if folder else []


def too_busy_for(verdict: JSON) -> list[str]:
    """The scenarios that our own noise kept from being judged, where a run is inconclusive for nothing else."""
    wrong = [found for found in verdict["scenarios"] if not found["as_expected"]]
    doubts = {
        found["id"]: [one["reason"] for one in found["findings"] if one["verdict"] == Verdict.INCONCLUSIVE]
        for found in wrong
    }
    for_noise = all(told and all(one.startswith(f"{Doubt.NOISE}: ") for one in told) for told in doubts.values())
    return list(doubts) if verdict["exit"] == 2 and not verdict["missing"] and for_noise else []


def _alone(asked: launching.Asked, folder: Path, scenarios: Sequence[str]) -> launching.Asked:
    """These scenarios of a run, with the same seed, one after the other."""
    made = plan.read_plan(folder)
    nodeids = tuple(entry.nodeid for entry in made.planned if entry.id in scenarios)
    return replace(asked, jobs=1, seed=made.seed, nodeids=nodeids)


def _found(system: str) -> str | None:
    """How a system of the night is named to the loader; None where its file is not here."""
    if not system.endswith(".toml"):
        return system
    path = plan.PACKAGE.parent / system
    return str(path) if path.exists() else None


def write(reports: Path, runs: Sequence[JSON], verdicts: Sequence[JSON]) -> int:
    """Writes nightly.json; the worst exit of the runs, and at least 2 where something was left unproven.

    That is a fault that never had evidence, and a clause that was judged on nothing, the whole night long.
    """
    unproven = [*_faults(verdicts), *_clauses(verdicts)]
    codes = [run["again"]["exit"] if "again" in run else run["exit"] for run in runs]
    worst = night_exit(codes, unproven=bool(unproven))
    plan.write_json(
        reports / "nightly.json", {"schema": plan.SCHEMA, "runs": list(runs), "unproven": unproven, "exit": worst}
    )
    return worst


def weaknesses(reports: Path, verdicts: Sequence[Any]) -> None:
    """Writes weaknesses.md: what each weakness of a system of the night came out as."""
    parts = []
    for system in (one.system for one in NIGHT):
        path = _found(system)
        if path is not None:
            loaded = load_system(path)
            lines = told.table(loaded, system, verdicts)
            parts += [f"# Weaknesses of {loaded.system.name}", "", *lines, ""] if lines else []
    (reports / "weaknesses.md").write_text("\n".join(parts), "utf-8")


def _faults(verdicts: Iterable[JSON]) -> Iterator[str]:
    """The faults of planned scenarios that had evidence in none of their states."""
    bit: dict[tuple[str, str, str], bool] = {}
    for verdict in verdicts:
        for scenario in verdict["scenarios"]:
            name = scenario["id"].partition("[")[0]
            for fault in scenario["faults"]:
                key = (verdict["system"], name, fault["kind"])
                bit[key] = bit.get(key, False) or fault["bit"]
    for (system, scenario, kind), seen in sorted(bit.items()):
        if not seen:
            yield f"the fault {kind} of {system}'s {scenario} never had evidence"


def _clauses(verdicts: Iterable[JSON]) -> Iterator[str]:
    """The clauses that were judged on nothing, the whole night long."""
    judged = {
        finding["clause"]
        for verdict in verdicts
        for scenario in verdict["scenarios"]
        for finding in scenario["findings"]
        if finding["verdict"] != Verdict.INCONCLUSIVE and finding["bound"] is not None and finding["counted"]
    }
    for clause in sorted(judged_clauses() - judged):
        yield f"{clause} was never judged on anything"
