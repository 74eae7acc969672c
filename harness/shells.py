"""Completion for shells: click's own scripts, and what is completed where only this project knows the words."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import click
from click.shell_completion import CompletionItem, get_completion_class

REPORTS = Path("reports")
SHELLS = ("bash", "zsh", "fish")
PROGRAM = "nats-harness"
VARIABLE = "_NATS_HARNESS_COMPLETE"
"""What click looks for in the environment of a program of that name."""


def script(command: click.Command, shell: str) -> str:
    """The lines that make `shell`, one of SHELLS, ask `command` for completions."""
    made = get_completion_class(shell)
    assert made is not None
    return made(command, {}, PROGRAM, VARIABLE).source()


def a_system(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The ready-made systems, and files."""
    from harness.system.loader import ready_systems

    return [*_those(ready_systems(), incomplete), CompletionItem(incomplete, type="file")]


def a_run(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The runs under reports/, the newest first."""
    names = [path.parent.name for path in REPORTS.glob("*/plan.json")]
    return _those(sorted(names, key=lambda name: (name == "latest", name), reverse=True), incomplete)


def a_scenario(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The scenarios that the run on the command line had planned; none where there is no such run."""
    run = Path(context.params.get("run_name") or "latest")
    for folder in (run, REPORTS / run):
        try:
            planned = json.loads((folder / "plan.json").read_text("utf-8"))["planned"]
            return _those([str(entry["id"]) for entry in planned], incomplete)
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return []


def _those(words: Iterable[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(word) for word in words if word.startswith(incomplete)]
