"""The control of every other scenario: without a fault, every promise holds."""

from __future__ import annotations

from harness import Run, calm


@calm
async def test_calm(run: Run) -> None:
    """Nothing goes wrong, so everything that was accepted gets its one result, in time."""
    async with run.load():
        await run.steady(6)
