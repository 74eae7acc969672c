"""Controls of how fast and how steadily work is accepted, in calm."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import Run, available

from .control import came_of

pytestmark = pytest.mark.timed
LATENCY, SILENCE = ("available.latency", "available.silence")


async def steady(run: Run) -> None:
    """Four seconds of work, and no fault: more than one in twenty operations commits a sin that each 17th commits."""
    async with run.load():
        await run.steady(4)
    run.expect(available(latency_ms=300, silence_s=0.6))


async def test_the_pure_system_is_fast_and_never_silent(tmp_path: Path) -> None:
    came = await came_of(steady, tmp_path, sins="none", calm=True)
    came.must("holds", LATENCY, SILENCE, "available.hangs", "available.failed")
    assert 0 < came.finding(LATENCY)["measured"] < 300
    assert 0.02 <= came.finding(SILENCE)["measured"] < 0.6  # it is offered work each 20 ms
    assert came.verdict["as_expected"]


async def test_latency(tmp_path: Path) -> None:
    came = await came_of(steady, tmp_path, sins="slow", calm=True)
    came.must_name(LATENCY, came.confessed("slow"))
    assert came.finding(LATENCY)["measured"] >= 600
    came.must("holds", SILENCE, "available.hangs", "available.failed", "no_loss", "effects")


async def test_silence(tmp_path: Path) -> None:
    """Sixty refusals in a row, at 50 a second."""
    came = await came_of(steady, tmp_path, sins="mute", calm=True)
    came.must_name(SILENCE, came.confessed("mute"), edges=2)  # one may be offered before the last answer was heard
    assert came.finding(SILENCE)["measured"] >= 1.15
    came.must_name("available.failed", came.confessed("mute"))
    came.must("holds", LATENCY, "available.hangs", "no_loss", "effects")
