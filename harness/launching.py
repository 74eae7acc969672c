"""Runs started from the command line: one system judged, a stored run judged again.

Scenarios are pytest tests, so a run is a run of pytest with our plugin; this module chooses its arguments and turns
what came out into an exit code.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from harness import plan, telling
from harness.errors import UnknownName, UsageError
from harness.history.shown import on_lines
from harness.plugin import session_of
from harness.report import terminal
from harness.runtime import choosing
from harness.session import Session
from harness.system.loader import load_system

JSON = dict[str, Any]
INTERRUPTED = 130


@dataclass(frozen=True)
class Asked:
    """What the caller chose; None where the default decides."""

    system: str
    states: str | None = None
    hardening: str | None = None
    keyword: str | None = None
    runtime: str = choosing.PROCESSES
    scenarios: Path | None = None
    jobs: int | None = None
    seed: int | None = None
    nodeids: tuple[str, ...] = ()
    hold: str = ""
    record: str = ""
    rate: str = ""


def launch(asked: Asked, reports: Path, *, quiet: bool = False) -> tuple[Path | None, int]:
    """Judges one system; the run's folder and its exit code. Raises UsageError before anything is started."""
    asked = _prepare(asked)
    folder = plan.new_run(reports.absolute())
    with telling.commands_off(os.environ, say_one):
        try:
            code = pytest.main([*_arguments(asked, reports), "--nats-folder", str(folder)])
            interrupted = code == pytest.ExitCode.INTERRUPTED
        finally:
            if not (folder / "plan.json").exists():
                shutil.rmtree(folder, ignore_errors=True)
        if not (folder / "verdict.json").exists():
            if interrupted:
                print("interrupted: nothing was judged", file=sys.stderr)
            return None, INTERRUPTED if interrupted else 2
        verdict = json.loads((folder / "verdict.json").read_text("utf-8"))
        _into_trend(reports, folder)
        if not quiet:
            say(_summary(reports, folder, verdict, INTERRUPTED if interrupted else None))
    return folder, INTERRUPTED if interrupted else int(verdict["exit"])


def tell(folders: Sequence[Path], *, quiet: bool = False) -> None:
    """Says to a CI system what runs came to; quietly: without a line on the output."""
    telling.tell(folders, os.environ, None if quiet else say_one)


def say_one(line: str) -> None:
    """Prints a line at once."""
    say([line])


def _summary(reports: Path, folder: Path, verdict: JSON, code: int | None = None) -> list[str]:
    """The end of a run in lines, with what the policy makes of it; `code` where another exit than its verdict's is."""
    from harness.gate import here

    decided = here.of_run(reports, verdict)
    shown = _shown(folder / "index.html")
    return terminal.summary_lines(verdict, look(), report=shown, decided=decided, code=code)


def _into_trend(reports: Path, folder: Path) -> None:
    """Takes the run into the file of the trend; what is wrong with that file is told, and is no matter of the run."""
    from harness.gate import store

    try:
        told = store.update(reports, folder)
    except store.StoreError as error:
        told = [on_lines(error)]
    for sentence in told:
        print(f"not in the trend: {sentence}", file=sys.stderr)


def _prepare(asked: Asked) -> Asked:
    """Reads system file and scenarios, so that mistakes come first, then makes what is missing.

    What was asked, with its runtime and how many scenarios go side by side.
    """
    from harness.runtime import binaries, containers, journal

    def progress(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    system = load_system(asked.system, check_env=True)
    count = len(planned(asked)["planned"])
    session = Session.open(_settings(asked), Path.cwd())
    journal.sweep()
    runtime = session.chosen_runtime()
    if runtime == choosing.CONTAINERS:
        containers.make_images(system, progress)
    else:
        binaries.nats_server(system.broker.version, progress)
        binaries.toxiproxy_server(progress)
    fixed = any(service.fixed for service in system.services.values())
    jobs = 1 if fixed or asked.hold or asked.record else side_by_side(asked.jobs, runtime, count)
    return replace(asked, runtime=runtime, jobs=jobs)


def side_by_side(asked: int | None, runtime: str, count: int) -> int:
    """How many of so many scenarios run at a time: as asked, or what this machine has room for (docs/decisions, 11)."""
    cores = os.cpu_count() or 1
    room = max(1, cores // 2) if runtime == choosing.CONTAINERS else cores  # the engine's own work takes cores as well
    return max(1, min(asked or room, count))


def _arguments(asked: Asked, reports: Path) -> list[str]:
    folder = (asked.scenarios or plan.scenarios_folder()).absolute()
    root = folder if folder.is_dir() else folder.parent
    chosen = [
        *("--nats-system", asked.system),
        *(("--nats-states", asked.states) if asked.states else ()),
        *(("--nats-hardening", asked.hardening) if asked.hardening else ()),
        *(("--nats-seed", str(asked.seed)) if asked.seed is not None else ()),
        *("--nats-runtime", asked.runtime, "--nats-reports", str(reports.absolute())),
        *(("-k", asked.keyword) if asked.keyword else ()),
        *(("--nats-hold", asked.hold) if asked.hold else ()),
        *(("--nats-record", asked.record) if asked.record else ()),
        *(("--nats-rate", asked.rate) if asked.rate else ()),
    ]
    parallel = ["-n", str(asked.jobs), "--dist", "load", "--maxschedchunk", "1"] if (asked.jobs or 1) > 1 else []
    plugins = [
        *("-p", "no:locust"),
        *("-p", "no:cacheprovider"),
        *("-p", "no:hypothesispytest"),
        *("-p", "no:schemathesis"),
        *("-p", "no:anyio"),
        *("-p", "no:rerunfailures"),  # what was judged is not asked again until it holds
        "-o",
        "asyncio_mode=strict",
    ]
    plugins += ["-o", "asyncio_default_fixture_loop_scope=function"]
    shown = ["-qq", "--no-header", "--no-summary", "--nats-quiet", *(["--nats-live"] if _is_watched(asked) else [])]
    where = [str(root / nodeid) for nodeid in asked.nodeids] or [str(folder)]
    if asked.scenarios is None:  # outages are for whoever names them
        where += ["--ignore", str(folder / "outages")]
    return [*where, "-c", os.devnull, "--rootdir", str(root), *plugins, *shown, *parallel, *chosen]


def _is_watched(asked: Asked) -> bool:
    """Whether somebody sees it go on, on a terminal that shows more than lines; a run that stops speaks by itself.

    A CI system may give a terminal that nobody watches, and keep all that is drawn on it as a log: it sets CI.
    """
    lines_alone = os.environ.get("TERM", "dumb") == "dumb" or os.environ.get("CI")
    if not sys.stdout.isatty() or lines_alone or asked.hold or asked.record:
        return False
    try:
        Path("/dev/tty").open("w").close()
    except OSError:  # a terminal that is not this process' own
        return False
    return True


def _settings(asked: Asked) -> dict[str, str | None]:
    """What was asked, as the session takes it."""
    seed = None if asked.seed is None else str(asked.seed)
    chosen = {"system": asked.system, "states": asked.states, "hardening": asked.hardening, "runtime": asked.runtime}
    kept = {"hold": asked.hold, "record": asked.record, "rate": asked.rate}
    return {**chosen, **kept, "seed": seed, "reports": None, "folder": None}


def look() -> terminal.Look:
    """How this terminal wants its lines."""
    return terminal.Look.of(sys.stdout, os.environ)


def say(lines: Iterable[str]) -> None:
    """Prints lines at once."""
    for line in lines:
        print(line)
    sys.stdout.flush()


def _shown(path: Path) -> str:
    """A path as people type it: relative where it is below the folder they are in."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def planned(asked: Asked) -> JSON:
    """The plan that a run would write, without starting anything. Raises UsageError."""
    if asked.scenarios is not None and not asked.scenarios.exists():
        raise UsageError(
            f"there is no {asked.scenarios}", where="--scenarios", fix="name a folder or file of scenarios"
        )
    Session.open(_settings(asked), Path.cwd())
    collected = _Collected()
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        code = pytest.main(
            [*_arguments(replace(asked, jobs=1), Path("reports")), "--collect-only"], plugins=[collected]
        )
    if collected.broken:
        raise UsageError("\n".join(collected.broken), where="collecting the scenarios")
    if code == pytest.ExitCode.USAGE_ERROR:
        raise UsageError(output.getvalue().rpartition("ERROR: ")[2].strip())
    if collected.plan is None or not (collected.plan["planned"] or collected.plan["skipped"]):
        if not asked.keyword:
            where = str(asked.scenarios or plan.scenarios_folder())
            raise UsageError("there is no scenario for these states", where=where, fix="write a test that takes `run`")
        known = planned(replace(asked, keyword=None))["planned"]
        raise UnknownName(asked.keyword, {entry["scenario"] for entry in known}, kind="scenario", where="-k")
    return collected.plan


class _Collected:
    """A plugin that keeps the plan of what was collected, and what could not be, such as a file that is no Python."""

    def __init__(self) -> None:
        self.plan: JSON | None = None
        self.broken: list[str] = []

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Called for each file."""
        if report.failed:
            self.broken.append(f"{report.nodeid}: {report.longrepr}")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Our plugin has made the plan by now."""
        opened = session_of(session.config)
        self.plan = asdict(opened.made) if opened and opened.made else None


def judge_again(reports: Path, name: str, *, quiet: bool) -> JSON:
    """Judges every stored history of a run again; rewrites its verdicts, its page and what stands beside that."""
    from harness.gate import baseline, here
    from harness.report import beside, page
    from harness.run.judging import judge_scenario

    folder = plan.find_run(reports, name)
    before = folder / "verdict.json"
    seconds = json.loads(before.read_text("utf-8"))["seconds"] if before.exists() else 0.0
    for entry in plan.read_plan(folder).planned:
        if (folder / "scenarios" / entry.folder / "history").is_dir():
            judge_scenario(folder / "scenarios" / entry.folder)
    verdict = plan.merged(folder, seconds=seconds)
    plan.write_json(folder / "verdict.json", verdict)
    decided = here.of_run(reports, verdict)
    page.write(folder, baseline.known(reports), decided)
    beside.write(folder, verdict, decided)
    if not quiet:
        with telling.commands_off(os.environ, say_one):
            say(_summary(reports, folder, verdict))
    tell([folder], quiet=quiet)
    return verdict


def weaknesses(reports: Path, names: Sequence[str], asked: str, into: Path | None) -> list[str]:
    """The table of a system's weaknesses, of these runs or else the latest; written into a page where one is named."""
    from harness.report import weaknesses as told

    system = load_system(asked)
    chosen = names or (["latest"] if (reports / "latest" / "plan.json").exists() else [])
    runs: list[Any] = [plan.merged(plan.find_run(reports, name), seconds=0.0) for name in chosen]
    lines = told.table(system, asked, runs)
    if not lines:
        fix = "name a system with a state that expects `exposed`"
        raise UsageError("no state of the system exposes a weakness", where=asked, fix=fix)
    if into is not None:
        told.write_between(into, lines)
    return lines
