"""Small subnets for a run's networks: out of a private range, away from what this machine and its engine use already.

They are chosen while the machine-wide lock of starting is held, until the networks are made: the engine then knows
them. Another user's run holds another lock; the engine refuses a subnet that it has given away, and the next is tried.
"""

from __future__ import annotations

import os
import random
import socket
import struct
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from harness.errors import Missing, UsageError

VARIABLE = "NATS_HARNESS_SUBNETS"
RANGE = "10.213.0.0/16"
PREFIX = 28
"""14 addresses: the machine's own, the hub's, the node's."""
WIDEST = 12
_ROUTE_UP = 1


def candidates(taken: Iterable[IPv4Network]) -> Iterator[IPv4Network]:
    """The free /28s of the range, in an order of chance. Raises UsageError where the range is none."""
    text = os.environ.get(VARIABLE) or RANGE
    try:
        whole = IPv4Network(text)
        if whole.prefixlen < WIDEST:
            raise ValueError(f"wider than /{WIDEST}")
        subnets = list(whole.subnets(new_prefix=PREFIX))
    except ValueError as error:
        raise UsageError(f"{text!r} is no range of subnets: {error}", where=VARIABLE, fix=f"such as {RANGE}") from error
    used = [*taken, *_routes()]
    random.SystemRandom().shuffle(subnets)
    return (subnet for subnet in subnets if not any(map(subnet.overlaps, used)))


def none_free() -> Missing:
    """The error where the range is full."""
    text = os.environ.get(VARIABLE) or RANGE
    fix = f"nats-harness clean, or set {VARIABLE} to a private range that nobody uses here"
    return Missing(f"there is no free /{PREFIX} subnet left in {text}", where="container engine", fix=fix)


def host(subnet: IPv4Network, number: int) -> str:
    """An address in it: 1 is this machine's, 2 the hub's, 3 the node's."""
    return str(subnet[number])


def _routes() -> list[IPv4Network]:
    """Where this machine sends packets to already; not its way to everywhere else."""
    found = []
    for line in Path("/proc/net/route").read_text().splitlines()[1:]:
        _, target, _, flags, _, _, _, mask, *_ = line.split()
        if int(flags, 16) & _ROUTE_UP and int(mask, 16):
            network = IPv4Address(socket.inet_ntoa(struct.pack("=I", int(target, 16))))
            bits = IPv4Address(socket.inet_ntoa(struct.pack("=I", int(mask, 16))))
            found.append(IPv4Network(f"{network}/{bits}", strict=False))
    return found
