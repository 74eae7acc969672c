"""The broker dies, is restarted, stops answering, or comes late."""

from __future__ import annotations

from harness import Run, bounded, converges, degrades, needs, observable, reconnects, started_with


@needs("broker", "entry")
async def test_broker_crash(run: Run) -> None:
    """What was accepted gets its one result, though the broker dies in between."""
    async with run.load():
        await run.steady(2)
        async with run.faults.kill(run.broker, reopen="entry first"):
            await run.steady(3)
        await run.recovered()
        await run.steady(2)
    run.expect(reconnects(), degrades(), observable())


@needs("broker", "entry")
async def test_broker_restart(run: Run) -> None:
    """A broker that is stopped and started in good order, as for maintenance, keeps what it had accepted."""
    async with run.load():
        await run.steady(2)
        async with run.faults.restart(run.broker, by="terminate"):
            await run.steady(3)
        await run.recovered()
        await run.steady(2)
    run.expect(reconnects(), converges(later_ms=500), bounded(returns=50))


@needs("broker", "entry")
async def test_broker_paused(run: Run) -> None:
    """A broker that keeps its connections and answers nobody is noticed, and nothing accepted is lost."""
    async with run.load():
        await run.steady(2)
        async with run.faults.pause(run.broker):
            await run.steady(6)
        await run.recovered()
        await run.steady(2)
    run.expect(reconnects())


@needs("broker", "entry")
@started_with(without="broker")
async def test_broker_absent(run: Run) -> None:
    """Services that are started before their broker find it once it is there, and work."""
    async with run.load():
        async with run.faults.absent(run.broker):
            await run.steady(5)
        await run.recovered()
        await run.steady(2)
    run.expect(reconnects(), degrades())
