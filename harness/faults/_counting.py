"""The kernel as a witness: the bytes that cross links under fault, counted at their proxies' sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from harness.errors import HarnessError
from harness.history.recorder import Recorder
from harness.runtime.contract import Link

COUNTED_EVERY_S = 0.1


@asynccontextmanager
async def counted(recorder: Recorder, links: Sequence[Link]) -> AsyncIterator[None]:
    """Records a line of kind `bytes` for each link every 100 ms while the body lasts."""
    tasks = [asyncio.create_task(_count(recorder, link)) for link in links]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _count(recorder: Recorder, link: Link) -> None:
    while True:
        with suppress(OSError, HarnessError):  # a proxy that is just being replaced has no sockets to count
            crossed = await link.crossed()
            recorder.line("bytes", source=link.source, target=link.target, **crossed._asdict())
        await asyncio.sleep(COUNTED_EVERY_S)
