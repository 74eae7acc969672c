"""A pytest run seen as a run of ours: its settings, its plan, its folder, its verdict.

Made by the plugin, in every process of a run; the first one makes the folder and adds the scenarios up.
"""

from __future__ import annotations

import inspect
import json
import os
import random
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness import plan, recording, whole
from harness.errors import UnknownName, UsageError
from harness.plan import Plan, Planned, Skipped
from harness.run import holding
from harness.runtime import choosing
from harness.system.loader import load_system, resolve_hardening
from harness.system.model import BROKER, State, SystemFile

if TYPE_CHECKING:
    from harness.report.decided import Decided
    from harness.report.terminal import Look
    from harness.run import Run


@dataclass
class Session:
    """Settings, system and folder of one run."""

    system: SystemFile
    asked: Mapping[str, str | None]
    states: Mapping[str, State]
    seed: int
    runtime: str
    hold: frozenset[str]
    record: recording.Asked | None
    root: Path
    reports: Path
    began: float
    started: str
    made: Plan | None = None
    verdict: dict[str, Any] | None = None
    decided: Decided | None = None
    _folder: Path | None = None
    _planned: dict[str, Planned] = field(default_factory=dict)
    _skipped: list[Skipped] = field(default_factory=list)

    @classmethod
    def open(cls, asked: Mapping[str, str | None], root: Path) -> Session:
        """Reads the settings; raises UsageError where one is wrong."""
        system = load_system(asked["system"] or "", clauses=_clauses())
        seed = asked["seed"] or str(random.SystemRandom().randrange(2**31))
        if not seed.isdecimal():
            raise UsageError(f"the seed is a whole number, not {seed!r}", where="--seed")
        states = _states(system, asked["states"], asked["hardening"])
        return cls(
            system=system,
            asked=asked,
            states=states,
            seed=int(seed),
            runtime=choosing.known(asked["runtime"] or choosing.PROCESSES),
            hold=holding.asked(asked.get("hold") or ""),
            record=recording.asked(asked.get("record") or "", asked.get("rate") or "", states),
            root=root,
            reports=root / (asked["reports"] or "reports"),
            began=time.monotonic(),
            started=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def chosen_runtime(self) -> str:
        """What `auto` means here. To be asked once something is to be started: it may look for an engine."""
        self.runtime = choosing.chosen(self.runtime, self.system)
        return self.runtime

    def folder(self) -> Path:
        """The run's folder; the first process makes it."""
        if self._folder is None:
            named = self.asked["folder"]
            self._folder = Path(named) if named else plan.new_run(self.reports)
        return self._folder

    def check_names(self, items: Sequence[pytest.Function]) -> None:
        """Raises UnknownName where the system file's `exposes` names none of these scenarios, which are all."""
        plan.check_exposes(self.system.states, {_name(item) for item in items}, where=str(self.system.path))

    def sort(self, items: Sequence[pytest.Function]) -> list[pytest.Function]:
        """Looks at each selected scenario and state; returns those that this state does not run."""
        leave = []
        for item in items:
            state = self.states[_state(item)]
            calm = item.get_closest_marker("nats_calm") is not None
            exposes, reason = plan.expectation(state, _name(item), calm=calm)
            if reason:
                self._skipped.append(Skipped(_id(item), reason))
                leave.append(item)
                continue
            needs = _needs(item)
            _started_with(item)
            lacking = plan.lacking(self.system, needs, where=item.nodeid)
            if lacking:
                self._skipped.append(Skipped(_id(item), lacking))
                item.add_marker(pytest.mark.skip(reason=lacking))
                continue
            path, line, _ = item.location
            self._planned[item.nodeid] = Planned(
                id=_id(item),
                scenario=_name(item),
                state=_state(item),
                expect=state.expect,
                exposes=dict(exposes),
                file=path,
                line=(line or 0) + 1,
                needs=needs,
                calm=calm,
                nodeid=item.nodeid,
                says=_says(item),
            )
        return leave

    def plan(self, items: Sequence[pytest.Function], *, write: bool) -> None:
        """Makes the plan of the scenarios that are left after every selection; writes plan.json."""
        chosen = {item.nodeid for item in items}
        self.made = Plan(
            run=self.folder().name if write else "",
            system=self.system.system.name,
            system_file=_system_file(self.system, self.asked["system"] or ""),
            runtime=self.chosen_runtime() if write else self.runtime,
            seed=self.seed,
            hardening=self.asked["hardening"],
            scenarios=str(self.root),
            states={
                name: {"expect": state.expect, "hardening": state.hardening} for name, state in self.states.items()
            },
            planned=[planned for nodeid, planned in self._planned.items() if nodeid in chosen],
            skipped=self._skipped,
            started=self.started,
            weaknesses=self.system.weaknesses,
        )
        if write:
            plan.write_plan(self.folder(), self.made)

    def run(self, item: pytest.Function, state: str) -> Run:
        """What one scenario holds."""
        from harness.run import Run
        from harness.run.setting import Setting

        planned = self._planned[item.nodeid]
        started = _started_with(item)
        return Run(
            Setting(
                system=self.system.small() if started.get("small") else self.system,
                planned_id=planned.id,
                scenario=planned.scenario,
                state=state,
                settles_s=self.states[state].settles_s or self.system.promises.settles_s,
                hardening=self.states[state].hardening,
                expect=planned.expect,
                exposes=planned.exposes,
                calm=planned.calm,
                says=planned.says,
                run=self.folder().name,
                seed=self.seed,
                folder=self.folder() / "scenarios" / planned.folder,
                repro=f"nats-harness replay {self._shown(self.folder())} '{planned.id}'",
                replicas=dict.fromkeys(self.system.workers(), started["workers"]) if "workers" in started else {},
                without=frozenset({started["without"]} if "without" in started else ()),
                runtime=self.chosen_runtime(),
                hold=self.hold,
            )
        )

    def _shown(self, path: Path) -> str:
        return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)

    def finish(self) -> None:
        """Adds the scenarios up, and writes verdict.json, the page and what stands beside it.

        Nothing where nothing was planned.
        """
        if self._folder is None and not self.asked["folder"]:
            return
        folder = self.folder()
        if not (folder / "plan.json").exists():
            shutil.rmtree(folder, ignore_errors=True)  # nothing of ours was among the tests
            return
        from harness.gate import baseline, here
        from harness.report import beside, page, schema

        self.verdict = plan.merged(folder, seconds=round(time.monotonic() - self.began, 1))
        schema.validate(self.verdict)
        plan.write_json(folder / "verdict.json", self.verdict)
        whole.give_room(folder)
        self.decided = here.of_run(self.reports, self.verdict)
        try:
            page.put(folder, self.verdict, baseline.known(self.reports), self.decided)
            beside.write(folder, self.verdict, self.decided)
        except OSError as error:  # the verdict is there, and nothing of it may be lost for want of a page
            again = f"nats-harness judge {self._shown(folder)}"
            print(f"error: the pages were not written: {error}\n  fix: once there is room: {again}", file=sys.stderr)

    def summary(self, look: Look) -> list[str]:
        """The end of a run, in lines."""
        from harness.report import terminal

        assert self.verdict is not None
        report = self._shown(self.folder() / "index.html")
        return terminal.summary_lines(self.verdict, look, report=report, decided=self.decided)

    def scenario(self, nodeid: str, look: Look) -> list[str]:
        """The line of a scenario that is done; none where it left no verdict."""
        from harness.report import terminal

        entry = self._entries().get(nodeid)
        path = self.folder() / "scenarios" / entry.folder / "verdict.json" if entry else None
        if path is None or not path.exists():
            return []
        return terminal.scenario_lines(json.loads(path.read_text("utf-8")), look)

    def planned(self) -> list[str]:
        """The ids of the scenarios that are to be judged."""
        return [entry.id for entry in self._entries().values()]

    def took_before(self) -> dict[str, float]:
        """How many seconds scenarios of the plan took in earlier runs of the same system and runtime."""
        return plan.took(self.reports, self.system.system.name, self.chosen_runtime(), self.planned())

    def place(self, nodeid: str) -> tuple[str, Path]:
        """A planned scenario's id and folder."""
        entry = self._entries()[nodeid]
        return entry.id, self.folder() / "scenarios" / entry.folder

    def as_expected(self, nodeid: str) -> bool:
        """Whether a scenario that is done came out as expected; one without a verdict did not."""
        path = self.place(nodeid)[1] / "verdict.json" if self.plans(nodeid) else None
        return bool(path and path.exists() and json.loads(path.read_text("utf-8"))["as_expected"])

    def plans(self, nodeid: str) -> bool:
        """Whether the plan has this test."""
        return nodeid in self._entries()

    def _entries(self) -> Mapping[str, Planned]:
        if not self._planned and (self.folder() / "plan.json").exists():
            self._planned = {entry.nodeid: entry for entry in plan.read_plan(self.folder()).planned}
        return self._planned


def _states(system: SystemFile, names: str | None, hardening: str | None) -> Mapping[str, State]:
    if hardening is not None:
        if names:
            raise UsageError("--hardening makes a state of its own", fix="leave out --states or --hardening")
        return {hardening: State(hardening=resolve_hardening(system, hardening), expect="holds")}
    known = dict(system.states) or {"default": system.state("default")}
    if names == "all":
        return known
    if names:
        chosen = [name.strip() for name in names.split(",") if name.strip()]
        for name in chosen:
            if name not in known:
                raise UnknownName(name, known, kind="state", where="--states")
        return {name: known[name] for name in chosen}
    holding = {name: state for name, state in known.items() if state.expect == "holds"}
    if not holding:
        raise UsageError("no state of the system expects `holds`", fix=f"--states {','.join(known)}")
    return holding


def _clauses() -> frozenset[str]:
    from harness.guarantees import clause_names

    return clause_names()


def _system_file(system: SystemFile, asked: str) -> str:
    """The name of a ready-made system, or the path of a file from wherever it is asked again."""
    return str(system.path.absolute()) if asked.endswith(".toml") else asked


def _name(item: pytest.Function) -> str:
    return item.originalname.removeprefix("test_")


def _says(item: pytest.Function) -> str:
    """The first paragraph of its docstring, on one line."""
    return " ".join((inspect.getdoc(item.function) or "").split("\n\n")[0].split())


def _id(item: pytest.Function) -> str:
    return f"{_name(item)}[{_state(item)}]"


def _state(item: pytest.Function) -> str:
    return str(item.callspec.params["nats_state"])


def _needs(item: pytest.Function) -> list[str]:
    return [str(need) for mark in item.iter_markers("nats_needs") for need in mark.args]


def _started_with(item: pytest.Function) -> Mapping[str, Any]:
    """What the mark of that name says, of the nearest if there are several; checked."""
    mark = item.get_closest_marker("nats_started_with")
    if mark is None:
        return {}
    said = dict(mark.kwargs)
    workers, without, small = said.get("workers", 1), said.get("without", BROKER), said.get("small", True)
    whole = isinstance(workers, int) and not isinstance(workers, bool) and workers >= 1
    unknown = mark.args or said.keys() - {"workers", "without", "small"}
    if unknown or not whole or without != BROKER or small is not True:
        raise UsageError(
            f"@started_with says {[*mark.args, *(f'{name}={value!r}' for name, value in said.items())]}",
            where=item.nodeid,
            fix='@started_with(workers=N) with N from 1 on, without="broker", small=True, or some of them',
        )
    return said
