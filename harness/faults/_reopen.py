"""The order in which the links to a node that came back open again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Literal

from harness.faults._base import LinkKey, Stage

Reopen = Literal["at once", "entry first"]
WORKERS_LATER_S = 2.3
"""One reconnect wait of the common clients (2 s) and 0.3 s: how much later than the entry workers find the broker."""


async def reopened(stage: Stage, keys: Sequence[LinkKey], order: Reopen) -> dict[LinkKey, int]:
    """Opens the links in that order; when each was open. `entry first`: workers' links come later."""
    links = stage.runtime.links
    late = [key for key in keys if order == "entry first" and _is_worker(stage, key[0])]
    times = {key: await links[key].open() for key in keys if key not in late}
    if late:
        await asyncio.sleep(WORKERS_LATER_S)
    return times | {key: await links[key].open() for key in late}


def _is_worker(stage: Stage, source: str) -> bool:
    node = stage.runtime.nodes.get(source)
    return node is not None and node.role == "worker"
