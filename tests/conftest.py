"""In which order tests run, and those that need a container engine.

Those are skipped where none answers, with a word at the end on what that leaves unproven. NATS_HARNESS_ENGINE=required,
as .ci/run sets it, makes such a skip a failure.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.witness import Witness

HERE = Path(__file__).parent
REQUIRED = os.environ.get("NATS_HARNESS_ENGINE") == "required"
NO_ENGINE = "needs a container engine"
WITNESS = Witness()
# By how long they take.
LONG = (
    "faults/test_no_op.py",
    "controls/test_degrades.py",
    "runtime/test_conformance.py",
    "sabotage/test_broker.py",
    "sabotage/test_work.py",
    "cases/test_outages.py",
    "cases/test_clients.py",
    "docs/test_guide.py",
    "cases/test_loss.py",
    "run/test_watching.py",
    "test_command_line.py",
    "faults/test_ways.py",
    "compose/test_stack.py",
    "survival/test_killed.py",
    "controls/test_counted.py",
    "survival/test_interrupted.py",
)

for _name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "NO_COLOR"):
    os.environ.pop(_name, None)  # what a run says to GitHub is tested by itself; elsewhere it says the same everywhere


hypothesis.settings.register_profile("unhurried", hypothesis.settings(), deadline=None)
hypothesis.settings.load_profile("unhurried")


@functools.cache
def why_not() -> str:
    from harness.runtime import _engine

    return _engine.why_not()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first: one worker runs a file, and the last to end is waited for."""
    begins = {HERE / name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: begins.get(item.path, len(LONG)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """A test that fails while this machine held everybody up is asked again (make test)."""
    if item.get_closest_marker("timed") is not None:  # these have the verdict's own word for it
        return (yield)
    with WITNESS.excuses():
        return (yield)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("engine") is None or not why_not():
        return
    if REQUIRED:
        pytest.fail(f"{NO_ENGINE}: {why_not()}", pytrace=False)
    pytest.skip(f"{NO_ENGINE}: {why_not()}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    if (output := getattr(session.config, "workeroutput", None)) is not None:
        output["latest_s"] = WITNESS.latest_s


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker of several is done."""
    WITNESS.latest_s = max(WITNESS.latest_s, getattr(node, "workeroutput", {}).get("latest_s", 0.0))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    late_ms = 1000 * WITNESS.latest_s
    terminalreporter.write_line(f"what asked to wake after 10 ms did so at most {late_ms:,.0f} ms later")
    skipped = [report for report in terminalreporter.stats.get("skipped", []) if NO_ENGINE in str(report.longrepr)]
    if skipped:
        terminalreporter.write_line(
            f"{len(skipped)} tests were skipped, for no container engine answers: this run does not show that the"
            " container runtime does what the process runtime does, survives what it must, and leaves nothing behind"
        )
