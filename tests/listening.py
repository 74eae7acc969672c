"""A server on loopback in a test's own process, which leaves no connection behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]
ENDS_WITHIN_S = 5


@asynccontextmanager
async def listening(answer: Answer, port: int = 0) -> AsyncIterator[int]:
    """Answers each connection so, and closes it; its port.

    At the end what is still being answered is cancelled, and no connection is open, nor one that came in that moment.
    """
    known: list[_Connection] = []

    def accepted() -> _Connection:
        known.append(_Connection(answer))
        return known[-1]

    server = await asyncio.get_running_loop().create_server(accepted, "127.0.0.1", port)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        await close(server)
        async with asyncio.timeout(ENDS_WITHIN_S):
            for one in known:
                await one.end()


async def close(server: asyncio.Server) -> None:
    """Closes a server once whoever was accepted by then has a connection.

    asyncio forgets the socket of one that it makes for a server that is closed, and nobody closes it.
    """
    for socket in server.sockets:
        asyncio.get_running_loop().remove_reader(socket.fileno())
    await asyncio.sleep(0)
    server.close()


class _Connection(asyncio.StreamReaderProtocol):
    """One connection, from before it is made."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(asyncio.StreamReader(), self._begin)
        self._answer = answer
        self._begun, self._lost = asyncio.Event(), asyncio.Event()

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._to, self._answering = writer, asyncio.create_task(self._run(reader, writer))
        self._begun.set()

    async def _run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._answer(reader, writer)
        finally:
            writer.close()

    async def end(self) -> None:
        """Ends it; what its answer failed by is raised, unless it is that its client left."""
        await self._begun.wait()
        self._answering.cancel()
        self._to.transport.abort()
        await self._lost.wait()
        (failed,) = await asyncio.gather(self._answering, return_exceptions=True)
        if isinstance(failed, Exception) and not isinstance(failed, OSError | EOFError):
            raise failed

    def connection_lost(self, exc: Exception | None) -> None:
        """Its socket is closed in this moment."""
        super().connection_lost(exc)
        self._lost.set()
