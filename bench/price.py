"""What telhawk pays for its safety: hardened beside documented, in calm, taking turns.

python -m bench.price [rounds]        the figures as JSON
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from typing import NamedTuple

from bench.figures import Bound, Figure, middle
from bench.scenario import drive, setting
from harness.history.reader import History
from harness.history.rows import OpId, Outcome, Step
from harness.run import Run

STACKS = {"documented": "none", "hardened": "all"}
RATE = 30.0
"""Queries a second in telhawk's system file, at times 1."""
CALM_S, STEP_S = 20.0, 5.0
TAKEN = 0.99
"""A rate is taken where so much of what was offered is accepted, and its result is there within DONE_S."""
DONE_S = 2.0
GROWTH, FINEST = 1.5, 1.1
"""A rate is raised by so much until it is not taken, then halved in (geometrically) until steps are that fine."""


class Calm(NamedTuple):
    """Of the work offered in a steady window: milliseconds until accepted and until its result, and how much of it."""

    accepted_ms: list[float]
    done_ms: list[float]
    offered: int

    @property
    def taken(self) -> bool:
        """Whether the system kept up."""
        enough = TAKEN * self.offered
        return len(self.accepted_ms) >= enough and sum(took <= DONE_S * 1e3 for took in self.done_ms) >= enough


def figures(*, rounds: int) -> list[Figure]:
    """Medians of so many rounds at the file's rate; the highest rates once, one stack's step after the other's."""
    found: dict[str, list[Calm]] = {stack: [] for stack in STACKS}
    with TemporaryDirectory() as temporary:
        folders = (Path(temporary) / str(number) for number in count())
        for _ in range(rounds):
            for stack, calms in found.items():
                calms.append(_calm(next(folders), stack, times=1.0, seconds=CALM_S))
        highest = {stack: _Highest() for stack in STACKS}
        while not all(search.over for search in highest.values()):
            for stack, search in highest.items():
                if not search.over:
                    search.tell(_calm(next(folders), stack, times=search.next, seconds=STEP_S).taken)
    accepted = {stack: middle([_p99(calm.accepted_ms) for calm in calms]) for stack, calms in found.items()}
    done = {stack: middle([_p99(calm.done_ms) for calm in calms]) for stack, calms in found.items()}
    rates = {stack: RATE * search.taken for stack, search in highest.items()}
    return [
        _ratio("p99 until accepted", accepted, "at most", 3.0),
        *_each("until accepted, p99", accepted, "ms"),
        _ratio("p99 until the result", done, "at most", 3.0),
        *_each("until the result, p99", done, "ms"),
        _ratio("highest rate", rates, "at least", 0.5),
        *_each("highest rate", rates, "1/s"),
    ]


class _Highest:
    """Searches the highest times of RATE that are taken."""

    def __init__(self) -> None:
        self.taken, self._refused = 0.0, 0.0
        self.next = 1.0

    @property
    def over(self) -> bool:
        return self._refused > 0 and self._refused <= FINEST * max(self.taken, 1.0)

    def tell(self, taken: bool) -> None:
        if taken:
            self.taken = self.next
        else:
            self._refused = self.next
        self.next = (self.taken * self._refused) ** 0.5 if self._refused else self.next * GROWTH


def _calm(folder: Path, stack: str, *, times: float, seconds: float) -> Calm:
    async def scenario(run: Run) -> None:
        async with run.load(times=times):
            await run.steady(seconds)

    drive(setting("telhawk", folder, hardening=STACKS[stack], name="calm"), scenario)
    history = History.open(folder / "calm" / "history")
    steady = next(line for line in history.lines("phase") if line["name"] == "steady")
    offered = {
        one.id: one for one in history.operations() if steady["from_ns"] <= one.intended_ns <= steady["t_ns"] - 10**9
    }
    answers = {one.id: one.end_ns for one in offered.values() if one.outcome is Outcome.OK and one.end_ns is not None}
    results: dict[OpId, int] = {}
    for seen in history.sightings(Step.RESULT):
        if seen.op is not None and seen.op in answers and seen.proved:
            results.setdefault(seen.op, seen.t_ns)

    def took_ms(moments: Mapping[OpId, int]) -> list[float]:
        return [(moments[id] - one.intended_ns) / 1e6 for id, one in offered.items() if id in moments]

    return Calm(took_ms(answers), took_ms(results), len(offered))


def _p99(times_ms: list[float]) -> float:
    return quantiles(times_ms, n=100)[-1]


def _ratio(name: str, values: Mapping[str, float], bound: Bound, target: float) -> Figure:
    ratio = round(values["hardened"] / values["documented"], 2)
    return Figure(f"{name}, hardened of documented", ratio, "ratio", bound, target)


def _each(name: str, values: Mapping[str, float], unit: str) -> list[Figure]:
    return [Figure(f"  {stack}: {name}", round(value, 1), unit) for stack, value in values.items()]


if __name__ == "__main__":
    told = figures(rounds=int(sys.argv[1]) if sys.argv[1:] else 3)
    print(json.dumps([figure.as_json() for figure in told], indent=1))
