"""The way in from pytest: the fixture `run`, the plan at collection, the verdict at the end.

Inert until asked: it acts only on tests that use its fixture, and only when a system is named (`--nats-system` or the
ini option `nats_system`). Collecting starts nothing and imports nothing heavy. An async scenario is run on a loop of
its own, so that it does not matter which asyncio plugin, in which mode, a suite uses.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import pytest

from harness.errors import HarnessError, UsageError
from harness.history.shown import on_lines
from harness.interrupting import ENDING, INTERRUPTS
from harness.marks import DOCUMENTATION, SETTINGS

if TYPE_CHECKING:
    from harness.report.terminal import Look
    from harness.run import Run
    from harness.session import Session
    from harness.watching import Watching

_SESSION = pytest.StashKey["Session"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds one option a setting, each also an ini option."""
    group = parser.getgroup("nats-harness", "nats-harness: break a system built on NATS, judge its promises")
    for name, text in SETTINGS.items():
        group.addoption(f"--nats-{name}", dest=f"nats_{name}", default=None, help=text)
        parser.addini(f"nats_{name}", text, default="")
    group.addoption("--nats-quiet", dest="nats_quiet", action="store_true", help="lines of the harness' own alone")
    group.addoption("--nats-live", dest="nats_live", action="store_true", help="and below them what goes on now")


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marks; in a process of our own, also what it shows and how it ends."""
    for line in DOCUMENTATION:
        config.addinivalue_line("markers", line)
    if config.getoption("nats_quiet"):
        INTERRUPTS.take_cancelling()
        if not hasattr(config, "workerinput"):
            config.pluginmanager.register(_Progress(config))


def _asked(config: pytest.Config, name: str) -> str | None:
    return config.getoption(f"nats_{name}", None) or config.getini(f"nats_{name}") or None


def session_of(config: pytest.Config) -> Session | None:
    """The session of this pytest run; None where no system is named."""
    if _SESSION not in config.stash:
        name = _asked(config, "system")
        if name is None:
            return None
        from harness.session import Session

        try:
            config.stash[_SESSION] = Session.open({key: _asked(config, key) for key in SETTINGS}, config.rootpath)
        except UsageError as error:
            raise pytest.UsageError(on_lines(error)) from error
    return config.stash[_SESSION]


def _uses_run(item: object) -> TypeGuard[pytest.Function]:
    return isinstance(item, pytest.Function) and "run" in item.fixturenames and "nats_state" in item.fixturenames


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_pycollect_makeitem(collector: pytest.Collector) -> Generator[None, Any, Any]:
    """Makes async scenarios sync before an asyncio plugin sees them: the loop is ours."""
    made = yield
    for item in made if isinstance(made, list) else [made]:
        if _uses_run(item) and inspect.iscoroutinefunction(item.obj):
            item.obj = _driven(item.obj)
    return made


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """An outage file is a scenario, where a system is named."""
    if file_path.name.endswith(".outage.toml") and session_of(parent.config) is not None:
        return _OutageFile.from_parent(parent, path=file_path)
    return None


class _OutageFile(pytest.Module):
    """Read only where it is asked for: pytest makes one of each file that lies beside it, or above."""

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        """The scenario that it tells; of one that is to be recorded, the scenario of doing so."""
        from harness import outage, recording

        session = session_of(self.config)
        assert session is not None
        try:
            if session.record is not None and session.record.path.samefile(self.path):
                self.obj = recording.scenario(session.record)
            else:
                self.obj = outage.scenario(self.path, session.system)
        except UsageError as error:
            raise self.CollectError(on_lines(error)) from error
        return super().collect()


def _driven(scenario: Callable[..., Any]) -> Callable[..., None]:
    @functools.wraps(scenario)
    def wrapper(*args: Any, run: Run, **fixtures: Any) -> None:
        verdict = INTERRUPTS.run(run.drive(functools.partial(scenario, *args, run=run, **fixtures)))
        if not verdict["as_expected"]:
            from harness.report.terminal import failure

            pytest.fail(failure(verdict), pytrace=False)

    return wrapper


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Reads the settings before anything is collected, so that a mistake is one error and not one a file."""
    session_of(session.config)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A scenario runs once a state."""
    if "nats_state" in metafunc.fixturenames:
        session = session_of(metafunc.config)
        metafunc.parametrize("nats_state", list(session.states) if session else ["no system"], indirect=True)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None]:
    """Checks names before anything is deselected; then takes out what a state does not run, or the system cannot."""
    before = [item for item in items if _uses_run(item)]
    session = session_of(config) if before else None
    try:
        if session is not None and _are_stock(config):
            session.check_names(before)
        yield
        leave = session.sort([item for item in items if _uses_run(item)]) if session is not None else []
    except UsageError as error:
        del config.stash[_SESSION]  # pytest still says that it has collected; there is nothing to plan
        raise pytest.UsageError(on_lines(error)) from error
    if leave:
        config.hook.pytest_deselected(items=leave)
        items[:] = [item for item in items if item not in leave]


def _are_stock(config: pytest.Config) -> bool:
    """Were all stock scenarios collected, so that an unknown name in `exposes` is a mistake?"""
    from harness.plan import scenarios_folder

    return [Path(arg).resolve() for arg in config.args] == [scenarios_folder().resolve()]


def pytest_collection_finish(session: pytest.Session) -> None:
    """The plan is on disk before the first process is started."""
    scenarios = [item for item in session.items if _uses_run(item)]
    if scenarios and _SESSION in session.config.stash:
        session.config.stash[_SESSION].plan(scenarios, write=not session.config.option.collectonly)


@pytest.fixture
def nats_state(request: pytest.FixtureRequest) -> str:
    """The state that this test runs the system in."""
    return str(request.param)


@pytest.fixture
def run(request: pytest.FixtureRequest, nats_state: str) -> Iterator[Run]:
    """What a scenario holds: the system under test, its roles, load, faults and waits (harness.run.Run)."""
    session = session_of(request.config)
    if session is None:
        pytest.fail(
            "no system is named\n  fix: pytest --nats-system telhawk, or nats_system = ... in the ini file",
            pytrace=False,
        )
    try:
        yield session.run(request.node, nats_state)
    except HarnessError as error:
        pytest.fail(on_lines(error), pytrace=False)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Names the run's folder before parallel workers start, so that all write into one."""
    plugins = session.config.pluginmanager
    if plugins.has_plugin("terminaldistreporter") and session.config.getoption("nats_quiet"):
        plugins.getplugin("dsession").terminal = None  # pytest-xdist's own lines about its workers
        plugins.unregister(name="terminaldistreporter")
    opened = session_of(session.config) if getattr(session.config.option, "numprocesses", None) else None
    if opened is not None:  # the workers get the options as they are now
        session.config.option.nats_folder = str(opened.folder())
        session.config.option.nats_seed = str(opened.seed)
        session.config.option.nats_runtime = opened.chosen_runtime()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Adds the scenarios up, and writes verdict and page."""
    opened = session.config.stash.get(_SESSION, None)
    if opened is not None and not hasattr(session.config, "workerinput"):
        opened.finish()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The verdict in lines, where a run was judged."""
    opened = config.stash.get(_SESSION, None)
    if opened is not None and opened.verdict is not None and not config.getoption("nats_quiet"):
        from harness import telling

        for line in opened.summary(_look()):
            terminalreporter.write_line(line)
        telling.tell([opened.folder()], os.environ, terminalreporter.write_line)


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.TestReport, config: pytest.Config) -> tuple[str, str, str] | None:
    """No dots where the harness prints lines of its own."""
    return ("", "", "") if config.getoption("nats_quiet") and isinstance(report, pytest.TestReport) else None


class _Progress:
    """Lines of the harness' own while a run goes on: one when a scenario starts, one when it is done.

    On a terminal, what goes on now stands below them instead of the first.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._view: Watching | None = None
        self._ending = False
        INTERRUPTS.on_ending = self._ends

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """A scenario starts."""
        session = session_of(self._config)
        if session is None or not session.plans(nodeid):
            return
        if self._config.getoption("nats_live") and self._view is None:
            from harness.watching import Watching

            terminal = open("/dev/tty", "w", encoding="utf-8")  # noqa: SIM115  # pytest keeps stdout; closed at the end
            self._view = Watching(session.planned(), terminal, session.took_before())
            self._view.start()
        if self._view is not None:
            self._view.begins(nodeid, *session.place(nodeid))
        else:
            self._say(f"... {nodeid.rpartition('::')[2].removeprefix('test_')}")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A scenario is done; where it left no verdict, what it ended with."""
        session = session_of(self._config)
        if session is None or (report.when != "teardown" and not (report.when == "setup" and report.failed)):
            return
        lines = session.scenario(report.nodeid, _look())
        if self._view is not None:
            self._view.ends(report.nodeid, as_expected=session.as_expected(report.nodeid))
        for line in lines or str(report.longrepr or "").splitlines():
            self._say(line)

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Ctrl-C is no error: pytest's own words for it, a traceback's last line, are left out.

        They are made before that, and fail where it came as a function was entered, which Python says was on no line.
        """
        if excinfo.type is KeyboardInterrupt:
            self._ends()
            excinfo.traceback = excinfo.traceback[:1]
            self._config.pluginmanager.unregister(name="terminalreporter")

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """What is said from here on stands on its own."""
        if self._view is not None:
            self._view.stop()
            self._view = None

    def _ends(self) -> None:
        if not self._ending:
            self._ending = True
            with self._config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
                self._say(ENDING)

    def _say(self, line: str) -> None:
        if self._view is not None:
            self._view.say(line)
        else:
            self._config.get_terminal_writer().line(line, flush=True)


def _look() -> Look:
    from harness.report.terminal import Look

    return Look.of(sys.stdout, os.environ)
