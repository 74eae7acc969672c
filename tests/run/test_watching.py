"""The live view: what it says of a scenario, and that it is there on a terminal alone."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from time import monotonic_ns

import pytest
from rich.console import Console

from harness.history.recorder import Recorder
from harness.history.rows import Outcome
from harness.plan import took
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
        watched.update()
        assert watched.cells()[0] == "one[default]"
        return watched.cells()[2]

    assert (doing(), watched.cells(waits=True)[2]) == ("starts", "waits for another to start")
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
    watched.update()
    assert watched.cells()[2] == "is offered work"
    (tmp_path / "history" / "lines-runner.jsonl").unlink()
    watched.update()
    assert watched.cells()[2] == "is offered work"


def test_operations_are_counted_by_what_became_of_them(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "history", name="load-0", nonce="abcdefgh", writer=0)
    for outcome in (Outcome.OK, Outcome.OK, Outcome.FAIL, Outcome.UNKNOWN):
        recorder.finish(recorder.begin("queries", monotonic_ns()), outcome)
    recorder.begin("queries", monotonic_ns())
    _told(tmp_path, {"kind": "load", "event": "started"})
    watched = Watched("one[default]", tmp_path)
    watched.update()
    *_, rate, shown = watched.cells()
    assert (rate, shown) == ("2/s", "2 ok  1 fail  1 unknown  1 under way")


def _screen() -> io.StringIO:
    screen = io.StringIO()
    screen.isatty = lambda: True  # type: ignore[method-assign]
    screen.close = lambda: None  # type: ignore[method-assign]
    return screen


def test_lines_stand_above_it_and_it_leaves_none_behind(tmp_path: Path) -> None:
    screen = _screen()
    view = Watching(["a[default]", "b[default]", "c[default]"], screen, {"b[default]": 20.0, "c[default]": 30.0})
    view.start()
    view.begins("a", "a[default]", tmp_path)
    view.ends("a", as_expected=False)
    view.ends("unknown", as_expected=False)
    view.say("\x1b[32mok\x1b[0m   a line")
    view.stop()
    assert "1 of 3 scenarios done, 1 not as expected, about " in screen.getvalue()
    assert "a line" in screen.getvalue()


def _seen(view: Watching) -> str:
    """The view's lines as they stand now."""
    console = Console(file=io.StringIO(), record=True, width=200)
    console.print(view._shown())
    return console.export_text()


def test_the_time_that_is_left_gets_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    monkeypatch.setattr("harness.watching.monotonic", lambda: now_s)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()

    def left(view: Watching, at_s: float) -> str:
        nonlocal now_s
        now_s = at_s
        return _seen(view).rpartition(" done")[2].strip()

    alone = Watching(["a[default]"], _screen(), {"a[default]": 40.0})
    alone.begins("a", "a[default]", tmp_path / "a")
    assert [left(alone, at_s) for at_s in (110, 120, 139.5, 150)] == [
        ", about 30.0 s left",
        ", about 20.0 s left",
        "",
        "",
    ]
    several = Watching(["a[default]", "b[default]", "c[default]"], _screen(), {})
    several.begins("a", "a[default]", tmp_path / "a")
    assert left(several, 160) == "", "nobody knows yet"
    several.ends("a", as_expected=True)
    several.begins("b", "b[default]", tmp_path / "b")
    assert [left(several, at_s) for at_s in (160, 165)] == [", about 20.0 s left", ", about 15.0 s left"]


def test_who_waits_for_another_waits_for_one_that_is_there(tmp_path: Path) -> None:
    view = Watching(["a[default]", "b[default]"], _screen(), {})
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        view.begins(name, f"{name}[default]", tmp_path / name)
    assert "waits" not in _seen(view)
    _told(tmp_path / "a", {"kind": "phase", "name": "start lock"})
    assert re.search(r"a\[default\].* starts.*\n.*b\[default\].* waits for another", _seen(view))
    _told(tmp_path / "a", {"kind": "load", "event": "started"})
    assert "waits" not in _seen(view)


def test_how_long_it_took_before_is_of_the_newest_run_that_tells(tmp_path: Path) -> None:
    def ran(name: str, system: str, **took_s: float) -> None:
        (tmp_path / name).mkdir()
        scenarios = [{"id": id_, "seconds": seconds} for id_, seconds in took_s.items()]
        verdict = {"system": system, "runtime": "processes", "scenarios": scenarios}
        (tmp_path / name / "verdict.json").write_text(json.dumps(verdict))

    ran("20260101-000000-aaaa", "bare", calm=9.0, kill=8.0, other=1.0)
    ran("20260102-000000-aaaa", "bare", calm=5.0)
    ran("20260103-000000-aaaa", "orders", calm=1.0)
    (tmp_path / "20260104-000000-aaaa").mkdir()
    (tmp_path / "20260104-000000-aaaa" / "verdict.json").write_text("[" * 100_000)
    assert took(tmp_path, "bare", "processes", ["calm", "kill", "new"]) == {"calm": 5.0, "kill": 8.0}


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_on_a_terminal_it_goes_with_the_run(tmp_path: Path, jobs: str) -> None:
    chosen = ["run", "--system", "bare", "-k", "entry_reset or calm", "-j", jobs]
    with terminal(tmp_path, *chosen, COLUMNS="150", LINES="40", CI="") as shown:
        while not SHOWN.search(shown.shown):
            shown.read_until("entry_reset[default]")
        shown.read_until("AS EXPECTED")
        assert shown.process.wait(WITHIN_S) == 0
    assert "of 2 scenarios done" in shown.shown
    assert "... calm" not in shown.shown
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.shown)
    assert re.search(r"^ok +entry_reset\[default\] +holds", plain, re.MULTILINE), plain


@pytest.mark.parametrize("environ", [{"TERM": "dumb"}, {"CI": "true"}], ids=str)
def test_elsewhere_lines_are_all(tmp_path: Path, environ: dict[str, str]) -> None:
    with terminal(tmp_path, "run", "--system", "bare", "-k", "calm", **environ) as shown:
        assert "... calm[default]" in shown.read_until("AS EXPECTED")
        assert "scenarios done" not in shown.shown


def test_where_nobody_looks_lines_are_all(tmp_path: Path) -> None:
    done = run(tmp_path, "run", "--system", "bare", "-k", "calm")
    assert ("... calm[default]" in done.stdout, "\x1b" in done.stdout) == (True, False)
    told = run(tmp_path, "run", "--system", "bare", "-k", "calm", "--json")
    assert json.loads(told.stdout)["exit"] == 0
    assert "... calm[default]" in told.stderr
