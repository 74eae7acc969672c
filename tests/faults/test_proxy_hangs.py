"""A proxy that hangs under a run: replaced within 2 s, told, and no timing of its link is believed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness import Run, reconnects
from harness.faults._base import EFFECT_WITHIN_S
from harness.history.reader import History
from harness.verdict import Doubt
from tests.stopping import stand_still

from .lab import judged

LINK = ("load", "broker-0")
WITHIN_NS = EFFECT_WITHIN_S * 1e9
TIMED = ("reconnects.reconnects", "reconnects.works")


@pytest.mark.parametrize(("kind", "at"), [("refused", "inject"), ("reset", "inject"), ("silent", "heal")])
def test_a_proxy_that_hangs_is_replaced_and_its_link_s_timings_are_in_doubt(kind: str, at: str, tmp_path: Path) -> None:
    async def scenario(run: Run) -> None:
        world = run._opened()
        link = world.runtime.links[LINK]

        def hang() -> None:
            """Behind the harness' back: what it orders is not answered."""
            stand_still(link.proxy_pid)

        if at == "inject":
            world.stage = replace(world.stage, injecting=hang)
        async with run.load():
            await run.steady(1)
            async with getattr(run.faults, kind)(None, run.broker):
                await run.steady(1)
                if at == "heal":
                    hang()
            await run.recovered(within_s=5)
        run.expect(reconnects())

    verdict = judged(scenario, tmp_path / "run")
    history = History.open(tmp_path / "run" / "history")
    (span,) = history.faults()
    replaced = [line for line in history.troubles() if line["name"] == Doubt.PROXY_REPLACED]
    assert [line["links"] for line in replaced] == [[list(LINK)]]
    assert span.bit
    assert span.effective_ns is not None
    assert span.effective_ns - span.asked_ns < WITHIN_NS
    (healing,) = [line["t_ns"] for line in history.lines("fault") if line["event"] == "healing"]
    assert (span.healed_ns or 0) - healing < WITHIN_NS
    timings = [finding for finding in verdict["findings"] if finding["clause"] in TIMED]
    assert [(finding["verdict"], finding["reason"].partition(":")[0]) for finding in timings] == [
        ("inconclusive", Doubt.PROXY_REPLACED)
    ] * len(TIMED)
