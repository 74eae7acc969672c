"""What a container prints, line by line as it comes, each with its moment."""

from __future__ import annotations

import asyncio
import socket
from time import monotonic_ns
from typing import TYPE_CHECKING

from harness.runtime._child import LONGEST_LINE
from harness.runtime._engine import Engine
from harness.runtime._hosting import OnLine

if TYPE_CHECKING:
    from docker.models.containers import Container

_HEADER_BYTES = 8  # of each piece of an attachment's output: stream, three zeros, length (Engine API)


class Output:
    """What a container prints, as lines, out of an attachment to it: two streams in pieces, each with a header."""

    def __init__(self, on_line: OnLine) -> None:
        self.ended = asyncio.Event()
        self._on_line = on_line
        self._socket: socket.socket | None = None
        self._pieces = b""
        self._rest = {1: b"", 2: b""}

    def attach(self, engine: Engine, container: Container) -> None:
        """Takes the container's output from now on, in any thread; it is not started yet, so nothing is missed."""
        opened = engine.api.attach_socket(container.id, params={"stdout": 1, "stderr": 1, "stream": 1})
        inner: socket.socket = getattr(opened, "_sock", opened)
        self._socket = socket.socket(fileno=inner.detach())  # ours alone: docker-py's keeper of it may go
        self._socket.setblocking(False)

    def follow(self) -> None:
        """Reads what is taken."""
        assert self._socket is not None
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._read)

    def close(self) -> None:
        """Reads no more."""
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None
        self.ended.set()

    def _read(self) -> None:
        assert self._socket is not None
        try:
            data = self._socket.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        t_ns = monotonic_ns()
        self._pieces += data
        while len(self._pieces) >= _HEADER_BYTES:
            length = int.from_bytes(self._pieces[4:_HEADER_BYTES], "big")
            if len(self._pieces) < _HEADER_BYTES + length:
                break
            self._take(t_ns, self._pieces[0], self._pieces[_HEADER_BYTES : _HEADER_BYTES + length])
            self._pieces = self._pieces[_HEADER_BYTES + length :]
        if not data:
            for stream in self._rest:
                self._take(t_ns, stream, b"\n" if self._rest[stream] else b"")
            self.close()

    def _take(self, t_ns: int, stream: int, data: bytes) -> None:
        *lines, self._rest[stream] = (self._rest.get(stream, b"") + data).split(b"\n")
        if len(self._rest[stream]) > LONGEST_LINE:
            lines.append(self._rest[stream])
            self._rest[stream] = b""
        for line in lines:
            self._on_line(t_ns, line.decode(errors="replace").rstrip("\r"))
