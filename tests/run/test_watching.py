"""The live view: what it says of a scenario, and that it is there on a terminal alone."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from time import monotonic_ns

import pytest

from harness.history.recorder import Recorder
from harness.history.rows import Outcome
from harness.watching import Watched, Watching
from tests.survival.harness_process import run
from tests.survival.terminal import WITHIN_S, terminal

SHOWN = re.compile(r"under reset of load - broker-0 +50/s +\d+ ok +\d+ fail +\d+ unknown +\d+ under way")


def _told(folder: Path, *lines: dict[str, object]) -> None:
    (folder / "history").mkdir(exist_ok=True)
    with (folder / "history" / "lines-runner.jsonl").open("a") as file:
        file.writelines(f"{json.dumps(line)}\n" for line in lines)


def test_a_scenario_is_told_by_what_goes_on(tmp_path: Path) -> None:
    watched = Watched("one[default]", tmp_path)

    def doing() -> str:
        assert watched.cells()[0] == "one[default]"
        return watched.cells()[2]

    assert doing() == "waits for another to start"
    _told(tmp_path, {"kind": "phase", "name": "start lock"})
    assert doing() == "starts"
    _told(tmp_path, {"kind": "load", "event": "started"})
    assert doing() == "is offered work"
    first = {"kind": "fault", "id": 1, "event": "asked", "fault": "kill", "target": "broker-0"}
    _told(tmp_path, first, {"kind": "fault", "id": 1, "event": "effective"})
    _told(tmp_path, first | {"id": 2, "fault": "pause", "target": "web\x1b[2J-0"})
    assert doing() == "under kill of broker-0, pause of web\\x1b[2J-0"
    with (tmp_path / "history" / "lines-runner.jsonl").open("a") as file:
        file.write('{"kind": "fault", "id": 1, "ev')  # half a line
    assert doing().startswith("under kill")
    with (tmp_path / "history" / "lines-runner.jsonl").open("a") as file:
        file.write('ent": "healing"}\n')
    _told(tmp_path, {"kind": "fault", "id": 2, "event": "failed"})
    assert doing() == "is offered work"
    _told(tmp_path, {"kind": "load", "event": "stopping"})
    assert doing() == "reads to the end"


def test_a_scenario_that_was_kept_in_columns_meanwhile_is_no_error(tmp_path: Path) -> None:
    watched = Watched("one[default]", tmp_path)
    _told(tmp_path, {"kind": "load", "event": "started"})
    assert watched.cells()[2] == "is offered work"
    (tmp_path / "history" / "lines-runner.jsonl").unlink()
    assert watched.cells()[2] == "is offered work"


def test_operations_are_counted_by_what_became_of_them(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "history", name="load-0", nonce="abcdefgh", writer=0)
    for outcome in (Outcome.OK, Outcome.OK, Outcome.FAIL, Outcome.UNKNOWN):
        recorder.finish(recorder.begin("queries", monotonic_ns()), outcome)
    recorder.begin("queries", monotonic_ns())
    _told(tmp_path, {"kind": "load", "event": "started"})
    *_, rate, shown = Watched("one[default]", tmp_path).cells()
    assert (rate, shown) == ("2/s", "2 ok  1 fail  1 unknown  1 under way")


def test_lines_stand_above_it_and_it_leaves_none_behind(tmp_path: Path) -> None:
    screen = io.StringIO()
    screen.isatty = lambda: True  # type: ignore[method-assign]
    screen.close = lambda: None  # type: ignore[method-assign]
    view = Watching(3, screen)
    view.start()
    view.begins("a", "a[default]", tmp_path)
    view.ends("a", as_expected=False)
    view.ends("unknown", as_expected=False)
    view.say("\x1b[32mok\x1b[0m   a line")
    view.stop()
    assert "1 of 3 scenarios done, 1 not as expected, about " in screen.getvalue()
    assert "a line" in screen.getvalue()


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_on_a_terminal_it_goes_with_the_run(tmp_path: Path, jobs: str) -> None:
    chosen = ["run", "--system", "bare", "-k", "entry_reset or calm", "-j", jobs]
    with terminal(tmp_path, *chosen, COLUMNS="150", LINES="40") as shown:
        while not SHOWN.search(shown.shown):
            shown.read_until("entry_reset[default]")
        shown.read_until("AS EXPECTED")
        assert shown.process.wait(WITHIN_S) == 0
    assert "of 2 scenarios done" in shown.shown
    assert "... calm" not in shown.shown
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.shown)
    assert re.search(r"^ok +entry_reset\[default\] +holds", plain, re.MULTILINE), plain


@pytest.mark.parametrize("environ", [{"TERM": "dumb"}])
def test_elsewhere_lines_are_all(tmp_path: Path, environ: dict[str, str]) -> None:
    with terminal(tmp_path, "run", "--system", "bare", "-k", "calm", **environ) as shown:
        assert "... calm[default]" in shown.read_until("AS EXPECTED")
        assert "scenarios done" not in shown.shown
    done = run(tmp_path, "run", "--system", "bare", "-k", "calm")
    assert ("... calm[default]" in done.stdout, "\x1b" in done.stdout) == (True, False)
