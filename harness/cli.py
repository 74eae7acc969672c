"""The command `nats-harness`: thin, for all that it does is elsewhere.

Exit codes: 0 everything planned is as expected, 1 something is not, 2 something is inconclusive or was not judged,
64 wrong usage.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Never, ParamSpec

import click

from harness import deciding, incidents
from harness.errors import EXIT_USAGE, HarnessError, UsageError
from harness.history.shown import on_lines
from harness.options import REPORTS, json_option, system_option
from harness.output import lasting
from harness.runtime.choosing import PROCESSES, RUNTIMES
from harness.series import commands
from harness.shells import SHELLS, a_run, a_scenario, script
from harness.verdict import Verdict

DEMO = "broker_crash"
MOST = 20
"""How many times a replay tries by default."""
P = ParamSpec("P")


class _Command(click.Group):
    """Maps what is wrong usage to exit 64, and our own errors to a message. Lists commands as they are met."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order in which this file has them."""
        return list(self.commands)

    @lasting()
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


@click.group(cls=_Command, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="nats-harness")
def main() -> None:
    """Break a system built on NATS on purpose, and say with evidence which promises it kept.

    Begin with `init`, which writes a system file that runs as it stands; `run` judges it and writes a page.

    \b
      nats-harness run --system bare -k calm
      nats-harness run --system ours.toml
      nats-harness replay latest

    \b
    Exits:
      0    everything planned was judged, and is as expected
      1    a promise was broken, or a weakness that should show did not
      2    something is inconclusive, was not run, or nothing was judged
      64   wrong usage, found before anything runs
      130  interrupted
    """


def _chosen(function: Callable[P, int]) -> Callable[P, int]:
    """The options that choose what is judged, in the order of --help."""
    for option in reversed(
        (
            system_option,
            click.option("--states", help="States to judge, by comma. Without it, those that expect `holds`."),
            click.option("--all-states", is_flag=True, help="Every state of the system file."),
            click.option("--hardening", help="One state for this run, by its measures: all, none, a,b or all,-x."),
            click.option("-k", "keyword", help="Only scenarios that match, as pytest's -k."),
            click.option(
                "--runtime",
                type=click.Choice(RUNTIMES),
                default=PROCESSES,
                show_default=True,
                help="Where the system runs; auto: containers where an engine answers.",
            ),
            click.option("--scenarios", type=click.Path(path_type=Path), help="A folder, a file, or an outage file."),
        )
    ):
        function = option(function)
    return function


@main.command()
def demo() -> int:
    """See in half a minute what a run is, and read its page.

    Kills the reference stack's broker under load: as documented, where work is lost, and hardened, where none is.

    \b
      nats-harness demo
    """
    from harness import launching

    click.echo("The reference stack takes queries, and its broker is killed: once as documented, once hardened.")
    click.echo("The first loses work and must be seen to; the second must not. That takes about half a minute.\n")
    return launching.launch(launching.Asked("telhawk", states="all", keyword=DEMO), REPORTS)[1]


@main.command()
@click.option("--compose", type=click.Path(path_type=Path), metavar="FILE", help="Make the system file from this one.")
@click.option("--force", is_flag=True, help="Write over files that are there.")
@json_option
def init(compose: Path | None, force: bool, as_json: bool) -> int:
    """Write a system file and a scenario to begin with.

    Both are commented and run as they stand. From a compose file, services, ports and addresses are taken over, and
    what it does not say is marked TODO. Nothing that is there is written over without --force.

    \b
      nats-harness init
      nats-harness init --compose docker-compose.yml
    """
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
    """Judge a system: start it, break it, write reports/RUN.

    Offers work, injects faults scenario by scenario, and judges each promise from what observers saw. The page is
    reports/RUN/index.html; beside it are verdict.json, junit.xml, summary.md and metrics.txt. reports/latest points at
    the newest run.

    \b
      nats-harness run --system bare
      nats-harness run --system ours.toml -k "calm or broker"
      nats-harness run --all-states -j 1 --seed 7
    """
    from harness import launching

    asked = launching.Asked(system, _states(states, all_states), hardening, keyword, runtime, scenarios, jobs, seed)
    with contextlib.redirect_stdout(sys.stderr if as_json else sys.stdout):
        folder, code = launching.launch(asked, REPORTS, quiet=as_json)
    launching.tell([folder] if folder else [], quiet=as_json)
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
    """List what would be judged, and what skipped and why.

    Starts nothing. A scenario that must show a known weakness says which, and by which clause.

    \b
      nats-harness list --system ours.toml
      nats-harness list --all-states --json
    """
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
@click.argument("run_name", metavar="[RUN]", default="latest", shell_complete=a_run)
@json_option
def judge(run_name: str, as_json: bool) -> int:
    """Judge a stored run again, from its history.

    RUN is a name under reports/, a path, or latest. Nothing is started. Verdicts, page and the files beside it are
    written anew: the same, unless a bound or a guarantee has changed.

    \b
      nats-harness judge
      nats-harness judge latest --json
    """
    from harness import launching

    verdict = launching.judge_again(REPORTS, run_name, quiet=as_json)
    if as_json:
        click.echo(json.dumps(verdict, indent=1))
    return int(verdict["exit"])


@main.command()
@click.argument("run_names", metavar="[RUN]...", nargs=-1, shell_complete=a_run)
@system_option
@click.option("--into", type=click.Path(path_type=Path), metavar="FILE", help="Write it into this page, where it says.")
def weaknesses(run_names: tuple[str, ...], system: str, into: Path | None) -> int:
    """Print the weaknesses of a system as a table.

    Where each must show, and what came of it in the latest run. Of several RUNs the last one that judged a scenario
    counts.

    \b
      nats-harness weaknesses
      nats-harness weaknesses latest --into scenarios/README.md
    """
    from harness import launching

    lines = launching.weaknesses(REPORTS, run_names, system, into)
    if into is None:
        click.echo("\n".join(lines))
    return 0


@main.command()
@click.argument("run_name", metavar="[RUN]", default="latest", shell_complete=a_run)
@click.option("--into", type=click.Path(path_type=Path), metavar="FILE", help="Where it is written; else beside RUN.")
def bundle(run_name: str, into: Path | None) -> int:
    """Pack a run into one file that travels.

    Page, verdict, history, logs, system file, scenarios and checksums. Prints what identifies it, for whoever opens it
    to compare.

    \b
      nats-harness bundle latest
    """
    from harness import bundle as packing
    from harness import plan

    made = packing.make(plan.find_run(REPORTS, run_name), into)
    click.echo(f"{made.path}: {made.path.stat().st_size / 1e6:.1f} MB, {made.digest}")
    return 0


@main.command(name="open")
@click.argument("path", metavar="BUNDLE", type=click.Path(path_type=Path))
def open_(path: Path) -> int:
    """Unpack a bundle into reports/.

    Once all of it is as it was when it was made. Runs nothing that is in it.

    \b
      nats-harness open latest.bundle.zip
    """
    from harness import bundle as packing

    there = packing.open_(path, REPORTS)
    click.echo(f"{there.path / 'index.html'}: {there.digest}")
    return 0


@main.command()
@click.argument("run_name", metavar="RUN", shell_complete=a_run)
@click.argument("scenario", required=False, shell_complete=a_scenario)
@click.option("--seed", type=click.IntRange(0), help="Another seed than the run's.")
@click.option("--system", default="", help="The system file, for a run that was made elsewhere.")
@click.option(
    "--until", type=click.Choice([str(one) for one in Verdict]), help="Again and again, until its verdict is this one."
)
@click.option("--max", "most", type=click.IntRange(1), help=f"So many times at most; with --until {MOST} by default.")
@click.option("--step", is_flag=True, help="Stop before each fault, tell where everything is, and wait for Enter.")
@click.option("--keep", is_flag=True, help="The same before the system is taken down.")
def replay(run_name: str, scenario: str | None, seed: int | None, system: str, until: str | None, most: int | None,
           step: bool, keep: bool) -> int:  # fmt: skip
    """Run scenarios of a run again, as they were.

    The same state, runtime and seed; versions and keys of the system file that differ from then are told. RUN may be a
    bundle; then the scenarios that are in it are run, so have it from somebody you trust. SCENARIO is an id such as
    'broker_crash[hardened]'; without it, everything that was not as expected.

    \b
      nats-harness replay latest
      nats-harness replay latest 'broker_crash[hardened]' --seed 7
      nats-harness replay latest 'broker_crash[hardened]' --until violated
    """
    from harness.series import replay as again

    most = most or (MOST if until else 1)
    hold = ",".join(word for word, chosen in (("faults", step), ("end", keep)) if chosen)
    return again.replay(REPORTS, run_name, scenario, seed, system=system, hold=hold, until=until or "", most=most)


@main.command()
@click.option("--build", is_flag=True, help="Fetch or build what can be: binaries, and images where an engine answers.")
@json_option
def doctor(build: bool, as_json: bool) -> int:
    """Say what this machine has and lacks, and what to do.

    Exits 2 where something is missing that a run needs.

    \b
      nats-harness doctor
      nats-harness doctor --build
    """
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
    """End what dead runs left behind.

    That is processes, containers, networks, locks and folders. What a living run owns stays, and so does what cannot
    be proved to be ours.

    \b
      nats-harness clean
      nats-harness clean --runs --keep 5
    """
    from harness import checkup

    done, left = checkup.clean(REPORTS, runs=runs, keep=keep, built=images)
    if as_json:
        click.echo(json.dumps({**done, "left": left}, indent=1))
    else:
        click.echo("\n".join([*(f"{count} {what}" for what, count in done.items()), *(f"left: {one}" for one in left)]))
    return 2 if left else 0


for one in (*commands.COMMANDS, *incidents.COMMANDS, *deciding.COMMANDS):
    main.add_command(one)


@main.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> int:
    """Print the completion of commands for a shell.

    Commands, options, systems, runs and scenarios are completed. Put the line of your shell into its start-up file:

    \b
      bash  eval "$(nats-harness completion bash)"
      zsh   eval "$(nats-harness completion zsh)"
      fish  nats-harness completion fish | source
    """
    click.echo(script(main, shell))
    return 0
