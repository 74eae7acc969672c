"""A scenario of your own: an async pytest test that breaks something, and says what should hold all the same."""

from __future__ import annotations

from harness import Run, needs, reconnects


@needs("broker", "entry")
async def test_broker_comes_back(run: Run) -> None:
    """The broker dies under load: what it had acknowledged is still there, and its clients come back."""
    async with run.load():
        await run.steady(2)
        async with run.faults.kill(run.broker):
            await run.steady(3)
        await run.recovered()
    run.expect(reconnects())
