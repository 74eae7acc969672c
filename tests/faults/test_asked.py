"""What a link fault is asked wrongly is told before anything is made: what, where and how it goes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.errors import HarnessError, UsageError
from harness.faults import REGISTRY, Fault, load_all

load_all()


def _fault(kind: str, *, role: str = "broker", active: tuple[Fault, ...] = (), **asked: Any) -> Fault:
    links = {("load", "there-0"): SimpleNamespace(can_lose=lambda: None)}
    stage = SimpleNamespace(active=active, runtime=SimpleNamespace(links=links))
    provider = SimpleNamespace(name=asked.pop("to", "there-0"), role=role)
    return REGISTRY[kind](cast(Any, stage), None, provider, **asked)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("kind", "asked"),
    [
        ("silent", {"way": "down"}),
        ("reset", {"new": "maybe"}),
        ("latency", {"latency_ms": 0}),
        ("latency", {"latency_ms": 20, "jitter_ms": 30}),
        ("bandwidth", {"rate_bytes_s": 10}),
        ("bandwidth", {"rate_bytes_s": 10_000_000}),
        ("bandwidth", {"rate_bytes_s": 5_000, "way": "from", "role": "dependency"}),
        ("slicer", {"size_bytes": 100, "delay_ms": 0}),
        ("slicer", {"size_bytes": 50_000, "delay_ms": 5}),
        ("data_limit", {"limit_bytes": 0}),
        ("data_limit", {"limit_bytes": 100_000, "role": "dependency"}),
        ("slow_close", {"delay_ms": 10}),
        ("flapping", {"down_s": 0.01}),
        ("flapping", {"cut": "silent"}),
        ("packet_loss", {"share": 2}),
    ],
)
def test_figures_that_cannot_be_are_told(kind: str, asked: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="fix:"):
        _fault(kind, **asked).check()


@pytest.mark.parametrize("kind", ["silent", "frozen", "reset", "refused", "flapping", "packet_loss"])
def test_a_link_is_under_one_fault_of_its_own_at_a_time(kind: str) -> None:
    _fault(kind).check()
    with pytest.raises(UsageError, match="load - there-0 is under silent already"):
        _fault(kind, active=(_fault("silent"),)).check()
    _fault(kind, active=(_fault("silent", to="elsewhere-0"),)).check()


def test_a_link_that_is_not_there_is_told() -> None:
    with pytest.raises(HarnessError, match="there is no link from load to nowhere-0"):
        _fault("silent", to="nowhere-0").check()
