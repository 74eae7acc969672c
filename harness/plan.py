"""What a run is to judge, written before anything starts, and what its scenarios add up to.

reports/<run>/plan.json       each scenario and state to be judged; each skip with its reason
reports/<run>/verdict.json    a pure function of the plan and of the scenarios' own folders
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import whole
from harness.errors import HarnessError, UnknownName, UsageError
from harness.system.model import State, SystemFile
from harness.verdict import Verdict, exit_code, merge

SCHEMA = 1
NEWEST = 20
"""In how many of the newest runs is looked for how long a scenario took."""
NEEDS = (
    "broker",
    "entry",
    "entry service",
    "worker",
    "called worker",
    "dependency",
    "effects",
    "dead",
    "http",
    "pad",
    "small",
)
JSON = dict[str, Any]
PACKAGE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Planned:
    """One scenario in one state. `id` is `broker_crash[hardened]`; `exposes` maps weakness to clause.

    `says` is the first paragraph of its docstring, or what an outage file says.
    """

    id: str
    scenario: str
    state: str
    expect: str
    exposes: Mapping[str, str]
    file: str
    line: int
    needs: Sequence[str]
    calm: bool
    nodeid: str
    says: str = ""

    @property
    def folder(self) -> str:
        """The name of its folder under scenarios/."""
        return self.id.replace("[", "-").replace("]", "")


@dataclass(frozen=True, slots=True)
class Skipped:
    """A scenario and state that is not judged, and why."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a run is to judge."""

    run: str
    system: str
    system_file: str
    runtime: str
    seed: int
    hardening: str | None
    scenarios: str
    states: Mapping[str, JSON]
    planned: Sequence[Planned] = ()
    skipped: Sequence[Skipped] = ()
    started: str = ""
    weaknesses: Mapping[str, str] = field(default_factory=dict)
    schema: int = field(default=SCHEMA)


def lacking(system: SystemFile, needs: Iterable[str], *, where: str = "") -> str | None:
    """Why this system cannot run a scenario with these needs; None when it can."""
    for need in needs:
        if need not in NEEDS:
            raise UnknownName(need, NEEDS, kind="need", where=where)
        if need == "worker" and not system.workers():
            return "the system has no service with role worker"
        if need == "dependency" and not _worker_has_dependency(system):
            return "no worker of the system has a link to a service"
        if need == "effects" and not any(workload.effects for workload in system.workloads.values()):
            return "no workload of the system names its effects"
        if need == "entry service" and system.entry() is None:
            return "the system has no service with role entry"
        if need == "called worker" and not _entry_calls_a_worker(system):
            return "the entry of the system has no link to a worker"
        if need == "http" and not any(workload.kind == "http" for workload in system.workloads.values()):
            return "no workload of the system is of kind http"
        if need == "small" and not any(service.small for service in system.services.values()):
            return "no service of the system says how it is started small"
        if need == "pad" and not any(workload.padded for workload in system.workloads.values()):
            return "no workload of the system says where {pad} belongs"
        if need == "dead" and not any(workload.dead for workload in system.workloads.values()):
            return "no workload of the system names its dead letters"
    return None


def _worker_has_dependency(system: SystemFile) -> bool:
    workers = _workers(system)
    return any(link.source in workers and not link.target.startswith("broker-") for link in system.links())


def _workers(system: SystemFile) -> set[str]:
    return {replica for service in system.workers() for replica in system.replicas(service)}


def _entry_calls_a_worker(system: SystemFile) -> bool:
    entry = system.entry()
    workers, entries = _workers(system), system.replicas(entry) if entry else []
    return any(link.source in entries and link.target in workers for link in system.links())


def expectation(state: State, scenario: str, *, calm: bool) -> tuple[Mapping[str, str], str | None]:
    """What a scenario exposes in a state, and why it is not run there (None: it is)."""
    exposes = state.exposes.get(scenario, {}) if state.expect == "exposed" else {}
    if state.expect == "exposed" and not exposes and not calm:
        return {}, "exposes nothing in this state"
    return exposes, None


def check_exposes(states: Mapping[str, State], scenarios: Iterable[str], *, where: str) -> None:
    """Raises UnknownName where a state's `exposes` names a scenario that does not exist."""
    known = set(scenarios)
    for name, state in states.items():
        for scenario in state.exposes:
            if scenario not in known:
                raise UnknownName(scenario, known, kind="scenario", where=f"{where}: states.{name}.exposes")


def scenarios_folder() -> Path:
    """The stock scenarios: beside the package in a checkout, inside it in an installed wheel."""
    for folder in (PACKAGE.parent / "scenarios", PACKAGE / "stock_scenarios"):
        if folder.is_dir():
            return folder
    raise HarnessError("the stock scenarios are not installed", where=str(PACKAGE), fix="name yours with --scenarios")


def new_run(reports: Path) -> Path:
    """Makes the folder of a new run."""
    now = datetime.now(UTC)
    folder = reports / f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    (folder / "scenarios").mkdir(parents=True)
    whole.keep_room(folder)
    return folder


def find_run(reports: Path, name: str) -> Path:
    """The folder of a run, by name, by path or as `latest`."""
    for folder in (Path(name), reports / name):
        if (folder / "plan.json").exists():
            return folder.resolve()
    known = [path.name for path in reports.iterdir() if (path / "plan.json").exists()] if reports.is_dir() else []
    raise UnknownName(name, known, kind="run", where=str(reports))


def took(reports: Path, system: str, runtime: str, ids: Sequence[str]) -> dict[str, float]:
    """How many seconds these scenarios took when they were last judged, as far as the newest runs tell."""
    found: dict[str, float] = {}
    for path in sorted(reports.glob("*-*/verdict.json"), reverse=True)[:NEWEST]:
        if found.keys() >= set(ids):
            break
        try:
            run = json.loads(path.read_text("utf-8"))
            if (run["system"], run["runtime"]) == (system, runtime):
                found = {one["id"]: float(one["seconds"]) for one in run["scenarios"] if one["id"] in ids} | found
        except (OSError, ValueError, KeyError, TypeError, RecursionError):  # whoever asks for that run is told
            continue
    return found


def write_json(path: Path, value: object) -> None:
    """Writes a file whole or not at all, the same bytes for the same value."""
    whole.write_text(path, json.dumps(value, indent=1) + "\n")


def write_plan(folder: Path, plan: Plan) -> None:
    """Writes plan.json and points `latest` at the run; parallel workers would each write the same."""
    if not (folder / "plan.json").exists():
        write_json(folder / "plan.json", asdict(plan))
        link = folder.with_name(f".latest-{folder.name}-{os.getpid()}")
        link.symlink_to(folder.name)
        link.replace(folder.with_name("latest"))


def read_plan(folder: Path) -> Plan:
    """Reads plan.json; raises UsageError where there is none or of another version."""
    try:
        data = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"no plan can be read: {error}", where=str(folder), fix="name the folder of a run") from error
    if data["schema"] != SCHEMA:
        raise UsageError(f"its plan has schema {data['schema']}, this harness reads {SCHEMA}", where=str(folder))
    data["planned"] = [Planned(**entry) for entry in data["planned"]]
    data["skipped"] = [Skipped(**entry) for entry in data["skipped"]]
    return Plan(**data)


def merged(folder: Path, *, seconds: float) -> JSON:
    """The run's verdict: what was planned, judged from the scenarios' own verdicts.

    Nothing else is read, so that a missing verdict is a missing scenario and never a green one.
    """
    plan = read_plan(folder)
    scenarios, missing = [], []
    for planned in plan.planned:
        path = folder / "scenarios" / planned.folder / "verdict.json"
        if path.exists():
            scenarios.append({key: v for key, v in _judged(path, folder.name).items() if key != "schema"})
        else:
            missing.append(planned.id)
    bad = [Verdict(found["unexpected"]) for found in scenarios if not found["as_expected"]]
    code = exit_code(bad, judged=len(scenarios), missing=len(missing))
    return {
        "schema": SCHEMA,
        "run": plan.run,
        "started": plan.started,
        "seconds": seconds,
        "system": plan.system,
        "runtime": plan.runtime,
        "versions": _versions(scenarios),
        "seed": plan.seed,
        "states": {name: {"expect": state["expect"]} for name, state in plan.states.items()},
        "verdict": str(merge(Verdict(found["verdict"]) for found in scenarios)),
        "as_expected": code == 0,
        "exit": code,
        "reasons": _reasons(scenarios, missing),
        "scenarios": [{k: v for k, v in s.items() if k not in ("versions", "unexpected")} for s in scenarios],
        "weaknesses": _weaknesses(plan, scenarios),
        "skipped": [asdict(skip) for skip in plan.skipped],
        "missing": missing,
    }


def _judged(path: Path, run: str) -> JSON:
    """A scenario's own verdict. Raises UsageError where it is damaged."""
    try:
        return dict(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        fix = f"judge it again: nats-harness judge {run}"
        raise UsageError(f"no verdict can be read: {error}", where=str(path), fix=fix) from error


def _versions(scenarios: Sequence[JSON]) -> Mapping[str, str]:
    return scenarios[0]["versions"] if scenarios else {}


def _reasons(scenarios: Sequence[JSON], missing: Sequence[str]) -> list[str]:
    reasons = [
        f"{found['id']}: {reason}" for found in scenarios if not found["as_expected"] for reason in found["reasons"]
    ]
    reasons += [f"{name} was planned and has no verdict" for name in missing]
    if not scenarios:
        reasons.append("nothing was judged")
    elif not reasons:
        faults = [fault for found in scenarios for fault in found["faults"]]
        bit = sum(fault["bit"] for fault in faults)
        of = "fault" if len(faults) == 1 else "faults"
        reasons.append(f"every scenario that was judged is as expected; {bit} of {len(faults)} {of} bit")
    return reasons


def _weaknesses(plan: Plan, scenarios: Sequence[JSON]) -> JSON:
    """Each weakness: reproduced, where every planned scenario mapped to it shows it, and holds in the other states."""
    mapped: dict[str, dict[str, str]] = {}
    for planned in plan.planned:
        for weakness, clause in planned.exposes.items():
            mapped.setdefault(weakness, {})[planned.scenario] = clause
    result: JSON = {}
    for weakness, clauses in sorted(mapped.items()):
        where = []
        for planned in plan.planned:
            if planned.scenario not in clauses:
                continue
            clause = clauses[planned.scenario]
            wanted = Verdict.VIOLATED if weakness in planned.exposes else Verdict.HOLDS
            found = next((s for s in scenarios if s["id"] == planned.id), None)
            findings = found["findings"] if found else []
            verdict = next((f["verdict"] for f in findings if f["clause"] == clause), "missing")
            entry = {"scenario": planned.scenario, "state": planned.state, "clause": clause}
            where.append({**entry, "verdict": verdict, "wanted": str(wanted)})
        reproduced = all(w["verdict"] == w["wanted"] for w in where)
        result[weakness] = {"says": plan.weaknesses.get(weakness, ""), "reproduced": reproduced, "where": where}
    return result
