"""The ready workflow files: valid by the schemas of those who run them, and what they name is there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from harness import cli
from harness.report import beside, markdown

from .pages import DOCS, ROOT, read

FILES = sorted((DOCS / "ci").glob("*.yml"))
GITHUB = [path for path in FILES if path.name.startswith("github")]
GITLAB = [path for path in FILES if path.name.startswith("gitlab")]
SINCE_NODE_24 = {"actions/checkout": 5, "actions/setup-python": 6, "actions/upload-artifact": 6}
"""The first version of each action that runs on Node 24: Node 20 left the runners in September 2026."""
SCHEMAS = {"github": "vendor.github-workflows", "gitlab": "vendor.gitlab-ci"}


def loaded(path: Path) -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load(path.read_text("utf-8"))
    return found


def jobs(path: Path) -> dict[str, Any]:
    found = loaded(path)
    return found["jobs"] if path in GITHUB else found


def commands(path: Path) -> Iterator[tuple[str, str]]:
    """Each command that a file runs, with its job."""
    for name, job in jobs(path).items():
        lines = [step["run"] for step in job["steps"] if "run" in step] if path in GITHUB else job["script"]
        yield from ((name, line) for line in lines)


def test_there_is_a_night_and_a_gate_for_each_and_the_page_names_them() -> None:
    names = [f"{who}-{what}.yml" for who in ("github", "gitlab") for what in ("nightly", "release")]
    assert [path.name for path in FILES] == names
    assert [name for name in names if f"(ci/{name})" not in read("ci.md")] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_schema_of_who_runs_it_takes_it(path: Path, tmp_path: Path) -> None:
    """Offline: the schemas come with check-jsonschema."""
    schema = SCHEMAS[path.name.partition("-")[0]]
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema]
    done = subprocess.run([*check, str(path)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    broken = tmp_path / path.name
    broken.write_text(path.read_text("utf-8").replace("runs-on:", "runs_on:").replace("script:", "scripts:"))
    assert subprocess.run([*check, str(broken)], capture_output=True, timeout=120, check=False).returncode == 1


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_its_commands_can_be_typed(path: Path) -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    judged = []
    for _, line in commands(path):
        program, *words = shlex.split(line.removesuffix(" || test $? -le 2"))
        if program == "make":
            assert set(words) <= set(targets)
        elif program == ".venv/bin/nats-harness":
            command: click.Command = cli.main.commands[words[0]]
            command.make_context("nats-harness", words[1:])
            judged.append(words[0])
        else:
            assert program == "echo"
    assert judged[-1] == ("nightly" if "nightly" in path.name else "gate")


@pytest.mark.parametrize("path", GITHUB, ids=lambda path: path.name)
def test_on_github_reports_are_kept_also_of_a_red_run_and_little_is_allowed(path: Path) -> None:
    assert loaded(path)["permissions"] == {"contents": "read"}
    for job in jobs(path).values():
        assert job["timeout-minutes"] <= 120
    [upload] = [step for job in jobs(path).values() for step in job["steps"] if "upload" in step.get("uses", "")]
    assert upload["if"] == "${{ always() }}"
    assert upload["with"]["path"].split() == ["reports/", "!reports/latest"], "links are followed"
    for _, line in commands(path):
        assert "${{" not in line, "what others wrote is no part of a command"


@pytest.mark.parametrize("path", GITHUB, ids=lambda path: path.name)
def test_on_github_no_action_needs_a_node_that_the_runner_no_longer_has(path: Path) -> None:
    used = [step["uses"].split("@v") for job in jobs(path).values() for step in job["steps"] if "uses" in step]
    assert [(action, version) for action, version in used if int(version) < SINCE_NODE_24[action]] == []


@pytest.mark.parametrize("path", GITLAB, ids=lambda path: path.name)
def test_on_gitlab_reports_are_kept_also_of_a_red_run(path: Path, tmp_path: Path) -> None:
    [artifacts] = [job["artifacts"] for job in jobs(path).values() if "artifacts" in job]
    assert (artifacts["when"], artifacts["paths"]) == ("always", ["reports/"])
    named = {Path(pattern).name for pattern in artifacts["reports"].values()}
    assert named == {beside.JUNIT, beside.METRICS}
    reports = tmp_path / "reports"
    (reports / "20261125-151200-ab12").mkdir(parents=True)
    (reports / "latest").symlink_to("20261125-151200-ab12")
    for folder in (reports, reports / "20261125-151200-ab12"):
        for name in (beside.JUNIT, beside.METRICS):
            (folder / name).write_text("")
    for pattern in artifacts["reports"].values():
        assert len(list(tmp_path.glob(pattern))) == 1, "each file once, or GitLab counts its cases as told twice"


@pytest.mark.parametrize("path", [path for path in FILES if "release" in path.name], ids=lambda path: path.name)
def test_a_release_waits_for_the_gate(path: Path) -> None:
    first, last = jobs(path)
    needs = jobs(path)[last]["needs"]
    assert needs in (first, [first])
    judging = [name for name, line in commands(path) if "nats-harness run" in line]
    assert judging == [first]
    assert "allow_failure" not in path.read_text("utf-8")
    assert "continue-on-error" not in path.read_text("utf-8")


def test_the_page_names_the_files_and_the_limits() -> None:
    text = read("ci.md")
    for name in (beside.JUNIT, markdown.FILE, beside.METRICS):
        assert f"`{name}`" in text
        assert name in read("history.md")
