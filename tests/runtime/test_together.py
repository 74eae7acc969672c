"""Which of several failures is told."""

from __future__ import annotations

import asyncio

import pytest

from harness.runtime._together import together


async def test_the_first_in_order_is_told_though_one_that_it_brought_down_failed_before() -> None:
    down = asyncio.Event()

    async def cause() -> None:
        down.set()
        try:
            await asyncio.sleep(10)
        finally:
            raise ValueError("the cause")

    async def brought_down() -> None:
        await down.wait()
        raise KeyError("what came of it")

    with pytest.raises(ValueError, match="the cause"):
        await together([cause(), brought_down()])


async def test_who_is_only_ended_is_not_told() -> None:
    async def waits() -> None:
        await asyncio.sleep(10)

    async def fails() -> None:
        raise KeyError("the cause")

    with pytest.raises(KeyError):
        await together([waits(), fails()])
