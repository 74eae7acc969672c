"""A run from the command line, judged again and run again: the same bytes, the same scenario."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.launching import side_by_side
from tests.survival.harness_process import run

MINE = """
from harness import calm

@calm
async def test_mine(run):
    async with run.load():
        await run.steady(1)
"""


def test_judge_and_replay(tmp_path: Path) -> None:
    done = run(tmp_path, "run", "--system", "bare", "-k", "calm", "--seed", "7")
    assert done.returncode == 0, done.stdout + done.stderr
    (first,) = tmp_path.glob("reports/*-*")
    files = [first / "verdict.json", *first.glob("scenarios/*/verdict.json")]
    before = [path.read_bytes() for path in files]
    assert run(tmp_path, "judge", first.name).returncode == 0
    assert [path.read_bytes() for path in files] == before, "judged again, byte for byte the same"

    (tmp_path / "gate.toml").write_text("[gate.least]\nscenarios = 99\n")
    judged = run(tmp_path, "judge", first.name)
    assert (judged.returncode, "CANNOT SAY by gate.toml." in judged.stdout) == (0, True), judged.stdout
    repro = json.loads(before[0])["scenarios"][0]["repro"]
    assert repro == f"nats-harness replay reports/{first.name} 'calm[default]'"
    again = run(tmp_path, "replay", f"reports/{first.name}", "calm[default]")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "not the same as then" not in again.stderr
    assert again.stdout.count("CANNOT SAY by gate.toml.") == 1
    (second,) = (path for path in tmp_path.glob("reports/*-*") if path != first)
    for made in (first, second):
        assert "<strong>CANNOT SAY</strong>" in (made / "index.html").read_text()
        assert "CANNOT SAY by `gate.toml`" in (made / "summary.md").read_text()
    verdicts = [json.loads((folder / "verdict.json").read_text()) for folder in (first, second)]
    for name in ("system", "runtime", "seed", "versions", "states"):
        assert verdicts[0][name] == verdicts[1][name]
    assert verdicts[0]["seed"] == 7


def test_a_run_that_was_handed_over_is_run_again(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    (here / "test_mine.py").write_text(MINE)
    assert run(here, "run", "--system", "bare", "--scenarios", "test_mine.py").returncode == 0
    packed = run(here, "bundle", "latest", "--into", "mine.bundle.zip")
    assert packed.returncode == 0, packed.stderr
    (here / "test_mine.py").unlink()
    again = run(there, "replay", "../here/mine.bundle.zip", "mine[default]")
    assert (again.returncode, "not the same as then" in again.stderr) == (0, False), again.stdout + again.stderr
    opened = run(there, "open", "../here/mine.bundle.zip")
    assert opened.stdout.split()[-1] == packed.stdout.split()[-1], "the same digest"


def test_replay_tries_until_it_comes_out_so(tmp_path: Path) -> None:
    assert run(tmp_path, "run", "--system", "bare", "-k", "calm").returncode == 0
    at_once = run(tmp_path, "replay", "latest", "calm[default]", "--until", "holds")
    assert (at_once.returncode, "calm[default]: holds 1 of 1 times" in at_once.stdout) == (0, True), at_once.stdout
    never = run(tmp_path, "replay", "latest", "calm[default]", "--until", "violated", "--max", "2")
    assert (never.returncode, "calm[default]: violated 0 of 2 times" in never.stdout) == (0, True), never.stdout
    assert len(list(tmp_path.glob("reports/*-*"))) == 4


def test_replay_names_what_there_is(tmp_path: Path) -> None:
    done = run(tmp_path, "replay", "latest")
    assert done.returncode == 64
    assert "no run is called 'latest'" in done.stderr


@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("from harness import needs\n\n@needs('borker')\nasync def test_x(run): ...", "did you mean 'worker'?"),
        ("import harnes", "No module named 'harnes'"),
        ("", "there is no scenario"),
    ],
)
def test_scenarios_with_mistakes_are_wrong_usage_and_leave_no_run(
    tmp_path: Path, text: str, told: str, jobs: str
) -> None:
    (tmp_path / "test_mine.py").write_text(text)
    done = run(tmp_path, "run", "--system", "bare", "--scenarios", "test_mine.py", "-j", jobs)
    assert (done.returncode, told in done.stderr) == (64, True), done.stderr
    assert not list(tmp_path.glob("reports/*"))


# The machine's cores, what -j says, the runtime, how many scenarios there are, and how many run at a time.
@pytest.mark.parametrize(
    ("cores", "asked", "runtime", "count", "at_a_time"),
    [
        (4, None, "processes", 40, 4),
        (4, None, "containers", 40, 2),
        (1, None, "containers", 40, 1),
        (4, 7, "containers", 40, 7),
        (4, None, "processes", 3, 3),
        (4, 7, "processes", 1, 1),
        (4, None, "processes", 0, 1),
    ],
)
def test_how_many_run_at_a_time(
    cores: int, asked: int | None, runtime: str, count: int, at_a_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    assert side_by_side(asked, runtime, count) == at_a_time
