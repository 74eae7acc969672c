"""Messages come that nobody can handle."""

from __future__ import annotations

from harness import Run, needs, observable, redelivers


@needs("broker", "worker", "effects", "dead")
async def test_poison(run: Run) -> None:
    """What nobody can handle is put aside, with the reason, and the work around it goes on."""
    async with run.load():
        await run.steady(2)
        async with run.faults.poison():
            await run.steady(4)
        await run.recovered()
    run.expect(redelivers(), observable())
