"""A bound that could mean nothing is wrong usage where it is written, not a finding later."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import pytest

import harness
from harness import available, converges, effects, no_loss, no_phantoms, reconnects
from harness.errors import UsageError
from harness.guarantees import REGISTRY
from harness.guarantees._base import Guarantee

BOUNDS = [(name, field.name) for name, one in REGISTRY.items() for field in dataclasses.fields(one)]


def test_a_scenario_can_expect_each_guarantee() -> None:
    """By its name, out of `harness`."""
    judged = {name: one for name, one in REGISTRY.items() if any(clause.judged for clause in one.clauses)}
    assert {name: getattr(harness, name, None) for name in judged} == judged, "name it in harness/__init__.py"
    assert judged.keys() - set(harness.__all__) == set(), "name it in harness/__init__.py"


@pytest.mark.parametrize("bound", [-1, -0.001, math.inf, math.nan, True, "1"])
@pytest.mark.parametrize(("name", "field"), BOUNDS)
def test_no_bound_is_below_0_or_no_number(name: str, field: str, bound: float) -> None:
    with pytest.raises(UsageError, match=f"{name}: {field} is .*\n  fix: a"):
        REGISTRY[name](**{field: bound})


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: available(failed=5), "failed is 5\n  fix: a share, from 0 to 1"),
        (lambda: reconnects(works_s=0), "works_s is 0\n  fix: a time above 0"),
        (lambda: reconnects(works=1), "no bound of reconnects is called 'works'\n  fix: did you mean 'works_s'?"),  # type: ignore[call-arg]
        (lambda: converges(drain_s=1), "did you mean 'drains_s'?"),  # type: ignore[call-arg]
        (lambda: no_loss(3), "no_loss: 1 bounds are too many"),
    ],
)
def test_what_cannot_be_meant_is_told(wrong: Callable[[], object], said: str) -> None:
    with pytest.raises(UsageError) as told:
        wrong()
    assert said in str(told.value)


@pytest.mark.parametrize(
    "right",
    [
        available(),
        available(failed=0, hangs=0),
        available(failed=1, latency_ms=0.5, silence_s=10, hangs=None),
        reconnects(notices_s=0.1),
        converges(drains_s=600),
        effects(),
        no_loss(),
        no_phantoms(),
    ],
)
def test_bounds_come_back_from_a_history(right: Guarantee) -> None:
    assert REGISTRY[right.name](**right.bounds()) == right
