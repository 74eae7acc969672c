"""The commands that decide over stored runs, and show their course. They start nothing."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.errors import UsageError
from harness.options import REPORTS, json_option
from harness.shells import a_run

if TYPE_CHECKING:
    from harness.report.terminal import Look


@click.command()
@click.argument("run_names", metavar="[RUN]...", nargs=-1, shell_complete=a_run)
@click.option(
    "--policy", type=click.Path(path_type=Path), metavar="FILE", help="The policy, else gate.toml or pyproject.toml."
)
@json_option
def gate(run_names: tuple[str, ...], policy: Path | None, as_json: bool) -> int:
    """Decide by a policy whether runs are a GO.

    Exits 0 for a GO, 1 for a NO-GO, 2 where it cannot say, with a sentence for each reason. Several RUNs are
    repetitions, or runs of several systems; `night` is all of the last night. Without one, the latest.

    \b
      nats-harness gate
      nats-harness gate night --policy gate.toml
    """
    from harness.gate import baseline, lines, policy_file, runs
    from harness.gate.decide import decide

    chosen, where = policy_file.load(policy, Path.cwd())
    found, besides = runs.to_decide(REPORTS, run_names)
    decision = decide(chosen, found, baseline.read(REPORTS), today=datetime.now(UTC).date(), besides=besides)
    if as_json:
        click.echo(json.dumps(lines.as_json(decision, where), indent=1))
    else:
        _say(lines.of_decision(decision, where, _look()))
    return decision.answer.exit


@click.group()
def baseline() -> None:
    """Keep the runs that a gate compares with.

    They lie under reports/baseline/, which `nats-harness clean` leaves alone.

    \b
      nats-harness baseline accept latest --replace
    """


@baseline.command()
@click.argument("run_names", metavar="RUN...", nargs=-1, required=True, shell_complete=a_run)
@click.option("--replace", "replacing", is_flag=True, help="Remove the older ones of the same system and runtime.")
@click.option("--anyway", is_flag=True, help="Also a run that was not as expected.")
def accept(run_names: tuple[str, ...], replacing: bool, anyway: bool) -> int:
    """Keep judged RUNs in the baseline."""
    from harness.gate import baseline as kept

    click.echo("\n".join(kept.accept(REPORTS, run_names, replacing=replacing, anyway=anyway).lines()))
    return 0


@click.command()
@click.option("--last", type=click.IntRange(1), default=20, show_default=True, help="How many runs of each system.")
@click.option("--system", help="Only the system of this name.")
@click.option("--all", "every", is_flag=True, help="Every line of each table.")
@click.option("--rebuild", is_flag=True, help="Set the file aside and make it anew from the runs that are still there.")
@json_option
def trend(last: int, system: str | None, every: bool, rebuild: bool, as_json: bool) -> int:
    """Show margins, times and flakiness over the last runs.

    They are kept in reports/trend.sqlite, each run as it ends.

    \b
      nats-harness trend --last 10
      nats-harness trend --rebuild
    """
    from harness.gate import store
    from harness.gate import trend as course

    if rebuild and (aside := store.rebuild(REPORTS)) is not None:
        click.echo(f"set aside: {aside}", err=True)
    for unread in store.update(REPORTS):
        click.echo(f"left out: {unread}", err=True)
    rows = store.rows(REPORTS, last, system)
    if not rows:
        what = f"no judged run of {system}" if system else "no judged run"
        raise UsageError(what, where=str(REPORTS), fix="run nats-harness run first, or name another --system")
    found = course.courses(rows)
    if as_json:
        click.echo(json.dumps(course.as_json(found), indent=1))
    else:
        _say(course.lines(found, _look(), every=every))
    return 0


def _look() -> Look:
    from harness.report.terminal import Look

    return Look.of(sys.stdout, os.environ)


def _say(told: Iterable[str]) -> None:
    for line in told:
        click.echo(line)


COMMANDS = (gate, baseline, trend)
"""In the order of `nats-harness --help`."""
