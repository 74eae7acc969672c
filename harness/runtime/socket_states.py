"""The state of one TCP connection as the kernel has it, asked for by its addresses over netlink (sock_diag(7)).

`sockets` finds sockets by walking the kernel's whole table, which takes 1 to 10 ms; this asks for one that is
known, which takes 10 us, so that it can be done for every open connection ten times a second. Needs no rights.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterable

from harness.runtime.contract import Ends
from harness.runtime.sockets import STATES

_SOCK_DIAG, _BY_FAMILY, _REQUEST, _ERROR = 4, 20, 1, 2
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr
# struct inet_diag_req_v2: family, protocol, extensions, states; both ports, both addresses, interface, cookie (none)
_QUESTION = struct.Struct("=BBBxI2s2s4s12x4s12xIII")
_NO_COOKIE = 0xFFFFFFFF
_STATE_AT = _HEADER.size + 1


def states(connections: Iterable[Ends]) -> dict[Ends, str]:
    """The state ("ESTABLISHED", "CLOSE_WAIT" ...) of each of these sockets that exists. Raises OSError."""
    found: dict[Ends, str] = {}
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _SOCK_DIAG) as netlink:
        netlink.settimeout(1.0)
        for local, remote in connections:
            netlink.send(_asked(local, remote))
            answer = netlink.recv(4096)
            _, kind, *_ = _HEADER.unpack_from(answer)
            if kind != _ERROR:
                found[local, remote] = STATES[answer[_STATE_AT]]
            elif (number := -struct.unpack_from("=i", answer, _HEADER.size)[0]) != errno.ENOENT:
                raise OSError(number, f"socket diagnosis: {errno.errorcode.get(number, number)}")
    return {ends: state for ends, state in found.items() if state != "LISTEN"}  # found where the connection is not


def _asked(local: str, remote: str) -> bytes:
    (source, sport), (target, dport) = map(_packed, (local, remote))
    about = (socket.AF_INET, socket.IPPROTO_TCP, 0, 0xFFFFFFFF)
    question = _QUESTION.pack(*about, sport, dport, source, target, 0, _NO_COOKIE, _NO_COOKIE)
    return _HEADER.pack(_HEADER.size + len(question), _BY_FAMILY, _REQUEST, 1, 0) + question


def _packed(address: str) -> tuple[bytes, bytes]:
    host, _, port = address.rpartition(":")
    return socket.inet_aton(host), int(port).to_bytes(2, "big")
