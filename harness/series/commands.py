"""The commands that judge several runs in a row."""

from __future__ import annotations

from pathlib import Path

import click

from harness.options import REPORTS, jobs_option, system_option
from harness.runtime.choosing import PROCESSES, RUNTIMES


@click.command()
@jobs_option
def nightly(jobs: int | None) -> int:
    """Judge everything that a night judges.

    telhawk in all its states, a broker alone, and the example. Writes reports/nightly.json, and over all of its runs
    junit.xml, summary.md, metrics.txt and weaknesses.md beside it. The exit is the worst of the runs', and at least 2
    where a fault never had evidence or a clause was judged on nothing.

    \b
      nats-harness nightly
    """
    from harness.series import nightly as night

    return night.nightly(REPORTS, jobs)


@click.command()
@click.argument("count", type=click.IntRange(1), default=10)
@system_option
@click.option(
    "--runtime", "runtimes", type=click.Choice(RUNTIMES), multiple=True, default=(PROCESSES,),
    help="Where the system runs; given twice, COUNT rounds in each.",
)  # fmt: skip
@jobs_option
def rounds(count: int, system: str, runtimes: tuple[str, ...], jobs: int | None) -> int:
    """Judge a system COUNT times, and count.

    Writes reports/rounds.json: how often each clause held, and its smallest margin. COUNT is 10
    where it is not given. Run it before a bound is set.

    \b
      nats-harness rounds 10
      nats-harness rounds 5 --runtime processes --runtime containers
    """
    from harness import launching
    from harness.series import rounds as again

    return again.rounds(REPORTS, count, launching.Asked(system, jobs=jobs), runtimes)


@click.command()
@system_option
@click.option("--scenarios", type=click.Path(path_type=Path), help="A folder or file of scenarios.")
@click.option("--runtime", type=click.Choice(RUNTIMES), default=PROCESSES, help="Where the system runs.")
@click.option("--measure", "measures", multiple=True, help="Only this one; may be given again.")
@click.option("--full", is_flag=True, help="Every scenario, not only calm, a crash, and those that a measure is for.")
@click.option("--fresh", is_flag=True, help="Start anew, instead of going on with what an interrupted one left.")
@jobs_option
def ablate(system: str, scenarios: Path | None, runtime: str, measures: tuple[str, ...], full: bool, fresh: bool,
           jobs: int | None) -> int:  # fmt: skip
    """Take each measure out, and put each in alone.

    Says what breaks without it, what it repairs alone, and what it costs in calm. Writes reports/ablation.json.
    Interrupted, it goes on where it was.

    \b
      nats-harness ablate
      nats-harness ablate --measure outbox --full
    """
    from harness import launching
    from harness.series import ablation

    asked = launching.Asked(system, runtime=runtime, scenarios=scenarios, jobs=jobs)
    return ablation.ablate(REPORTS, asked, measures=measures, full=full, fresh=fresh)


COMMANDS = (nightly, rounds, ablate)
"""In the order of `nats-harness --help`."""
