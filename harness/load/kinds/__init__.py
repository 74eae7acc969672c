"""The kinds of workload: how one operation is offered, and what its answer means. One module a kind."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from harness.errors import UnknownName
from harness.load._config import LoadConfig
from harness.load._operations import Operations

# Where each kind lives; a module is imported once a workload needs it, for aiohttp and nats cost 0.2 s each.
_KINDS = {
    "core": "harness.load.kinds.core",
    "http": "harness.load.kinds.http",
    "http-async": "harness.load.kinds.http_async",
    "jetstream": "harness.load.kinds.jetstream",
    "request": "harness.load.kinds.request",
}


class Kind(Protocol):
    """One workload under way. It is made and used on the load's one event loop.

    Life: `start`, then `offer` for each arrival, `settle` once arrivals have stopped; from `start` on again for another
    round; at the end `final` and `close`.
    """

    async def start(self) -> None:
        """Connects, as far as that is possible now: what is not there yet must not keep the load from starting."""
        ...

    async def offer(self, intended_ns: int) -> None:
        """Begins one operation and returns, without waiting for its answer."""
        ...

    async def settle(self) -> None:
        """Waits until every operation is answered or past its deadline."""
        ...

    async def final(self) -> None:
        """The last look at what became of the work."""
        ...

    async def close(self) -> None:
        """Lets go of connections."""
        ...


def preload(kinds: Iterable[str]) -> None:
    """Imports these kinds now, while nobody waits and before workers are forked; a name that is none is for `make`."""
    for kind in kinds:
        if kind in _KINDS:
            importlib.import_module(_KINDS[kind])


def make(
    kind: str, workload: Mapping[str, Any], operations: Operations, config: LoadConfig, tasks: asyncio.TaskGroup
) -> Kind:
    """The workload's kind, whose work runs in `tasks`. Raises UnknownName for one that there is not."""
    if kind not in _KINDS:
        raise UnknownName(kind, _KINDS, kind="kind of workload", where=f"workloads.{operations.workload}.kind")
    made: Kind = importlib.import_module(_KINDS[kind]).make(workload, operations, config, tasks)
    return made
