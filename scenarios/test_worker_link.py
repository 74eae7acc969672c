"""One worker is cut off from the broker, with work in its hands and more waiting for it."""

from __future__ import annotations

from harness import Run, available, needs, reconnects


@needs("broker", "worker")
async def test_worker_silent(run: Run) -> None:
    """Bytes between a worker and the broker vanish: others do its work, and it takes work again afterwards."""
    worker = run.a_worker
    async with run.load():
        await run.steady(2)
        async with run.faults.silent(worker, run.broker):
            await run.steady(6)
        await run.recovered()
        await run.steady(5)
    run.expect(reconnects())


@needs("broker", "worker")
async def test_worker_frozen(run: Run) -> None:
    """What a worker says to the broker arrives late, when others have done the work: it is not done twice."""
    worker = run.a_worker
    async with run.load():
        await run.steady(2)
        async with run.faults.frozen(worker, run.broker):
            await run.steady(6)
        await run.recovered()
        await run.steady(5)
    run.expect(reconnects())


@needs("broker", "worker")
async def test_worker_reset(run: Run) -> None:
    """A worker's connections to the broker are reset, new ones too: what it had in hand is done once."""
    worker = run.a_worker
    async with run.load():
        await run.steady(2)
        async with run.faults.reset(worker, run.broker, new="reset"):
            await run.steady(2)
        await run.recovered()
        await run.steady(5)
    run.expect(reconnects())


@needs("broker", "worker")
async def test_worker_refused(run: Run) -> None:
    """A worker finds nobody where the broker was: users are answered all the while, and it works again."""
    worker = run.a_worker
    async with run.load():
        await run.steady(2)
        async with run.faults.refused(worker, run.broker):
            await run.steady(4)
        await run.recovered()
        await run.steady(5)
    run.expect(reconnects(), available(latency_ms=1000, silence_s=2))
