"""Evidence by itself, of histories made up: what a fault that did nothing leaves behind is none."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.errors import UsageError
from harness.faults import Stage
from harness.faults.burst import Burst
from harness.history.reader import FaultSpan, History

MS = 1_000_000
ASKED_MS = 3_000
STAGE = cast(Stage, SimpleNamespace(runtime=SimpleNamespace(links={})))


def _every(ms: float, since: int, until: int) -> list[int]:
    return [since + round(k * ms) for k in range(int((until - since) / ms))]


def _bursts(times: float, seconds: float, due: list[int], *, late: int = 0, loads: tuple[int, ...] = (0,)) -> bool:
    """Whether a burst finds evidence in operations due then; what is due in the second before it comes `late`."""
    operations = [
        SimpleNamespace(
            id=SimpleNamespace(writer=0),
            intended_ns=at * MS,
            start_ns=(at + (late if ASKED_MS - 1_000 < at < ASKED_MS else 0)) * MS,
        )
        for at in due
    ]

    def lines(*_: str) -> Iterator[dict[str, Any]]:
        return iter([{"event": "started", "t_ns": at * MS} for at in loads])

    history = cast(History, SimpleNamespace(operations=lambda: iter(operations), lines=lines))
    span = cast(FaultSpan, SimpleNamespace(asked_ns=ASKED_MS * MS, effective_ns=ASKED_MS * MS + 1))
    return Burst(STAGE, times, seconds).evidence(history, span)["bit"] > 0


@pytest.mark.parametrize("times", [1.05, 1.2, 1.25, 1.5, 2, 10])
@pytest.mark.parametrize("seconds", [0.001, 0.1, 1, 2])
@pytest.mark.parametrize("every_ms", [1, 7, 20, 100])
def test_a_burst_that_did_nothing_is_not_proved(times: float, seconds: float, every_ms: int) -> None:
    usual = _every(every_ms, 0, 6_000)
    assert not _bursts(times, seconds, usual)
    assert not _bursts(times, seconds, usual, late=1_000), "what the load caught up on is no burst"
    later = [at for at in usual if not 500 < at < ASKED_MS - 400]
    assert not _bursts(times, seconds, later, loads=(0, ASKED_MS - 400)), "nor is a load that paused before"


@pytest.mark.parametrize("times", [1.5, 2, 10])
@pytest.mark.parametrize("every_ms", [1, 7, 20])
def test_a_burst_is_proved_by_its_growth(times: float, every_ms: int) -> None:
    usual = _every(every_ms, 0, 6_000)
    more = _every(every_ms / (times - 1), ASKED_MS, ASKED_MS + 2_000)
    assert _bursts(times, 2, sorted([*usual, *more]))
    assert not _bursts(3 * times, 2, sorted([*usual, *more])), "but not by a smaller one"


@pytest.mark.parametrize(("times", "seconds"), [(1, 1), (1.2, 1), (float("nan"), 1), (5, 0), (5, float("inf"))])
def test_a_burst_that_could_not_be_told_from_the_load_is_refused(times: float, seconds: float) -> None:
    with pytest.raises(UsageError, match="fix: between"):
        Burst(STAGE, times, seconds).check()
