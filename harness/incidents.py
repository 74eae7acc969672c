"""The commands about outages."""

from __future__ import annotations

import random
import shlex
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.history.shown import escaped
from harness.options import REPORTS, system_option
from harness.report.text import count
from harness.runtime.choosing import PROCESSES, RUNTIMES

if TYPE_CHECKING:
    from harness.launching import Asked


@click.group()
def outage() -> None:
    """Bring an outage home as a file that runs.

    `run --scenarios FILE` plays one.

    \b
      nats-harness outage record mine.outage.toml
    """


@outage.command()
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
@system_option
@click.option("--state", help="The state it is recorded in, where several expect `holds`.")
@click.option("--hardening", help="A state of its own, by its measures: all, none, a,b or all,-x.")
@click.option("--runtime", type=click.Choice(RUNTIMES), default=PROCESSES, help="Where the system runs.")
@click.option("--seed", type=click.IntRange(0), help="Seed of what is drawn by chance, such as the worker.")
@click.option("--rate", help="Operations a second; else as the system file has it.")
def record(path: Path, system: str, state: str | None, hardening: str | None, runtime: str, seed: int | None,
           rate: str | None) -> int:  # fmt: skip
    """Write an outage FILE from faults injected by hand.

    Starts the system under its usual load and asks on the terminal for faults, in the words of an outage file. Each
    begins at once and lasts until `over`; `help` lists them all, `end` or Ctrl-D ends. Then everything is judged as in
    any outage, and the file plays the same. FILE is called NAME.outage.toml.

    \b
      nats-harness outage record mine.outage.toml
      nats-harness outage record mine.outage.toml --system bare --rate 30
    """
    from harness import launching, recording

    seed = random.SystemRandom().randrange(2**31) if seed is None else seed
    asked = launching.Asked(
        system, state, hardening, runtime=runtime, scenarios=path, seed=seed, record=str(path), rate=rate or ""
    )
    recording.reserve(path)
    code = launching.INTERRUPTED
    try:
        with suppress(KeyboardInterrupt):
            folder, code = launching.launch(asked, REPORTS)
            launching.tell([folder] if folder else [])
    finally:
        events = recording.release(path)
    for line in _told(asked, path, events, " so far" if code == launching.INTERRUPTED else ""):
        click.echo(escaped(line))
    return code


def _told(asked: Asked, path: Path, events: int, so_far: str) -> list[str]:
    """What was written, and how it is played."""
    if not events:
        return [f"no fault was injected, so {path} is not written"]
    chosen = [("--system", asked.system), ("--states", asked.states), ("--hardening", asked.hardening)]
    chosen += [("--runtime", asked.runtime if asked.runtime != PROCESSES else None), ("--seed", str(asked.seed))]
    words = [word for name, value in chosen if value is not None for word in (name, value)]
    command = shlex.join(["nats-harness", "run", *words, "--scenarios", str(path)])
    return [f"{path}: {count(events, 'event')} recorded{so_far}. To play it:", f"  {command}"]


COMMANDS = (outage,)
"""In the order of `nats-harness --help`."""
