"""A worker dies, or is asked to stop, with work in its hands."""

from __future__ import annotations

from harness import Run, drains, needs, redelivers, started_with


@needs("broker", "worker", "dependency", "effects")
async def test_worker_killed(run: Run) -> None:
    """Work that a worker had begun when it died is done by another, once.

    Slow answers of what the worker depends on keep the work in its hands: the dependency has seen it begin.
    """
    worker = run.a_worker
    async with run.load(times=1.5):
        await run.steady(2)
        async with run.faults.latency(worker, run.dependency_of(worker), latency_ms=1000, way="from"):
            await run.in_hand(worker, 5)
            async with run.faults.kill(worker):
                await run.steady(3)
        await run.recovered()
    run.expect(redelivers())


@needs("broker", "worker", "dependency", "effects")
async def test_worker_terminated(run: Run) -> None:
    """A worker that is asked to stop finishes what it has begun and takes nothing new: its peer does that."""
    worker = run.a_worker
    async with run.load(times=1.5):
        await run.steady(2)
        async with run.faults.latency(worker, run.dependency_of(worker), latency_ms=1000, way="from"):
            await run.in_hand(worker, 5)
            async with run.faults.terminate(worker):
                await run.steady(3)
        await run.recovered()
    run.expect(drains())


@needs("broker", "worker", "dependency", "effects")
@started_with(workers=1)
async def test_worker_terminated_alone(run: Run) -> None:
    """The same without a peer: what it leaves waits for its successor, and is not lost."""
    worker = run.a_worker
    async with run.load(times=1.5):
        await run.steady(2)
        async with run.faults.latency(worker, run.dependency_of(worker), latency_ms=1000, way="from"):
            await run.in_hand(worker, 5)
            async with run.faults.terminate(worker):
                await run.steady(3)
        await run.recovered()
    run.expect(drains())
