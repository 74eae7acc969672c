"""A scenario for each fault, on whatever its fields name: the broker, or the load's link to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable

from harness import Run, started_with
from harness.faults import REGISTRY, load_all


def _of(kind: str) -> Callable[[Run], Awaitable[None]]:
    async def scenario(run: Run) -> None:
        fault = REGISTRY[kind]
        targets = {"node": run.broker, "provider": run.broker, "source": None, "replicas": [run.broker]}
        fields = {field.name for field in dataclasses.fields(fault) if field.init}
        async with run.load():
            if kind != "absent":
                await run.steady(1)
            asked = {name: target for name, target in targets.items() if name in fields}
            async with getattr(run.faults, kind)(**asked, **fault.EXAMPLE):
                await run.steady(3)
            await run.recovered()

    return started_with(without="broker")(scenario) if kind == "absent" else scenario


for _kind in load_all():
    globals()[f"test_of_{_kind}"] = _of(_kind)
