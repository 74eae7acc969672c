"""The entry is asked to stop, or dies, with work that it has accepted."""

from __future__ import annotations

from harness import Run, drains, needs


@needs("broker", "entry service")
async def test_entry_terminated(run: Run) -> None:
    """An entry that is asked to stop answers whom it has, takes nobody new, and loses nothing that it accepted.

    A slow way to the broker keeps the work in its hands.
    """
    async with run.load(times=1.5):
        await run.steady(2)
        async with run.faults.latency(run.entry, run.broker, latency_ms=200):
            await run.in_hand(run.entry, 5)
            async with run.faults.terminate(run.entry):
                await run.steady(2)
        await run.recovered()
    run.expect(drains())


@needs("broker", "entry service")
async def test_entry_restarted(run: Run) -> None:
    """Results that nobody had fetched when the entry died are there for whoever asks its successor."""
    async with run.load(times=1.5):
        await run.steady(2)
        await run.in_hand(run.entry, 5)
        async with run.faults.restart(run.entry, by="kill"):
            await run.steady(3)
        await run.recovered()


@needs("broker", "entry service")
async def test_entry_restarted_offline(run: Run) -> None:
    """Work that an entry took on without a broker outlives it: its successor hands it on once the broker is back.

    It dies a second after the broker, with what it has accepted since. One that accepts nothing then keeps this too.
    """
    async with run.load():
        await run.steady(2)
        async with run.faults.kill(run.broker):
            await run.steady(1)
            async with run.faults.restart(run.entry, by="kill"):
                await run.steady(2)
        await run.recovered()
