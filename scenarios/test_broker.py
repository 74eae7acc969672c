"""The broker dies, or stops answering."""

from __future__ import annotations

from harness import Run, needs, reconnects


@needs("broker", "entry")
async def test_broker_crash(run: Run) -> None:
    """What was accepted gets its one result, though the broker dies in between."""
    async with run.load():
        await run.steady(2)
        async with run.faults.kill(run.broker, reopen="entry first"):
            await run.steady(3)
        await run.recovered()
    run.expect(reconnects())


@needs("broker", "entry")
async def test_broker_paused(run: Run) -> None:
    """A broker that keeps its connections and answers nobody is noticed, and nothing accepted is lost."""
    async with run.load():
        await run.steady(2)
        async with run.faults.pause(run.broker):
            await run.steady(6)
        await run.recovered()
    run.expect(reconnects())
