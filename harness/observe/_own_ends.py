"""Where the probe's connections come from, so that each is known from its first packet (docs/decisions/0009).

On loopback they have addresses of their own. In containers no other address than this machine's in a network can be
dialled from: there they come from ports of their own, which no kernel gives out by itself.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from itertools import cycle
from typing import NamedTuple

from harness.runtime.contract import Address


class Own(NamedTuple):
    """A kind of connection of the probe's: its address on loopback, its ports elsewhere."""

    address: str
    ports: range

    def made(self, client: str) -> bool:
        """Whether a connection from `client` ("127.0.0.77:40111") is of this kind."""
        host, _, port = client.rpartition(":")
        return host == self.address or (port.isdigit() and int(port) in self.ports)


LASTING = Own("127.0.0.77", range(2048, 4096))
FRESH = Own("127.0.0.78", range(4096, 8192))


def is_probe(client: str) -> bool:
    """Whether a connection from there is the probe's."""
    return LASTING.made(client) or FRESH.made(client)


class Ends:
    """Hands out the ends to come from, for connections to one place."""

    def __init__(self, to: Address) -> None:
        self._on_loopback = to[0].startswith("127.")
        self._ports = {own: cycle(own.ports) for own in (LASTING, FRESH)}

    def next(self, own: Own) -> Address:
        """The next one that can be bound now."""
        return (own.address, 0) if self._on_loopback else ("0.0.0.0", next(_free(self._ports[own])))


def _free(ports: Iterator[int]) -> Iterator[int]:
    for port in ports:
        with socket.socket() as tried:
            try:
                tried.bind(("0.0.0.0", port))
            except OSError:
                continue
        yield port
