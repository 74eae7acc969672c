from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from harness.runtime.sockets import owned_inodes, tcp_sockets

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Two ends of a connection; 5 bytes went one way, 3 came back."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        with socket.create_connection(server.getsockname()) as client:
            accepted, _ = server.accept()
            with accepted:
                client.sendall(b"hello")
                accepted.recv(5)
                accepted.sendall(b"bye")
                client.recv(3)
                time.sleep(0.05)  # the kernel may put off an acknowledgement by 40 ms
                yield client, accepted


def name(address: tuple[str, int]) -> str:
    return f"{address[0]}:{address[1]}"


def test_both_ends_and_their_bytes_are_told(pair: Pair) -> None:
    client, accepted = pair
    port = accepted.getsockname()[1]
    found = {one.local: one for one in tcp_sockets({port})}
    assert set(found) == {name(client.getsockname()), name(accepted.getsockname())}
    one = found[name(client.getsockname())]
    assert (one.remote, one.state) == (name(accepted.getsockname()), "ESTABLISHED")
    assert (one.acked, one.received) == (5 + 1, 3)  # one for the SYN of the end that dialled
    other = found[name(accepted.getsockname())]
    assert (other.acked, other.received) == (3, 5)
    assert {one.inode for one in found.values()} <= owned_inodes(os.getpid())
    assert set(found.values()) <= set(tcp_sockets())


def test_a_half_closed_connection_is_in_close_wait(pair: Pair) -> None:
    client, accepted = pair
    client.shutdown(socket.SHUT_WR)
    states = {one.local: one.state for one in tcp_sockets({accepted.getsockname()[1]})}
    assert states[name(accepted.getsockname())] == "CLOSE_WAIT"


def test_a_process_that_is_gone_owns_nothing() -> None:
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    assert owned_inodes(gone.pid) == set()


ORACLE = """
import sys
from pyroute2.netlink.diag import DiagSocket
from socket import AF_INET
port = int(sys.argv[1])
for one in DiagSocket().get_sock_stats(family=AF_INET, extensions=1 << 1):
    if port in (one["idiag_sport"], one["idiag_dport"]) and one["idiag_state"] == 1:
        info = one.get_attr("INET_DIAG_INFO")
        print(f"{one['idiag_src']}:{one['idiag_sport']}", info["tcpi_bytes_acked"], info["tcpi_bytes_received"])
"""


def test_it_reads_what_pyroute2_reads(pair: Pair) -> None:
    pytest.importorskip("pyroute2")
    port = pair[1].getsockname()[1]
    told = subprocess.run([sys.executable, "-c", ORACLE, str(port)], capture_output=True, text=True, check=True)
    ours = {f"{one.local} {one.acked} {one.received}" for one in tcp_sockets({port})}
    assert set(told.stdout.splitlines()) == ours
