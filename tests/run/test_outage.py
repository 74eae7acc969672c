"""Outage files: what they may say, what they are told where they say something else, and when it happens."""

from __future__ import annotations

import json
from datetime import time
from pathlib import Path

import pytest

from harness import outage
from harness.errors import UsageError
from harness.history.reader import History
from harness.system.loader import load_system
from tests.docs.pages import DOCS, read
from tests.survival.harness_process import run

STOCK = sorted((DOCS.parent / "scenarios" / "outages").glob(f"*{outage.SUFFIX}"))
EVENT = '[[events]]\nwhat = "pause"\non = "broker"\nfor_s = 1\n'


def _file(folder: Path, text: str) -> Path:
    path = folder / f"mine{outage.SUFFIX}"
    path.write_text(text)
    return path


def _refused(folder: Path, text: str) -> str:
    path = _file(folder, text)
    with pytest.raises(UsageError) as refused:
        outage.load(path)
    return str(refused.value).replace(f"{path}", "FILE")


def test_there_are_eight_and_each_says_where_it_comes_from() -> None:
    files = {path.name.removesuffix(outage.SUFFIX): outage.load(path) for path in STOCK}
    assert len(files) >= 8
    rows = [f"| `{name}` | {file.says} | {file.source} |" for name, file in files.items()]
    assert all(file.source for file in files.values())
    assert read("outages.md").strip().splitlines()[-len(rows) :] == rows


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "FILE:1: says: missing; add says = ...\nFILE:1: events: missing; add events = ..."),
        (f'says = ""\n{EVENT}', "FILE:1: says: string should have at least 1 character"),
        (f'says = "x"\nrat = 1\n{EVENT}', "FILE:2: rat: unknown key; did you mean 'rate'?"),
        (f'says = "x"\nrate = 0\n{EVENT}', "FILE:2: rate: input should be greater than 0"),
        (f'says = "x"\nrate = nan\n{EVENT}', "FILE:2: rate: input should be a finite number"),
        (f'says = "x"\nfaster = 0.5\n{EVENT}', "FILE:2: faster: input should be greater than or equal to 1"),
        ('says = "x"\nevents = []', "FILE:2: events: tuple should have at least 1 item after validation, not 0"),
        (f'says = "x"\n{EVENT}for_s = 2', "it cannot be read: Cannot overwrite a value"),
        ('says = "x"\n\n[[events]]\nwhat = "pause"', "FILE:3: events[0].for_s: missing; add for_s = ..."),
        (
            'says = "x"\n\n[[events]]\nwhat = "pause"\nfors = 2',
            "FILE:3: events[0].for_s: missing; add for_s = ..., which fors is not",
        ),
        (f'says = "x"\n{EVENT}at = "noon"', "FILE:6: events[0].at: "),
        (f'says = "x"\n{EVENT}at = -1', "FILE:6: events[0].at: input should be greater than or equal to 0"),
        (f'says = "x"\n{EVENT}repeat = 0', "FILE:6: events[0].repeat: input should be greater than or equal to 1"),
        (f'says = "x"\n{EVENT}at = true', "FILE:6: events[0].at: input should be a valid number"),
        (f'says = "x"\n{EVENT}repeat = true', "FILE:6: events[0].repeat: input should be a valid integer"),
        (f'says = "x"\nrate = true\n{EVENT}', "FILE:2: rate: input should be a valid number"),
        (f'says = "x"\n{EVENT}at = 100', "FILE:2: the first event is at 100 s, and all count from it"),
        (f'says = "x"\n{EVENT}at = 0\n{EVENT}at = 14:00:00', "FILE:7: at = 14:00:00 does not go with the first"),
        (f'says = "x"\n{EVENT}{EVENT}at = 14:00:00', "FILE:6: at = 14:00:00 does not go with the first event's"),
        (f'says = "x"\n{EVENT}at = 14:00:00\n{EVENT}at = 5', "FILE:7: at = 5.0 does not go with the first event's"),
        (
            f'says = "x"\n{EVENT}at = 14:03:10\n{EVENT}at = 14:03:05',
            "FILE:7: it is 86,395 s after the first event, not 3,600 or less\n  fix: begin the file with the event",
        ),
        (f'says = "x"\n{EVENT}by = "kill"', "FILE:2: no parameter of pause is called 'by'"),
        (
            f'says = "x"\n{EVENT.replace("pause", "paus")}',
            "FILE:2: no fault is called 'paus'\n  fix: did you mean 'pause'",
        ),
        (f'says = "x"\n{EVENT.replace("pause", "silent")}', "FILE:2: missing a required argument: 'provider'"),
        (f'says = "x"\n{EVENT.replace("broker", "a -> b")}', "FILE:2: too many positional arguments"),
        (f'says = "x"\nexpect.reconects = {{}}\n{EVENT}', "FILE:2: no guarantee is called 'reconects'"),
        (
            f'says = "x"\nexpect.reconnects = {{works_s = -1}}\n{EVENT}',
            "FILE:2: works_s is -1.0\n  fix: a time above 0",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, told: str, tmp_path: Path) -> None:
    assert told in _refused(tmp_path, text)


def test_a_mistake_is_wrong_usage(tmp_path: Path) -> None:
    _file(tmp_path, f'says = "x"\nrat = 1\n{EVENT}')
    done = run(tmp_path, "run", "--system", "bare", "--scenarios", f"mine{outage.SUFFIX}")
    assert (done.returncode, "rat: unknown key" in done.stderr) == (64, True), done.stderr
    assert not (tmp_path / "reports").exists()


def test_a_mistake_in_a_file_that_is_not_asked_for_is_nothing_to_it(tmp_path: Path) -> None:
    folder = tmp_path / "ours"
    folder.mkdir()
    _file(folder, f'says = "x"\n{EVENT}')
    for beside in (tmp_path, folder):
        (beside / f"another{outage.SUFFIX}").write_text("rat = 1")
    done = run(folder, "list", "--system", "bare", "--scenarios", f"mine{outage.SUFFIX}")
    assert (done.returncode, "mine" in done.stdout) == (0, True), done.stderr


@pytest.mark.parametrize("command", ["list", "run"])
def test_a_target_that_the_system_does_not_have_is_wrong_usage(command: str, tmp_path: Path) -> None:
    _file(tmp_path, f'says = "x"\n{EVENT}{EVENT.replace("broker", "brokr")}')
    done = run(tmp_path, command, "--system", "bare", "--scenarios", f"mine{outage.SUFFIX}")
    told = f"mine{outage.SUFFIX}:6: no target in the system bare is called 'brokr'\n  fix: did you mean 'broker'?"
    assert (done.returncode, told in done.stderr) == (64, True), done.stderr
    assert not (tmp_path / "reports").exists()


def test_a_target_is_a_role_or_a_replica(tmp_path: Path) -> None:
    system = load_system("telhawk")
    for on in (*outage.ROLES, *system.nodes(), system.replicas(system.workers()[0])[0]):
        assert outage.scenario(_file(tmp_path, f'says = "x"\n{EVENT.replace("broker", on)}'), system)


def _at(*times: float | time | None) -> list[float | None]:
    events = tuple(outage.Event(what="pause", on="broker", for_s=1, at=at) for at in times)
    told = outage.Outage(says="x", events=events)
    return [told.start_s(event) for event in events]


def test_times_of_day_count_from_the_first_of_them_and_over_midnight() -> None:
    assert _at(0, None, 12.5) == [0, None, 12.5]
    assert _at(time(14, 3, 10), None, time(14, 5)) == [0, None, 110]
    assert _at(time(23, 59, 50), time(0, 0, 5, 500_000)) == [0, 15.5]


def test_what_a_system_must_have() -> None:
    def needs(*on: str) -> list[str]:
        return outage.Outage(says="x", events=tuple(outage.Event(what="pause", on=one, for_s=1) for one in on)).needs()

    assert needs("broker", "web-0", "") == ["broker"]
    assert needs("entry -> broker", "workers", "worker -> dependency") == ["broker", "entry", "worker", "dependency"]


TOLD = """
says = "A broker that died, a line that was slow after that, and resets at their time."
faster = 2
expect.reconnects = {}

[[events]]
at = 12:00:00
what = "kill"
on = "broker"
for_s = 2

[[events]]
what = "latency"
on = "entry -> broker"
latency_ms = 100
for_s = 2

[[events]]
at = 12:00:12
what = "reset"
on = "entry -> broker"
repeat = 2
every_s = 2
for_s = 1
"""


def test_what_it_tells_happens_when_it_tells(tmp_path: Path) -> None:
    _file(tmp_path, TOLD)
    done = run(tmp_path, "run", "--system", "bare", "--scenarios", ".", "--seed", "1")
    (folder,) = tmp_path.glob("reports/*-*/scenarios/mine-default")
    verdict = json.loads((folder / "verdict.json").read_text())
    assert [(fault["kind"], fault["bit"]) for fault in verdict["faults"]] == [
        *[("kill", True), ("latency", True), ("reset", True), ("reset", True)]
    ], done.stdout + done.stderr
    kill, latency, first, second = History.open(folder / "history").faults()
    assert latency.asked_ns >= (kill.healed_ns or 0)
    assert 6.0 <= (first.asked_ns - kill.asked_ns) / 1e9 < 6.5
    assert (second.asked_ns - (first.healed_ns or 0)) / 1e9 >= 1.0
    entry = json.loads((folder.parent.parent / "plan.json").read_text())["planned"][0]
    assert (entry["id"], entry["file"], entry["line"]) == ("mine[default]", f"mine{outage.SUFFIX}", 1)
    assert {finding["clause"] for finding in verdict["findings"]} >= {"no_loss", "reconnects.works"}
