"""An outage recorded by hand: the system is kept under its usual load, faults are typed, a file tells what happened.

The file is made empty before anything is started, and removed again where nothing was recorded.
"""

from __future__ import annotations

import functools
import math
import os
import types
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from harness import outage, whole
from harness.errors import UsageError
from harness.system.model import State

if TYPE_CHECKING:
    from harness.recording.prompt import Terminal
    from harness.recording.written import Injected
    from harness.run import Run

LEAD_S = 2
"""As long as work is offered before the first event of an outage."""
SAYS = "What was done by hand, recorded as an outage."


@dataclass(frozen=True)
class Asked:
    """The file to write, and the rate of work: operations a second, None as the system file has it."""

    path: Path
    rate: float | None


def asked(path: str, rate: str, states: Mapping[str, State]) -> Asked | None:
    """What is to be recorded; None where nothing is. Raises UsageError where that cannot be done."""
    if not path:
        if rate:
            raise UsageError("a rate is given, and nothing to record", where="--nats-rate", fix="name --nats-record")
        return None
    from harness.run import holding

    name = Path(path).name
    if not name.removesuffix(outage.SUFFIX) or not name.endswith(outage.SUFFIX):
        raise UsageError(f"an outage file is called NAME{outage.SUFFIX}", where=path, fix="name it so")
    if not Path(path).is_file() or Path(path).stat().st_size:
        fix = "nats-harness outage record, which makes it, or make it yourself"
        raise UsageError("what is recorded goes into a file that is there, and empty", where=path, fix=fix)
    if len(states) != 1:
        raise UsageError(f"an outage is recorded in one state, not in {', '.join(states)}", fix="--state with one")
    for name, state in states.items():
        if state.expect == "exposed":
            what = f"state {name} is there to show its weaknesses, and outages are not played in it"
            raise UsageError(what, fix=f"--hardening {state.hardening or 'none'}, which makes a state of its own")
    try:
        os.close(holding.opened())
    except OSError as error:
        raise UsageError("there is no terminal to type at", where=path, fix="run it in a terminal") from error
    return Asked(Path(path), _rate(rate) if rate else None)


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 < rate < math.inf:
        raise UsageError(f"the rate is {text!r}", where="--rate", fix="operations a second, above 0")
    return rate


def reserve(path: Path) -> None:
    """Makes the file, empty. Raises UsageError where it is there already, or cannot be made."""
    try:
        path.open("x").close()
    except FileExistsError as error:
        raise UsageError("there is such a file already", where=str(path), fix="name another, or remove it") from error
    except OSError as error:
        fix = "name a file in a folder that is there, and that you may write to"
        raise UsageError(f"it cannot be written: {error.strerror}", where=str(path), fix=fix) from error


def release(path: Path) -> int:
    """How many events were recorded; removes the file where there was none."""
    try:
        return len(outage.load(path).events)
    except UsageError:
        if path.exists() and not path.stat().st_size:
            path.unlink()
        return 0


def scenario(asked: Asked) -> types.ModuleType:
    """A module with the one scenario in which somebody types faults."""
    return outage.module(asked.path, SAYS, ["broker"], functools.partial(record, asked))


async def record(asked: Asked, run: Run) -> None:
    """Offers the work, injects what is typed, and waits until the system has recovered.

    The file is written each time that a fault is over, so that it is there whatever ends this.
    """
    from harness.recording.prompt import Prompt, terminal

    with terminal() as shown:
        async with run.load(times=outage.times(asked.rate, run)):
            await run.steady(LEAD_S)
            system = run.setting.system.system.name
            await Prompt(run, shown, lambda injected: write(asked, injected, system, shown)).talk()
            await run.recovered()
            await run.steady(2)


def write(asked: Asked, injected: list[Injected], system: str, shown: Terminal) -> None:
    """Writes what took effect, if anything did; onto the terminal where the file cannot be written."""
    from harness.recording import written

    told = written.outage(injected, f"Recorded on {datetime.now(UTC).date()} by hand with {system}.", asked.rate)
    if told is None:
        return
    text = written.text(told)
    try:
        whole.write_text(asked.path, text)
    except OSError as error:
        shown.say(f"{asked.path} cannot be written: {error}. This was recorded:", *text.splitlines())
