"""The entry is cut off from the broker, and nobody is told."""

from __future__ import annotations

from harness import Run, needs, reconnects


@needs("broker", "entry")
async def test_entry_silent(run: Run) -> None:
    """Bytes between entry and broker vanish: the entry notices, comes back, and loses nothing that it accepted."""
    async with run.load():
        await run.steady(2)
        async with run.faults.silent(run.entry, run.broker):
            await run.steady(6)
        await run.recovered()
    run.expect(reconnects())


@needs("broker", "entry")
async def test_entry_frozen(run: Run) -> None:
    """Bytes between entry and broker are held and arrive late: nothing is lost, and nothing is done twice."""
    async with run.load():
        await run.steady(2)
        async with run.faults.frozen(run.entry, run.broker):
            await run.steady(6)
        await run.recovered()
    run.expect(reconnects())
