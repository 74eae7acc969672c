"""What the workers depend on is away, or slow. One worker is started, so that its link is everybody's."""

from __future__ import annotations

from harness import Run, needs, started_with


@needs("broker", "worker", "dependency")
@started_with(workers=1)
async def test_dependency_down(run: Run) -> None:
    """Work that could not be done, since what it depends on was away, is done later, once."""
    worker = run.a_worker
    async with run.load():
        await run.steady(2)
        async with run.faults.refused(worker, run.dependency_of(worker)):
            await run.steady(4)
        await run.recovered()


@needs("broker", "worker", "dependency")
@started_with(workers=1)
async def test_dependency_slow(run: Run) -> None:
    """Each piece of work takes a second longer: it is done all the same, and none of it twice."""
    worker = run.a_worker
    async with run.load():
        await run.steady(2)
        async with run.faults.latency(worker, run.dependency_of(worker), latency_ms=1000, way="from"):
            await run.steady(5)
        await run.recovered()
