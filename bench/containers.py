"""What a scenario costs in containers: telhawk ready and gone, beyond its windows; and the images, built anew."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.figures import Figure, middle
from bench.scenario import ITEMS, WAITS, calm, drive, setting
from harness.errors import Missing
from harness.runtime._engine import Engine
from harness.runtime.choosing import CONTAINERS
from harness.runtime.images import Images, remove_all


def where_an_engine_answers(measure: Callable[[], list[Figure]]) -> list[Figure]:
    """What it measures; nothing where no engine answers."""
    try:
        Engine.connect().close()
    except Missing as error:
        print(f"no figures of containers: {error.what}")
        return []
    return measure()


def figures(*, rounds: int) -> list[Figure]:
    """Medians of so many calm scenarios of hardened telhawk."""
    engine = Engine.connect()
    try:
        images_s = _images_s(engine)
    finally:
        engine.close()
    costs: list[dict[str, float]] = []
    with TemporaryDirectory() as temporary:
        for number in range(rounds):
            made = replace(
                setting("telhawk", Path(temporary), hardening="all", name=f"calm{number}"), runtime=CONTAINERS
            )
            began = time.monotonic()
            verdict = drive(made, calm)
            total = time.monotonic() - began
            assert verdict["verdict"] == "holds", json.dumps(verdict["findings"], indent=1)
            cost = dict(verdict["cost"])
            cost["beyond"] = total - sum(cost.get(name, 0.0) for name in WAITS)
            costs.append(cost)
    beyond = middle([cost["beyond"] for cost in costs])
    return [
        Figure("images of a fresh machine, its binaries there", images_s, "s", "at most", 180.0),
        Figure("telhawk ready in containers", middle([cost["start"] for cost in costs]), "s", "at most", 6.0),
        Figure("telhawk in containers torn down", middle([cost["teardown"] for cost in costs]), "s", "at most", 3.0),
        Figure("a scenario in containers beyond its windows", beyond, "s", "at most", 10.0),
        *(Figure(f"  of it {name}", middle([cost.get(name, 0.0) for cost in costs]), "s") for name in ITEMS),
    ]


def _images_s(engine: Engine) -> float:
    """Seconds to build every image, of which none is there and nothing is kept; the base included."""
    repository = "nats-harness-bench"
    remove_all(engine, repository)
    began = time.monotonic()
    Images(engine, repository=repository).all(None)
    took = time.monotonic() - began
    remove_all(engine, repository)
    return took
