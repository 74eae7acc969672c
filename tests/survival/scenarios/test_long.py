"""A calm that lasts long enough for another run to come and go beside it."""

from __future__ import annotations

from harness import Run, calm


@calm
async def test_long_calm(run: Run) -> None:
    async with run.load():
        await run.steady(20)
