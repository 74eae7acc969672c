"""Two seconds of work."""

from __future__ import annotations

from harness import Run, calm


@calm
async def test_short(run: Run) -> None:
    """What is noted is kept."""
    async with run.load():
        await run.steady(2)
