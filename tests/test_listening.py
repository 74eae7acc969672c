"""What tests of one process are served by leaves nothing behind for another test to find."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

import pytest

from .listening import listening


@pytest.mark.parametrize("turns", range(6))
async def test_a_connection_that_comes_as_it_closes_is_closed(turns: int) -> None:
    """It is accepted, made and answered in one turn of the loop each."""

    async def answer(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    with socket.socket() as client:
        client.settimeout(5)
        async with listening(answer) as port:
            client.connect(("127.0.0.1", port))
            for _ in range(turns):
                await asyncio.sleep(0)
        with suppress(ConnectionResetError):
            assert client.recv(1) == b""


async def test_what_an_answer_fails_by_fails_the_test() -> None:
    heard = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        said = await reader.read()
        heard.set()
        assert said == b"another"

    async def asked() -> None:
        async with listening(answer) as port:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            await writer.wait_closed()
            await heard.wait()

    with pytest.raises(AssertionError):
        await asked()
