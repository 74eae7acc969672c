"""`make bench`: every figure, side by side in one run; medians of five (three with --quick), also reports/bench.json.

    python -m bench [--quick] [--only NAME ...]

What takes half an hour by itself (LONG) is measured where it is named alone. Exit 1 where a figure misses its target.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench import (
    accuracy,
    clients,
    collecting,
    containers,
    judging,
    load,
    page,
    price,
    proxy,
    recording,
    scenario,
    side_by_side,
    workers,
)
from bench.containers import where_an_engine_answers
from bench.figures import Figure

REPORT = Path("reports/bench.json")
ROUNDS, QUICK_ROUNDS = 5, 3
LONG = frozenset({"side-by-side"})


def main() -> int:
    """Measures what was asked for and tells it."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, under 9 minutes")
    parser.add_argument("--only", nargs="+", choices=sorted(_benches(quick=True)), help="only these")
    asked = parser.parse_args()
    found: list[Figure] = []
    for name, measure in _benches(quick=asked.quick).items():
        if name not in (asked.only or _benches(quick=asked.quick).keys() - LONG):
            continue
        began = time.monotonic()
        print(f"{name} ...", file=sys.stderr, flush=True)
        figures = measure()
        for figure in figures:
            print(_line(figure), flush=True)
        found += figures
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps([figure.as_json() for figure in found], indent=1) + "\n")
    missed = [figure.name for figure in found if figure.holds is False]
    print(f"{len(found)} figures, {len(missed)} miss their target{': ' if missed else ''}{', '.join(missed)}; {REPORT}")
    return 1 if missed else 0


def _benches(*, quick: bool) -> dict[str, Callable[[], list[Figure]]]:
    rounds = QUICK_ROUNDS if quick else ROUNDS
    return {
        "scenario": lambda: scenario.figures(rounds=rounds),
        "containers": lambda: where_an_engine_answers(lambda: containers.figures(rounds=rounds)),
        "collecting": lambda: collecting.figures(rounds=rounds),
        "recording": lambda: recording.figures(rounds=rounds),
        "load": lambda: load.figures(rounds=rounds),
        "workers": lambda: workers.figures(rounds=rounds),
        "accuracy": lambda: accuracy.figures(rounds=rounds),
        "accuracy-containers": lambda: where_an_engine_answers(
            lambda: accuracy.figures(rounds=rounds, runtime="containers")
        ),
        "clients": lambda: clients.figures(rounds=rounds),
        "proxy": lambda: proxy.figures(rounds=rounds),
        "price": lambda: price.figures(rounds=rounds),
        "side-by-side": side_by_side.figures,
        "page": lambda: page.figures(rounds=rounds),
        "judging": lambda: judging.figures(rounds=rounds, large=not quick),
    }


def _line(figure: Figure) -> str:
    entry = figure.as_json()
    holds = {True: "ok  ", False: "MISS", None: "    "}[figure.holds]
    target = f"({entry['target']})" if entry["target"] else ""
    return f"{holds} {figure.name:58} {figure.value:>12g} {figure.unit:6} {target}"


if __name__ == "__main__":
    sys.exit(main())
