"""An outage as data: what happened, when, to whom, as a post-mortem tells it. It is collected as a scenario.

A file NAME.outage.toml beside scenarios, or named by --scenarios, is the scenario NAME. Its first event is at 0 s; one
without `at` happens as soon as the one before it in the file is over.
"""

from __future__ import annotations

import asyncio
import difflib
import functools
import re
import tomllib
import types
from collections.abc import Awaitable, Callable, Sequence
from datetime import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from harness.errors import UnknownName, UsageError, suggestion
from harness.marks import needs
from harness.system._lines import Lines
from harness.system._mistakes import dotted

if TYPE_CHECKING:
    from harness.guarantees._base import Guarantee
    from harness.run import Run
    from harness.runtime.contract import Node
    from harness.system.model import SystemFile

SUFFIX = ".outage.toml"
DAY_S = 86_400
LONGEST_S = 3_600
ROLES = {"broker": "broker", "entry": "entry", "worker": "worker", "workers": "worker", "dependency": "dependency"}
"""What `on` may say beside a replica's name, and what a system must have for it."""

Seconds = Annotated[FiniteFloat, Field(ge=0, le=LONGEST_S, strict=True)]
OfDay = Annotated[time, Field(strict=True)]
Number = Annotated[float, Field(strict=True)]


class Event(BaseModel):
    """Something that went wrong: `what` is a fault, `on` a role, a replica or "SOURCE -> PROVIDER"; more keys are the
    fault's own. `at`: seconds after the first event, or a time of day. `repeat`: so often, `every_s` apart."""

    model_config = ConfigDict(extra="allow", frozen=True)
    what: str
    on: str = ""
    at: Seconds | OfDay | None = None
    for_s: Annotated[FiniteFloat, Field(gt=0, le=LONGEST_S, strict=True)]
    repeat: Annotated[int, Field(ge=1, le=100, strict=True)] = 1
    every_s: Seconds = 0

    @property
    def parameters(self) -> dict[str, Any]:
        """What is given to the fault beside its targets."""
        return dict(self.model_extra or {})

    @property
    def targets(self) -> list[str]:
        """The words of `on`, one a target."""
        return [word.strip() for word in self.on.split("->")] if self.on else []


class Outage(BaseModel):
    """A whole file. `rate` in operations a second (None: the system file's); all times are divided by `faster`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    says: Annotated[str, Field(min_length=1)]
    source: str = ""
    rate: Annotated[FiniteFloat, Field(gt=0, strict=True)] | None = None
    faster: Annotated[FiniteFloat, Field(ge=1, strict=True)] = 1
    lead_s: Seconds = 2
    expect: dict[str, dict[str, Number]] = {}
    events: Annotated[tuple[Event, ...], Field(min_length=1)]

    def start_s(self, event: Event) -> float | None:
        """When an event happens, in seconds after the first; None where it follows the one before."""
        if not isinstance(event.at, time):
            return event.at
        first = next(one.at for one in self.events if isinstance(one.at, time))
        return float((_of_day(event.at) - _of_day(first)) % DAY_S)

    def needs(self) -> list[str]:
        """What a system must have for it."""
        words = [word for event in self.events for word in event.targets]
        return ["broker", *dict.fromkeys(ROLES[word] for word in words if ROLES.get(word, "broker") != "broker")]


def _of_day(at: time) -> float:
    return at.hour * 3600 + at.minute * 60 + at.second + at.microsecond / 1e6


# ---- reading --------------------------------------------------------------------------------------------------------


def load(path: Path, system: SystemFile | None = None) -> Outage:
    """Reads a file, to be played on `system` if one is named. Raises UsageError with each mistake and its line."""
    try:
        text = path.read_text("utf-8")
        data = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(
            f"it cannot be read: {error}", where=str(path), fix="mend what it names: an outage is a text file in TOML"
        ) from error
    lines = Lines(text)
    try:
        outage = Outage.model_validate(data)
    except ValidationError as error:
        told = [_mistake(path, lines, found) for found in error.errors() if not _follows(found)]
        raise UsageError("\n".join(dict.fromkeys(told))) from error
    for number, event in enumerate(outage.events):
        where = f"{path}:{lines.of(('events', number))}"
        _check(event, where)
        _time(outage, event, where)
        if system is not None:
            _targets(event, system, where)
    for name, bounds in outage.expect.items():
        _promise(name, bounds, where=f"{path}:{lines.of(('expect', name))}")
    return outage


def _follows(found: Any) -> bool:
    """Whether it is told already: of events that are wrong, none is left."""
    return bool(found["type"] == "too_short" and found["loc"] == ("events",) and found["input"])


def _mistake(path: Path, lines: Lines, found: Any) -> str:
    """One of pydantic's errors as FILE:LINE: key: what is wrong; the fix."""
    place = tuple(part for part in found["loc"] if isinstance(part, int) or re.fullmatch(r"[a-z_]+", part))
    place = place[:-1] if place[-1:] == ("time",) else place
    what = f"{found['msg'][:1].lower()}{found['msg'][1:]}"
    if found["type"] == "extra_forbidden":
        what = f"unknown key; {suggestion(str(place[-1]), Outage.model_fields)}"
    elif found["type"] == "missing":
        near = difflib.get_close_matches(
            str(place[-1]), {*found["input"]} - {*Event.model_fields, *Outage.model_fields}
        )
        what = f"missing; add {place[-1]} = ...{f', which {near[0]} is not' if near else ''}"
    return f"{path}:{lines.of(place)}: {dotted(place)}: {what}"


def _check(event: Event, where: str) -> None:
    """Raises UsageError for a fault, a target or a parameter that there is not."""
    from harness.faults import bind, load_all

    registry = load_all()
    if event.what not in registry:
        raise UnknownName(event.what, registry, kind="fault", where=where)
    try:
        bind(event.what, registry[event.what], event.targets, event.parameters)
    except UnknownName as error:
        raise UsageError(error.what, where=where, fix=error.fix) from error
    except UsageError as error:
        fix = f'on = "broker" for a node, "entry -> broker" for a link; in Python {error.fix}'
        raise UsageError(error.what, where=where, fix=fix) from error


def _targets(event: Event, system: SystemFile, where: str) -> None:
    """Raises UsageError for a target that is neither a role nor a replica of the system."""
    replicas = [replica for service in system.services for replica in system.replicas(service)]
    known = {*ROLES, *system.nodes(), *replicas}
    for word in event.targets:
        if word not in known:
            raise UnknownName(word, known, kind=f"target in the system {system.system.name}", where=where)


def _time(outage: Outage, event: Event, where: str) -> None:
    """Raises UsageError for a time that does not go with that of the first event."""
    first = outage.events[0]
    if isinstance(first.at, float) and first.at > 0:
        what = f"the first event is at {first.at:g} s, and all count from it"
        raise UsageError(what, where=where, fix="write at = 0, and the others as much earlier")
    if event.at is not None and isinstance(event.at, time) != isinstance(first.at, time):
        fix = "all of the file in seconds after the first event, or all in times of day, that of the first event too"
        raise UsageError(f"at = {event.at} does not go with the first event's", where=where, fix=fix)
    start_s = outage.start_s(event)
    if start_s is not None and start_s > LONGEST_S:
        fix = "begin the file with the event that happened first; after an hour write another file"
        raise UsageError(f"it is {start_s:,g} s after the first event, not {LONGEST_S:,} or less", where=where, fix=fix)


def _promise(name: str, bounds: dict[str, float], *, where: str = "") -> Guarantee:
    from harness.guarantees._base import REGISTRY

    if name not in REGISTRY:
        raise UnknownName(name, REGISTRY, kind="guarantee", where=where)
    try:
        return REGISTRY[name](**bounds)
    except UsageError as error:
        raise UsageError(error.what, where=where or error.where, fix=error.fix) from error


# ---- playing --------------------------------------------------------------------------------------------------------


def scenario(path: Path, system: SystemFile) -> types.ModuleType:
    """A module with the one scenario that a file is, for a system."""
    outage = load(path, system)
    return module(path, outage.says, outage.needs(), functools.partial(play, outage))


def module(path: Path, says: str, what: Sequence[str], happens: Callable[[Run], Awaitable[None]]) -> types.ModuleType:
    """A module whose one scenario is called as the file, and needs `what` of a system."""
    made = types.ModuleType(path.name, says)
    name = re.sub(r"\W", "_", path.name.removesuffix(SUFFIX))

    async def test(run: Run) -> None:
        await happens(run)

    test.__doc__ = says
    test.__code__ = test.__code__.replace(co_filename=str(path), co_firstlineno=1)
    test.__module__ = made.__name__
    setattr(made, f"test_{name}", needs(*what)(test))
    return made


async def play(outage: Outage, run: Run) -> None:
    """Offers the work, lets happen what the file tells, and waits until the system has recovered."""
    async with run.load(times=times(outage.rate, run)):
        await run.steady(outage.lead_s)
        began, before = asyncio.get_running_loop().time(), asyncio.Event()
        before.set()
        try:
            async with asyncio.TaskGroup() as tasks:
                for event in outage.events:
                    over = asyncio.Event()
                    tasks.create_task(_happens(outage, event, run, began, before, over))
                    before = over
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        await run.recovered()
        await run.steady(2)
    run.expect(*(_promise(name, bounds) for name, bounds in outage.expect.items()))


async def _happens(
    outage: Outage, event: Event, run: Run, began: float, before: asyncio.Event, over: asyncio.Event
) -> None:
    start_s = outage.start_s(event)
    if start_s is None:
        await before.wait()
    else:
        await asyncio.sleep(began + start_s / outage.faster - asyncio.get_running_loop().time())
    targets = [target(run, word) for word in event.targets]
    for number in range(event.repeat):
        if number:
            await asyncio.sleep(event.every_s / outage.faster)
        async with getattr(run.faults, event.what)(*targets, **event.parameters):
            await run.steady(event.for_s / outage.faster)
    over.set()


def times(rate: float | None, run: Run) -> float:
    """How many times the usual rate so many operations a second are."""
    usual = [workload.rate for workload in run.setting.system.workloads.values() if workload.usual]
    return rate / sum(usual) if rate is not None else 1.0


def target(run: Run, word: str) -> Node | Sequence[Node] | None:
    """What a word of `on` names in a run. Raises UsageError where there is no such thing."""
    if word == "broker":
        return run.broker
    if word == "entry":
        return run.entry
    if word == "workers":
        return run.workers
    if word == "worker":
        return run.a_worker
    return run.dependency_of(run.a_worker) if word == "dependency" else run.node(word)
