"""One system with each of its measures taken out, and with each alone: what every one of them is there for.

Each trial is a run of its own. What is done is in reports/ablation.json after each, so that an interrupted series goes
on where it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness import launching, plan
from harness.errors import HarnessError, UnknownName, UsageError
from harness.guarantees._base import NS, load_window
from harness.history.reader import History
from harness.run.versions import versions
from harness.series._matrix import Cost, Effect, Result, effect, grid, told
from harness.system.loader import load_system
from harness.system.model import Hardening, SystemFile

JSON = dict[str, Any]
SCHEMA = 2
CRASH = "broker_crash"
"""Beside calm, which tells what a measure costs, a scenario of every trial: the fault that touches most of them."""
ALL, NONE = "hardened", "documented"


@dataclass(frozen=True)
class Trial:
    """One choice of measures, and the scenarios that judge it."""

    name: str
    hardening: str
    scenarios: tuple[str, ...]


def ablate(
    reports: Path, asked: launching.Asked, *, measures: Sequence[str] = (), full: bool = False, fresh: bool = False
) -> int:
    """Runs what is not done yet, writes ablation.json, prints the matrix; 0, or what ended it. Raises UsageError."""
    file = load_system(asked.system, check_env=True)
    if file.hardening is None:
        raise UsageError("the system has no measures to take out", where=asked.system, fix="add a table [hardening]")
    for measure in measures:
        if measure not in file.hardening.switches:
            raise UnknownName(measure, file.hardening.switches, kind="measure", where="--measure")
    chosen = measures or file.hardening.switches
    planned = {entry["scenario"]: entry for entry in launching.planned(replace(asked, hardening="all"))["planned"]}
    always = [name for name, entry in planned.items() if full or entry["calm"] or name == CRASH]
    trials = list(_trials(file, file.hardening, chosen, list(planned), always))
    done = _done(reports, _key(file, asked, full=full), fresh=fresh)
    there = {trial.name for trial in trials if _has(done["trials"].get(trial.name), trial)}
    print(f"{len(trials)} trials, {len(there)} of them done before")
    for number, trial in enumerate(trials, start=1):
        if trial.name in there:
            continue
        print(f"\ntrial {number} of {len(trials)}: {trial.name}", flush=True)
        folders = _judged(asked, trial, planned, reports)
        if not folders:
            print("interrupted; the same command goes on from here")
            return launching.INTERRUPTED
        done["trials"][trial.name] = _result(folders, trial.hardening)
        plan.write_json(reports / "ablation.json", done)
    effects = {measure: _effect(done["trials"], measure, _base(file.hardening, measure)) for measure in chosen}
    plan.write_json(reports / "ablation.json", {**done, "measures": effects})
    launching.say(_summary(done["trials"], effects))
    print(f"written: {reports / 'ablation.json'}")
    return 0


def _trials(
    file: SystemFile, hardening: Hardening, measures: Sequence[str], scenarios: Sequence[str], always: Sequence[str]
) -> Iterator[Trial]:
    """The system with all measures and with none, then without each of them, and with each alone."""
    shown = {measure: {*always, *_shown(file, hardening, measure)} for measure in measures}
    alone = {measure: set(wanted) for measure, wanted in shown.items()}
    for measure, wanted in shown.items():
        if base := _base(hardening, measure):  # what it adds is seen beside what its base does alone
            alone.setdefault(base, set()).update(wanted)

    def trial(name: str, on: Sequence[str], wanted: Collection[str]) -> Trial:
        return Trial(name, ",".join(on) or "none", tuple(name for name in scenarios if name in wanted))

    every = set().union(*shown.values())
    yield trial(ALL, ["all"], every)
    yield trial(NONE, ["none"], every)
    for measure in [*alone.keys() - shown.keys(), *measures]:
        if measure in shown:
            without = [name for name in hardening.switches if name not in _with_dependents(hardening, measure)]
            yield trial(f"without {measure}", without, shown[measure])
        yield trial(f"{measure} alone", _with_bases(hardening, measure), alone[measure])


def _shown(file: SystemFile, hardening: Hardening, measure: str) -> list[str]:
    """The scenarios that expose a weakness which the measure removes."""
    removed = hardening.removes.get(measure, ())
    return [exposure.scenario for exposure in file.exposures() if exposure.weakness in removed]


def _with_dependents(hardening: Hardening, measure: str) -> set[str]:
    """The measure and those that cannot be on without it."""
    out = {measure}
    while more := {name for name, bases in hardening.needs.items() if name not in out and out & set(bases)}:
        out |= more
    return out


def _with_bases(hardening: Hardening, measure: str) -> list[str]:
    """The measure and those without which it cannot be on, in the file's order."""
    on = {measure}
    while more := {base for name in on for base in hardening.needs.get(name, ())} - on:
        on |= more
    return [name for name in hardening.switches if name in on]


def _base(hardening: Hardening, measure: str) -> str:
    """The measure that is on, with its own bases, wherever this one is; empty where there is none."""
    others = [name for name in _with_bases(hardening, measure) if name != measure]
    return next((name for name in others if _with_bases(hardening, name) == others), "")


def _key(file: SystemFile, asked: launching.Asked, *, full: bool) -> str:
    """What trials have in common that may be put side by side: the system as it is, and what it runs on."""
    common = [asked.runtime, str(asked.scenarios), full, versions(file.broker.version or "")]
    told = json.dumps([file.model_dump(mode="json"), common], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _done(reports: Path, key: str, *, fresh: bool) -> JSON:
    """What an earlier, interrupted series has left, if it is of the same system on the same versions."""
    path = reports / "ablation.json"
    if not fresh and path.exists():
        stored: JSON = json.loads(path.read_text("utf-8"))
        if (stored.get("schema"), stored.get("key")) == (SCHEMA, key):
            return {name: stored[name] for name in ("schema", "key", "trials")}
        print(f"{path} is of another system file, other versions or other scenarios: starting anew")
    reports.mkdir(parents=True, exist_ok=True)
    return {"schema": SCHEMA, "key": key, "trials": {}}


def _has(result: Result | None, trial: Trial) -> bool:
    """Whether a result is of all that the trial judges: that of a series of fewer measures may lack scenarios."""
    return result is not None and result["findings"].keys() >= set(trial.scenarios)


def _judged(asked: launching.Asked, trial: Trial, planned: Mapping[str, JSON], reports: Path) -> list[Path]:
    """The trial's runs: calm alone, so that nothing else is in what it costs, then the others. None: interrupted."""
    folders = []
    for jobs, calm in ((1, True), (asked.jobs, False)):
        chosen = [planned[name] for name in trial.scenarios if planned[name]["calm"] is calm]
        nodeids = tuple(entry["nodeid"].partition("[")[0] for entry in chosen)
        if not nodeids:
            continue
        part = replace(asked, hardening=trial.hardening, nodeids=nodeids, jobs=jobs)
        folder, code = launching.launch(part, reports, quiet=True)
        if code == launching.INTERRUPTED:
            return []
        if folder is None:
            raise HarnessError("the trial left no verdict", where=trial.name, fix="the lines above say why")
        folders.append(folder)
    return folders


def _result(folders: Sequence[Path], hardening: str) -> Result:
    findings, cost = dict[str, dict[str, str]](), None
    for folder in folders:
        for found in json.loads((folder / "verdict.json").read_text("utf-8"))["scenarios"]:
            findings[found["id"].partition("[")[0]] = {one["clause"]: one["verdict"] for one in found["findings"]}
        calm = next((entry for entry in plan.read_plan(folder).planned if entry.calm), None)
        cost = cost or (_cost(folder / "scenarios" / calm.folder) if calm else None)
    return Result(runs=[folder.name for folder in folders], hardening=hardening, findings=findings, cost=cost)


def _cost(scenario: Path) -> Cost | None:
    """What the work cost in calm, from the scenario's history and findings."""
    if not (scenario / "history").is_dir():
        return None
    findings = {found["clause"]: found for found in json.loads((scenario / "verdict.json").read_text())["findings"]}
    history = History.open(scenario / "history")
    window = load_window(history)
    cores = [
        line["cpu"]["system"] + line["cpu"]["broker"]
        for line in history.lines("noise")
        if line["what"] == "runner" and window.from_ns <= (line["from_ns"] + line["t_ns"]) // 2 <= window.to_ns
    ]
    seconds = (window.to_ns - window.from_ns) / NS
    used = sum(cores) / len(cores) if cores else 0.0
    latency = findings.get("available.latency", {}).get("measured")
    per_core = history.count() / seconds / used if seconds and used else None
    return Cost(p95_ms=latency, per_core=per_core)


def _effect(trials: Mapping[str, Result], measure: str, base: str) -> Effect:
    before = trials[f"{base} alone" if base else NONE]
    return effect((trials[ALL], trials[f"without {measure}"]), (before, trials[f"{measure} alone"]))


def _summary(trials: Mapping[str, Result], effects: Mapping[str, Effect]) -> Iterator[str]:
    yield ""
    for measure, found in effects.items():
        yield from told(measure, found, (trials[ALL]["cost"], trials[f"without {measure}"]["cost"]))
    yield ""
    yield from grid(effects)
