"""The entry is cut off from the broker, both ways or one: silently, held up, reset or refused."""

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
async def test_entry_silent_to(run: Run) -> None:
    """What the entry sends vanishes, and it still hears the broker: nothing that it accepted is lost."""
    async with run.load():
        await run.steady(2)
        async with run.faults.silent(run.entry, run.broker, way="to"):
            await run.steady(6)
        await run.recovered()
    run.expect(reconnects())


@needs("broker", "entry")
async def test_entry_silent_from(run: Run) -> None:
    """The broker hears the entry, and its answers vanish: nothing is lost, and nothing is done twice for it."""
    async with run.load():
        await run.steady(2)
        async with run.faults.silent(run.entry, run.broker, way="from"):
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


@needs("broker", "entry")
async def test_entry_frozen_to(run: Run) -> None:
    """What the entry sends is held and arrives late, when it has long been sent again: nothing is done twice."""
    async with run.load():
        await run.steady(2)
        async with run.faults.frozen(run.entry, run.broker, way="to"):
            await run.steady(6)
        await run.recovered()
    run.expect(reconnects())


@needs("broker", "entry")
async def test_entry_frozen_from(run: Run) -> None:
    """The broker's answers to the entry are held: what it took is not lost, and not done twice."""
    async with run.load():
        await run.steady(2)
        async with run.faults.frozen(run.entry, run.broker, way="from"):
            await run.steady(6)
        await run.recovered()
    run.expect(reconnects())


@needs("broker", "entry")
async def test_entry_reset(run: Run) -> None:
    """The entry's connections to the broker are reset, new ones too: it goes on trying, and loses nothing."""
    async with run.load():
        await run.steady(2)
        async with run.faults.reset(run.entry, run.broker, new="reset"):
            await run.steady(2)
        await run.recovered()
    run.expect(reconnects())


@needs("broker", "entry")
async def test_entry_refused(run: Run) -> None:
    """The entry finds nobody where the broker was: it tries until somebody is there, and loses nothing meanwhile."""
    async with run.load():
        await run.steady(2)
        async with run.faults.refused(run.entry, run.broker):
            await run.steady(4)
        await run.recovered()
    run.expect(reconnects())
