"""What the workers depend on is away, or slow; or a worker on which the entry depends.

One worker is started, so that its link is everybody's.
"""

from __future__ import annotations

from harness import Run, available, degrades, needs, started_with


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
    run.expect(available(failed=0.05, hangs=None))


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


@needs("broker", "worker", "dependency")
async def test_slow_handler(run: Run) -> None:
    """One worker takes longer for each piece of work than the broker waits for its word: none of it is done twice."""
    worker = run.a_worker
    async with run.load():
        await run.steady(2)
        async with run.faults.latency(worker, run.dependency_of(worker), latency_ms=4000, way="from"):
            await run.steady(5)
        await run.recovered()


@needs("broker", "entry service", "called worker", "http")
@started_with(workers=1)
async def test_search_paused(run: Run) -> None:
    """A worker that the entry asks directly answers nobody: who asks is soon refused at once, and served later."""
    async with run.load("http"):
        await run.steady(2)
        async with run.faults.pause(run.a_worker):
            await run.steady(4)
        await run.recovered()
        await run.steady(2)
    run.expect(degrades())
