from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable

from nats.aio.msg import Msg

from harness.load.kinds._connection import Connection
from tests.load.lab import Broker


async def until(met: Callable[[], bool], within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while not met():
        assert time.monotonic() < deadline, f"not within {within_s} s"
        await asyncio.sleep(0.02)


async def test_replies_come_to_the_inbox(server: Broker) -> None:
    heard: list[str] = []

    async def replied(message: Msg) -> None:
        heard.append(message.subject)

    async with asyncio.TaskGroup() as tasks:
        connection = Connection(server.url, {}, name="test", replied=replied, tasks=tasks)
        assert not connection.connected
        await connection.start(10)
        assert connection.connected
        await connection.client.publish(f"{connection.inbox}.7", b"")
        await until(lambda: heard == [f"{connection.inbox}.7"], 5)
        await connection.close()
    assert not connection.connected


async def test_a_broker_that_is_not_there_keeps_nobody_waiting(server: Broker) -> None:
    server.kill()
    async with asyncio.TaskGroup() as tasks:
        connection = Connection(server.url, {}, name="test", replied=nobody, tasks=tasks)
        from_s = time.monotonic()
        await connection.start(0.5)
        assert 0.5 <= time.monotonic() - from_s < 2
        assert not connection.connected
        server.start()
        await until(lambda: connection.connected, 10)
        await connection.close()


async def test_a_client_whose_socket_does_not_empty_is_replaced(server: Broker) -> None:
    # nats.py #671: closing waits for what is not written yet, for minutes.
    async with asyncio.TaskGroup() as tasks:
        connection = Connection(server.url, {}, name="test", replied=nobody, tasks=tasks)
        await connection.start(10)
        first = connection.client
        server.signal(signal.SIGSTOP)
        for _ in range(200):
            await first.publish("nowhere", bytes(100_000))
            await asyncio.sleep(0)
        await until(lambda: connection.client is not first, 8)
        assert connection.lost > 0
        assert not connection.connected
        server.signal(signal.SIGCONT)
        await until(lambda: connection.connected, 10)
        await connection.close()


async def test_a_client_that_is_back_and_never_says_so_is_replaced(server: Broker) -> None:
    """nats-py: what its one attempt to reconnect has done, another ends before it calls anybody."""
    async with asyncio.TaskGroup() as tasks:
        connection = Connection(server.url, {}, name="test", replied=nobody, tasks=tasks)
        await connection.start(10)
        first = connection.client
        first._reconnected_cb = None
        server.kill()
        await until(lambda: not connection.connected, 5)
        server.start()
        await until(lambda: first.is_connected or connection.client is not first, 3)
        await until(lambda: connection.connected, 10)
        assert connection.client is not first
        await connection.close()


async def nobody(message: Msg) -> None:
    raise AssertionError(message)
