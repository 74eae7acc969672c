"""The broker is away for so long that what the entry keeps meanwhile is full."""

from __future__ import annotations

from harness import Run, available, degrades, needs, started_with


@needs("broker", "entry", "pad")
async def test_buffer_full(run: Run) -> None:
    """The work is large, and more of it comes during an outage than a client's buffer holds: none of it fails."""
    async with run.load(times=0.4, padding_bytes=256 * 1024):
        await run.steady(2)
        async with run.faults.kill(run.broker):
            await run.steady(3)
        await run.recovered()
    run.expect(available(failed=0), degrades())


@needs("broker", "entry service", "small")
@started_with(small=True)
async def test_outbox_full(run: Run) -> None:
    """The entry keeps what it can, refuses the rest by type, and loses nothing of what it kept."""
    async with run.load():
        await run.steady(2)
        async with run.faults.kill(run.broker):
            await run.steady(4)
        await run.recovered()
        await run.steady(2)
    run.expect(degrades(refuses_ms=500, refusals=5))  # where nothing is refused, nothing is shown of how
