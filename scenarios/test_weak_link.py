"""The entry's link to the broker works, and works badly."""

from __future__ import annotations

from harness import Run, needs, reconnects


@needs("broker", "entry")
async def test_entry_latency(run: Run) -> None:
    """Every word between entry and broker takes long, some longer: work is slower, and none is lost or doubled."""
    async with run.load():
        await run.steady(2)
        async with run.faults.latency(run.entry, run.broker, latency_ms=200, jitter_ms=50):
            await run.steady(5)
        await run.recovered()


@needs("broker", "entry")
async def test_entry_bandwidth(run: Run) -> None:
    """The entry's link carries 20 kB a second: what queues up in front of it is neither lost nor doubled."""
    async with run.load():
        await run.steady(2)
        async with run.faults.bandwidth(run.entry, run.broker, rate_bytes_s=20_000):
            await run.steady(5)
        await run.recovered()


@needs("broker", "entry")
async def test_entry_flapping(run: Run) -> None:
    """The entry loses its broker each second, and finds it again: it gives up neither the broker nor the work."""
    async with run.load():
        await run.steady(2)
        async with run.faults.flapping(run.entry, run.broker, down_s=0.3, up_s=0.7, cut="refused"):
            await run.steady(6)
        await run.recovered()
    run.expect(reconnects())
