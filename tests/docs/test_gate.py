"""The page of the gate is run from top to bottom: its policy decides, and what it shows is what is printed."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import click.testing
import pytest

from harness import cli
from harness.gate.policy import LEAST_SAMPLES, Policy
from harness.gate.policy_file import load
from harness.report.shape import Run
from tests.gate.stories import run, write
from tests.report import verdicts

from .pages import DOCS, blocks, section

PAGE = DOCS / "gate.md"
GOOD, SLOW = (0.80, 0.81, 0.79, 0.83, 0.82), (2.41, 2.44, 2.40, 2.39, 2.52)


def recovered(name: str, seconds: float, verdict: str = "holds") -> Run:
    """A run whose one scenario lost nothing and was back after that time."""
    works = {"unit": "s", "bound": 5, "measured": seconds, "counted": 3}
    last = verdicts.finding("reconnects.works", verdict, reason="3 links, the last is web-0", **works)
    return run(name, verdicts.scenario("crash", findings=[*verdicts.good_findings()[:-1], last]))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The runs that the page names."""
    monkeypatch.chdir(tmp_path)
    reports = tmp_path / "reports"
    for name, times in (("good", GOOD), ("slow", SLOW)):
        write(reports, *(recovered(f"{name}-{number}", seconds) for number, seconds in enumerate(times, start=1)))
    write(reports, recovered("late", 8.21, "violated"))
    (reports / "latest").symlink_to("good-1")
    (reports / "nightly.json").write_text(
        json.dumps(
            {"runs": [{"run": "good-1", "system": "ours", "exit": 0}, {"run": "late", "system": "ours", "exit": 1}]}
        )
    )
    return tmp_path


def test_the_page_is_run(folder: Path) -> None:
    compared, output = 0, ""
    for block in (block for block in blocks() if block.page == PAGE):
        if block.tag == "toml gate":
            (folder / "gate.toml").write_text(block.text)
        elif block.tag == "console":
            for line in block.text.splitlines():
                words = shlex.split(line.removeprefix("$ "))[1:]
                done = click.testing.CliRunner().invoke(cli.main, words)
                assert done.exit_code in (0, 1, 2), f"{block.where}: {line}: {done.stderr}"
                output = done.stdout
        else:
            assert block.text == output, block.where
            compared += 1
    assert compared == 3


def test_its_policy_says_what_is_the_default(tmp_path: Path) -> None:
    """The defaults of the table are the model's own."""
    (tmp_path / "gate.toml").write_text("[gate.regression]\n")
    policy, _ = load(None, tmp_path)
    rows = {
        name: default
        for line in section(PAGE, "A policy").splitlines()
        if (match := re.match(r"\| ((?:`[\w.]+`(?:, )?)+) \|.*\| ([^|]*) \|$", line))
        for name, default in zip(re.findall(r"`([\w.]+)`", match[1]), (match[2] + ", " * 9).split(", "), strict=False)
    }
    named = {"every clause that a run expects": None, "none": (), "every time": ()}
    for name, default in rows.items():
        here: object = policy
        for part in name.split("."):
            here = getattr(here, part)
        if name != "regression":
            assert str(named.get(default, default.strip("`"))) == str(here), name
    assert {name.partition(".")[0] for name in rows} == set(Policy.model_fields)
    assert f"fewer than { ({5: 'five'}[LEAST_SAMPLES]) } runs" in PAGE.read_text()
