"""The command `nats-harness`: thin, for all that it does is elsewhere.

Exit codes: 0 everything planned is as expected, 1 something is not, 2 something is inconclusive or was not judged,
64 wrong usage.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Never, ParamSpec

import click

from harness.errors import EXIT_USAGE, HarnessError, UsageError
from harness.history.shown import on_lines
from harness.runtime.choosing import PROCESSES, RUNTIMES

REPORTS = Path("reports")
P = ParamSpec("P")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")


class _Command(click.Group):
    """Maps what is wrong usage to exit 64, and our own errors to a message."""

    def main(self, *args: Any, **kwargs: Any) -> Never:
        """Runs the command and exits."""
        kwargs["standalone_mode"] = False
        try:
            code = super().main(*args, **kwargs)
        except click.UsageError as error:
            error.show()
            sys.exit(EXIT_USAGE)
        except click.exceptions.Exit as error:
            sys.exit(error.exit_code)
        except (click.Abort, KeyboardInterrupt):
            click.echo("interrupted", err=True)
            sys.exit(130)
        except UsageError as error:
            _say(error)
            sys.exit(EXIT_USAGE)
        except HarnessError as error:
            _say(error)
            sys.exit(2)
        sys.exit(code if isinstance(code, int) else 0)


def _say(error: HarnessError) -> None:
    click.echo(f"error: {on_lines(error)}", err=True)


@click.group(cls=_Command, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="nats-harness")
def main() -> None:
    """Break a system built on NATS on purpose, and say with evidence which promises it kept."""


def _chosen(function: Callable[P, int]) -> Callable[P, int]:
    """The options that choose what is judged, in the order of --help."""
    for option in reversed(
        (
            click.option("--system", default="telhawk", show_default=True, help="Ready-made system, or a system file."),
            click.option("--states", help="States to judge, by comma. Without it, those that expect `holds`."),
            click.option("--all-states", is_flag=True, help="Every state of the system file."),
            click.option("--hardening", help="One state for this run: all, none, a,b or all,-x."),
            click.option("-k", "keyword", help="Only scenarios that match, as pytest's -k."),
            click.option("--runtime", type=click.Choice(RUNTIMES), default=PROCESSES, help="Where the system runs."),
            click.option("--scenarios", type=click.Path(path_type=Path), help="A folder or file of scenarios."),
        )
    ):
        function = option(function)
    return function


@main.command()
@click.option("--compose", type=click.Path(path_type=Path), metavar="FILE", help="Make the system file from this one.")
@click.option("--force", is_flag=True, help="Write over files that are there.")
@json_option
def init(compose: Path | None, force: bool, as_json: bool) -> int:
    """Write a commented system file and a scenario into this folder; both run as they stand."""
    from harness.starting import init as starting

    begun = starting.begin(Path.cwd(), compose, force=force)
    if as_json:
        click.echo(json.dumps(vars(begun), indent=1, default=str))
    else:
        click.echo("\n".join(begun.lines()))
    return 0


@main.command()
@_chosen
@click.option(
    "-j",
    "jobs",
    type=click.IntRange(1),
    default=None,
    help="Scenarios side by side [default: one for each core, in containers for each two].",
)
@click.option("--seed", type=click.IntRange(0), help="Seed of what is drawn by chance.")
@json_option
def run(system: str, states: str | None, all_states: bool, hardening: str | None, keyword: str | None, runtime: str,
        scenarios: Path | None, jobs: int | None, seed: int | None, as_json: bool) -> int:  # fmt: skip
    """Judge a system: start it, break it, and write reports/RUN."""
    from harness import launching

    asked = launching.Asked(system, _states(states, all_states), hardening, keyword, runtime, scenarios, jobs, seed)
    folder, code = launching.launch(asked, REPORTS, quiet=as_json)
    if as_json and folder is not None:
        click.echo((folder / "verdict.json").read_text("utf-8"))
    return code


def _states(states: str | None, all_states: bool) -> str | None:
    if states and all_states:
        raise UsageError("--states and --all-states are two answers to one question", fix="leave out one")
    return "all" if all_states else states


@main.command(name="list")
@_chosen
@json_option
def list_(system: str, states: str | None, all_states: bool, hardening: str | None, keyword: str | None, runtime: str,
          scenarios: Path | None, as_json: bool) -> int:  # fmt: skip
    """List what would be judged, what would be skipped, and why. Starts nothing."""
    from harness import launching

    asked = launching.Asked(system, _states(states, all_states), hardening, keyword, runtime, scenarios, 1, None)
    plan = launching.planned(asked)
    if as_json:
        click.echo(json.dumps(plan, indent=1))
        return 0
    for entry in plan["planned"]:
        shows = ", ".join(f"{weakness} as {clause}" for weakness, clause in entry["exposes"].items())
        click.echo(f"{entry['id']:36} {entry['expect']}{f': must show {shows}' if shows else ''}")
    for entry in plan["skipped"]:
        click.echo(f"{entry['id']:36} skipped: {entry['reason']}")
    return 0


@main.command()
@click.argument("run_name", metavar="[RUN]", default="latest")
@json_option
def judge(run_name: str, as_json: bool) -> int:
    """Judge a stored run again from its history: by name, by path, or the latest."""
    from harness import launching

    verdict = launching.judge_again(REPORTS, run_name, quiet=as_json)
    if as_json:
        click.echo(json.dumps(verdict, indent=1))
    return int(verdict["exit"])


@main.command()
@click.argument("run_names", metavar="[RUN]...", nargs=-1)
@click.option("--system", default="telhawk", show_default=True, help="Ready-made system, or a system file.")
@click.option("--into", type=click.Path(path_type=Path), metavar="FILE", help="Write it into this page, where it says.")
def weaknesses(run_names: tuple[str, ...], system: str, into: Path | None) -> int:
    """Print the weaknesses of a system as a table: where each must show, and what came of it in the latest run.

    Of several RUNs the last one that judged a scenario counts.
    """
    from harness import launching

    lines = launching.weaknesses(REPORTS, run_names, system, into)
    if into is None:
        click.echo("\n".join(lines))
    return 0


@main.command()
@click.argument("run_name", metavar="RUN")
@click.argument("scenario", required=False)
@click.option("--seed", type=click.IntRange(0), help="Another seed than the run's.")
def replay(run_name: str, scenario: str | None, seed: int | None) -> int:
    """Run a scenario of a run again: the same state, runtime, seed and versions.

    SCENARIO is an id such as 'broker_crash[hardened]'; without it, everything that was not as expected.
    """
    from harness import launching

    return launching.replay(REPORTS, run_name, scenario, seed)


@main.command()
@click.option("--build", is_flag=True, help="Fetch or build what can be: binaries, and images where an engine answers.")
@json_option
def doctor(build: bool, as_json: bool) -> int:
    """Say what this machine has, what is missing, and what to do."""
    from harness import checkup

    found = checkup.examine(build=build, say=lambda text: click.echo(text, err=True))
    if as_json:
        click.echo(json.dumps([vars(item) for item in found], indent=1))
    else:
        for item in found:
            click.echo(f"{'ok     ' if item.ok else 'MISSING' if item.needed else 'absent '} {item.name}: {item.found}")
            if not item.ok and item.fix:
                click.echo(f"        {item.fix}")
    return 0 if all(item.ok or not item.needed for item in found) else 2


@main.command()
@click.option("--runs", is_flag=True, help="Also the runs under reports/ (the baseline stays).")
@click.option("--keep", type=click.IntRange(0), default=0, show_default=True, help="How many of the newest runs stay.")
@click.option("--images", is_flag=True, help="Also the container images that were built here and that nobody uses.")
@json_option
def clean(runs: bool, keep: int, images: bool, as_json: bool) -> int:
    """End what dead runs left behind: processes, containers, locks, folders. What a living run owns stays."""
    from harness import checkup

    done, left = checkup.clean(REPORTS, runs=runs, keep=keep, built=images)
    if as_json:
        click.echo(json.dumps({**done, "left": left}, indent=1))
    else:
        click.echo("\n".join([*(f"{count} {what}" for what, count in done.items()), *(f"left: {one}" for one in left)]))
    return 2 if left else 0


jobs_option = click.option("-j", "jobs", type=click.IntRange(1), default=None, help="Scenarios side by side.")


@main.command()
@jobs_option
def nightly(jobs: int | None) -> int:
    """The night's runs: telhawk as documented and hardened, bare, and the example; writes reports/nightly.json."""
    from harness.series import nightly as night

    return night.nightly(REPORTS, jobs)


@main.command()
@click.argument("count", type=click.IntRange(1), default=10)
@click.option("--system", default="telhawk", show_default=True)
@click.option(
    "--runtime", "runtimes", type=click.Choice(RUNTIMES), multiple=True, default=(PROCESSES,),
    help="Where the system runs; given twice, COUNT rounds in each.",
)  # fmt: skip
@jobs_option
def rounds(count: int, system: str, runtimes: tuple[str, ...], jobs: int | None) -> int:
    """Judge a system COUNT times and write reports/rounds.json: k of n a clause, and the smallest margin."""
    from harness import launching
    from harness.series import rounds as again

    return again.rounds(REPORTS, count, launching.Asked(system, jobs=jobs), runtimes)


@main.command()
@click.option("--system", default="telhawk", show_default=True, help="Ready-made system, or a system file.")
@click.option("--scenarios", type=click.Path(path_type=Path), help="A folder or file of scenarios.")
@click.option("--runtime", type=click.Choice(RUNTIMES), default=PROCESSES, help="Where the system runs.")
@click.option("--measure", "measures", multiple=True, help="Only this one; may be given again.")
@click.option("--full", is_flag=True, help="Every scenario, not only calm, a crash, and those that a measure is for.")
@click.option("--fresh", is_flag=True, help="Start anew, instead of going on with what an interrupted one left.")
@jobs_option
def ablate(system: str, scenarios: Path | None, runtime: str, measures: tuple[str, ...], full: bool, fresh: bool,
           jobs: int | None) -> int:  # fmt: skip
    """Take each measure out, and put each in alone: what breaks without it, what it repairs, what it costs.

    Writes reports/ablation.json. Interrupted, it goes on where it was.
    """
    from harness import launching
    from harness.series import ablation

    asked = launching.Asked(system, runtime=runtime, scenarios=scenarios, jobs=jobs)
    return ablation.ablate(REPORTS, asked, measures=measures, full=full, fresh=fresh)


@main.command()
@click.argument("run_names", metavar="[RUN]...", nargs=-1)
@click.option(
    "--policy", type=click.Path(path_type=Path), metavar="FILE", help="The policy, else gate.toml or pyproject.toml."
)
@json_option
def gate(run_names: tuple[str, ...], policy: Path | None, as_json: bool) -> int:
    """Decide by the policy whether RUNs are a GO (0), a NO-GO (1), or cannot say (2), and explain it.

    Several RUNs are repetitions, or runs of several systems; `night` is all of the last night. Without one, the latest.
    """
    from harness import deciding

    return deciding.gate(REPORTS, run_names, policy, as_json=as_json)


@main.group()
def baseline() -> None:
    """The runs that a gate compares with, kept under reports/baseline/."""


@baseline.command()
@click.argument("run_names", metavar="RUN...", nargs=-1, required=True)
@click.option("--replace", "replacing", is_flag=True, help="Remove the older ones of the same system and runtime.")
@click.option("--anyway", is_flag=True, help="Also a run that was not as expected.")
def accept(run_names: tuple[str, ...], replacing: bool, anyway: bool) -> int:
    """Keep judged RUNs in the baseline."""
    from harness.gate import baseline as kept

    click.echo("\n".join(kept.accept(REPORTS, run_names, replacing=replacing, anyway=anyway).lines()))
    return 0


@main.command()
@click.option("--last", type=click.IntRange(1), default=20, show_default=True, help="How many runs of each system.")
@click.option("--system", help="Only the system of this name.")
@click.option("--all", "every", is_flag=True, help="Every line of each table.")
@click.option("--rebuild", is_flag=True, help="Set the file aside and make it anew from the runs that are still there.")
@json_option
def trend(last: int, system: str | None, every: bool, rebuild: bool, as_json: bool) -> int:
    """Show margins, times and flakiness over the last runs, from reports/trend.sqlite."""
    from harness import deciding

    return deciding.trend(REPORTS, last, system, every=every, rebuild=rebuild, as_json=as_json)
