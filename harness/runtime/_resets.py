"""Makes a process' TCP connections end with a reset: what it closes next is not ended cleanly but cut off.

Standard library alone, and nothing of ours, so that it also runs beside a proxy in a container. The kernel lends us the
process' sockets (pidfd_getfd(2), Linux 5.6), which needs the rights of ptrace(2): a child of ours, or CAP_SYS_PTRACE.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from collections.abc import Collection

_PIDFD_GETFD = 438  # the same number on every architecture
_LINGER_0 = struct.pack("ii", 1, 0)  # struct linger: on, for 0 s. Closing sends RST and drops what is unsent
_libc = ctypes.CDLL(None, use_errno=True)


def linger_0(pid: int, ports: Collection[int]) -> int:
    """Sets SO_LINGER 0 on each connection of `pid` with one of `ports` at either end; how many there were.

    Raises OSError: ESRCH where there is no such process, EPERM where we may not.
    """
    pidfd = os.pidfd_open(pid)
    try:
        return sum(_set(pidfd, fd, ports) for fd in _sockets(pid))
    finally:
        os.close(pidfd)


def _sockets(pid: int) -> list[int]:
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            if os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:"):
                found.append(int(name))
        except FileNotFoundError:
            continue
    return found


def _set(pidfd: int, fd: int, ports: Collection[int]) -> bool:
    ours = _libc.syscall(_PIDFD_GETFD, pidfd, fd, 0)
    if ours < 0:
        number = ctypes.get_errno()
        if number == 9:  # EBADF: it was closed meanwhile
            return False
        raise OSError(number, f"pidfd_getfd: {os.strerror(number)}")
    # Its file status flags are shared with the process: nothing here may make it blocking.
    with socket.socket(fileno=ours) as lent:
        if lent.family not in (socket.AF_INET, socket.AF_INET6) or lent.type != socket.SOCK_STREAM:
            return False
        try:
            ends = {lent.getsockname()[1], lent.getpeername()[1]}
        except OSError:
            return False  # it listens, or has ended
        if ends.isdisjoint(ports):
            return False
        lent.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
        return True
