"""Judging loss, phantoms, duplicates, effects and order over millions of operations, beside how one writes it first.

Whole processes, interpreter and imports included. Every judge must find what was planted, and the same.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from bench.figures import Figure, middle
from bench.histories import WRITERS, Planted, make
from bench.processes import spent

MILLION = 1_000_000
SMALL, LARGE = 10 * MILLION, 100 * MILLION
SMALL_S, SMALL_MIB = 3.0, 512
LARGE_S, LARGE_MIB = 40.0, 1024
FASTER_THAN_SETS, FASTER_THAN_JOINS = 10.0, 3.0


@dataclass(frozen=True)
class Judged:
    """One process: wall and processor seconds, its largest resident set, what it found."""

    wall_s: float
    cpu_s: float
    mib: float
    found: dict[str, Any]


def figures(*, rounds: int, large: bool = True) -> list[Figure]:
    """Medians of so many rounds over ten million operations, one over a hundred million if `large`.

    The ways are taken in turns, so that what else the machine does falls on all. The slow ones run three times at most.
    """
    with TemporaryDirectory() as temporary:
        folder = Path(temporary) / "history"
        make(folder, SMALL)
        ours: list[Judged] = []
        courses: list[Judged] = []
        others: dict[str, list[Judged]] = {"joins": [], "python": []}
        for number in range(rounds):
            ours.append(judge("columns", folder, SMALL))
            courses.append(judge("course", folder, SMALL))
            for name, runs in others.items():
                if number < 3:
                    runs.append(judge(name, folder, SMALL))
        planted_and_the_same([*ours, *others["joins"], *others["python"]], SMALL)
    for run in courses:
        _as_made(run, SMALL)
    wall = middle([run.wall_s for run in ours], 2)
    found = [
        Figure("judging 10 M operations and as many sightings", wall, "s", "at most", SMALL_S),
        Figure("judging 10 M: processor time", middle([run.cpu_s for run in ours], 2), "s"),
        Figure("judging 10 M: memory", round(max(run.mib for run in ours)), "MiB", "at most", SMALL_MIB),
    ]
    found += [
        Figure(
            "availability and convergence of 10 M", middle([run.wall_s for run in courses], 2), "s", "at most", SMALL_S
        ),
        Figure(
            "availability and convergence of 10 M: memory",
            round(max(run.mib for run in courses)),
            "MiB",
            "at most",
            SMALL_MIB,
        ),
    ]
    for name, title, target in (
        ("python", "plain Python sets", FASTER_THAN_SETS),
        ("joins", "DuckDB anti-joins", FASTER_THAN_JOINS),
    ):
        runs = others[name]
        times = round(median(run.wall_s for run in runs) / wall, 1)
        found += [
            Figure(f"judging 10 M: times as fast as {title}", times, "", "at least", target),
            Figure(f"judging 10 M by {title}", middle([run.wall_s for run in runs], 2), "s"),
            Figure(f"judging 10 M by {title}: processor time", middle([run.cpu_s for run in runs], 2), "s"),
            Figure(f"judging 10 M by {title}: memory", round(max(run.mib for run in runs)), "MiB"),
        ]
    return found + (_large() if large else [])


def _large() -> list[Figure]:
    with TemporaryDirectory() as temporary:
        folder = Path(temporary) / "history"
        make(folder, LARGE)
        run = judge("columns", folder, LARGE)
    planted_and_the_same([run], LARGE)
    return [
        Figure("judging 100 M operations and as many sightings", round(run.wall_s, 1), "s", "at most", LARGE_S),
        Figure("judging 100 M: processor time", round(run.cpu_s, 1), "s"),
        Figure("judging 100 M: memory", round(run.mib), "MiB", "at most", LARGE_MIB),
    ]


def judge(name: str, folder: Path, total: int) -> Judged:
    """Runs one judge as a process of its own."""
    run = spent([sys.executable, "-m", "bench.judges", name, str(folder), str(total)])
    return Judged(run.wall_s, run.cpu_s, run.mib, json.loads(run.told))


def planted_and_the_same(runs: list[Judged], total: int) -> None:
    """Raises AssertionError where a judge did not find exactly what was planted, or two differ."""
    planted = Planted(total)
    for run in runs:
        found = run.found
        assert found == runs[0].found, "the judges differ"
        assert found["offered"] == total
        assert found["lost"] == found["missing"] == _ids(planted.lost)
        assert found["undetermined"] == []
        assert found["duplicates"] == _ids([*planted.twice, planted.often])
        assert found["refused_yet_done"] == _ids(planted.refused)
        assert found["phantoms"] == len(planted.phantoms)
        assert [swap[:2] for swap in found["swaps"]] == _ids(planted.late)
        assert found["out_of_order"] == sum(swap[2] for swap in found["swaps"]) > 1000


def _as_made(run: Judged, total: int) -> None:
    """Raises AssertionError where a course is not that of the history as it was made: two in a hundred fail or hang."""
    found, under = run.found, total * 3 // 10
    for clause, hundredths in (("failed", 2), ("hangs", 1)):
        _, counted, ops = found[f"available.{clause}"]
        assert abs(counted - under) <= 1000
        assert abs(ops - counted * hundredths / 100) <= 1000
    assert found["available.hangs"][0] == found["converges.drained"][0] == "violated"
    verdicts = {name: verdict for name, (verdict, *_) in found.items()}
    assert {verdicts[name] for name in ("available.latency", "available.silence", "converges.latency")} == {"holds"}
    assert found["converges.rate"][0] == "holds"


def _ids(numbers: list[int]) -> list[list[int]]:
    return sorted([number % WRITERS, number // WRITERS] for number in numbers)
