"""A replay that stops where somebody wants to look, and goes on when they press Enter."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.run import holding
from harness.series import replay
from tests.survival.harness_process import run
from tests.survival.terminal import WITHIN_S, terminal


def test_it_stops_before_each_fault_and_before_the_end(tmp_path: Path) -> None:
    assert run(tmp_path, "run", "--system", "bare", "-k", "entry_reset").returncode == 0
    with terminal(tmp_path, "replay", "latest", "entry_reset[default]", "--step", "--keep") as shown:
        before = shown.read_until("Enter goes on: ")
        assert "stopped before the fault reset" in before
        assert re.search(r"^  broker-0  up    nats://127\.0\.0\.1:\d+  /", before, re.MULTILINE)
        (followed,) = re.findall(r"^  what they print: tail -f (/.*)$", before.replace("\r", ""), re.MULTILINE)
        assert "Listening for client connections" in Path(followed).read_text()
        assert "evidence" not in shown.shown
        shown.press_enter()
        assert "stopped before the system is taken down" in shown.read_until("Enter goes on: ")
        shown.press_enter()
        shown.read_until("AS EXPECTED")
        assert shown.process.wait(WITHIN_S) == 0


def test_where_nobody_can_look_it_is_wrong_usage(tmp_path: Path) -> None:
    """A pipeline has no terminal, and would wait for ever."""
    assert run(tmp_path, "run", "--system", "bare", "-k", "calm").returncode == 0
    done = subprocess.run(
        ["setsid", "--wait", sys.executable, "-m", "harness", "replay", "latest", "calm[default]", "--keep"],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "there is no terminal to stop at" in done.stderr) == (64, True), done.stderr


@pytest.mark.parametrize(
    ("hold", "option"), [("faults", "--step"), ("end", "--keep"), ("faults,end", "--step, --keep")]
)
def test_the_option_that_was_typed_is_named(
    hold: str, option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "TERMINAL", str(tmp_path / "none"))
    with pytest.raises(UsageError, match=f"^{option}: there is no terminal to stop at"):
        replay.replay(tmp_path, "latest", None, hold=hold)


def test_another_place_to_stop_is_told() -> None:
    with pytest.raises(UsageError, match="no place to stop is called 'fault'\n  fix: did you mean 'faults'"):
        holding.asked("fault")
    assert holding.asked("") == frozenset()
