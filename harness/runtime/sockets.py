"""TCP sockets as the kernel knows them, by its socket diagnosis over netlink (sock_diag(7)); no rights needed.

The structs are the kernel's (linux/inet_diag.h, linux/tcp.h) and part of its ABI. They are read here rather than by
pyroute2, whose import alone costs as much processor time as aiohttp's.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Collection, Iterator

from harness.runtime.contract import Socket

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST_DUMP = 0x301
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_INET_DIAG_INFO = 2

_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr
_REQUEST = struct.Struct("=BBBxI48x")  # struct inet_diag_req_v2: family, protocol, extensions, states, all ids
_MESSAGE = struct.Struct("=BBBx2s2s16s16s4x8x5I")  # struct inet_diag_msg
_ATTRIBUTE = struct.Struct("=HH")  # struct nlattr
_COUNTERS_AT = 120  # offset of tcpi_bytes_acked and tcpi_bytes_received in struct tcp_info
_COUNTERS = struct.Struct("=QQ")

STATES = (
    *("", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE", "CLOSE_WAIT"),
    *("LAST_ACK", "LISTEN", "CLOSING", "NEW_SYN_RECV"),
)
_LEFT_OUT = ("LISTEN", "TIME_WAIT")


def tcp_sockets(ports: Collection[int] | None = None) -> list[Socket]:
    """The IPv4 TCP sockets with one of `ports` at either end (None: all); not those that listen or wait to be gone.

    It costs 1 to 4 ms, which the kernel takes to walk its table; call it in a thread. Raises OSError.
    """
    states = sum(1 << number for number, name in enumerate(STATES) if name not in _LEFT_OUT)
    request = _REQUEST.pack(socket.AF_INET, socket.IPPROTO_TCP, 1 << (_INET_DIAG_INFO - 1), states)
    header = _HEADER.pack(_HEADER.size + len(request), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST_DUMP, 1, 0)
    wanted = None if ports is None else {port.to_bytes(2, "big") for port in ports}
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG) as netlink:
        netlink.settimeout(1.0)
        netlink.send(header + request)
        found: list[Socket] = []
        while True:
            data = netlink.recv(1 << 18)
            for kind, body in _messages(data):
                if kind == _NLMSG_DONE:
                    return found
                if kind == _NLMSG_ERROR:
                    number = -struct.unpack_from("=i", body)[0]
                    raise OSError(number, f"socket diagnosis: {os.strerror(number)}")
                if wanted is None or body[4:6] in wanted or body[6:8] in wanted:
                    found.append(_socket(body))


def owned(pid: int, ports: Collection[int]) -> list[Socket]:
    """Those of `tcp_sockets(ports)` that this process has open; it must be ours. Raises OSError."""
    inodes = owned_inodes(pid)
    return [found for found in tcp_sockets(ports) if found.inode in inodes]


def owned_inodes(pid: int) -> set[int]:
    """The inodes of all sockets that a process of ours has open; empty when it is gone."""
    inodes: set[int] = set()
    folder = f"/proc/{pid}/fd"
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return inodes
    for name in names:
        try:
            link = os.readlink(f"{folder}/{name}")
        except FileNotFoundError:
            continue
        if link.startswith("socket:["):
            inodes.add(int(link[8:-1]))
    return inodes


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while data:
        length, kind, *_ = _HEADER.unpack_from(data)
        yield kind, data[_HEADER.size : length]
        data = data[(length + 3) & ~3 :]


def _socket(body: bytes) -> Socket:
    _, state, _, sport, dport, source, target, _, _, _, _, inode = _MESSAGE.unpack_from(body)
    acked = received = 0
    rest = body[_MESSAGE.size :]
    while len(rest) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(rest)
        if kind == _INET_DIAG_INFO and length >= _ATTRIBUTE.size + _COUNTERS_AT + _COUNTERS.size:
            acked, received = _COUNTERS.unpack_from(rest, _ATTRIBUTE.size + _COUNTERS_AT)
        rest = rest[max((length + 3) & ~3, _ATTRIBUTE.size) :]
    return Socket(_address(source, sport), _address(target, dport), STATES[state], inode, received, acked)


def _address(address: bytes, port: bytes) -> str:
    return f"{socket.inet_ntoa(address[:4])}:{int.from_bytes(port, 'big')}"
