"""A target of our own behind a link, so that both ends of a connection can be asked how it ended."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from harness.runtime._links import ProxyLink

WITHIN_S = 5.0


class End:
    """One end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def read(self, count: int) -> bytes:
        """So many bytes, or as many as came before the end."""
        async with asyncio.timeout(WITHIN_S):
            try:
                return await self._reader.readexactly(count)
            except asyncio.IncompleteReadError as error:
                return error.partial

    async def how(self) -> str:
        """How the other end ended it: "EOF", "ECONNRESET" ..."""
        async with asyncio.timeout(WITHIN_S):
            try:
                while await self._reader.read(1 << 16):
                    pass
            except OSError as error:
                return errno.errorcode[error.errno or 0]
            return "EOF"

    def close(self) -> None:
        self._writer.close()


@dataclass
class Pair:
    """A connection through a link: `near` is its source's end, `far` its target's."""

    near: End
    far: End

    async def cross(self) -> None:
        """A byte crosses each way."""
        self.near.send(b"?")
        assert await self.far.read(1) == b"?"
        self.far.send(b"!")
        assert await self.near.read(1) == b"!"


class Ears:
    """Listens where a link's target did."""

    def __init__(self) -> None:
        self._accepted: asyncio.Queue[End] = asyncio.Queue()
        self._ends: list[End] = []

    @classmethod
    @asynccontextmanager
    async def listening(cls, port: int) -> AsyncIterator[Ears]:
        ears = cls()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            ears._accepted.put_nowait(End(reader, writer))

        server = await asyncio.start_server(accept, "127.0.0.1", port)
        try:
            yield ears
        finally:
            server.close()
            while not ears._accepted.empty():
                ears._ends.append(ears._accepted.get_nowait())
            for end in ears._ends:
                end.close()

    async def pair(self, link: ProxyLink) -> Pair:
        """A new connection."""
        near = End(*await asyncio.open_connection("127.0.0.1", link.port))
        async with asyncio.timeout(WITHIN_S):
            far = await self._accepted.get()
        self._ends += [near, far]
        return Pair(near, far)
