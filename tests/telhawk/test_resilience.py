"""The whole stack under the faults that the first measures are for, and what is lost without them."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import nats
import pytest

import telhawk
from telhawk.messaging.health import check_client_health
from telhawk.messaging.nats import NatsClient, NatsConfig, deadline
from tests.telhawk.conftest import Broker, Link, Stack, free_port, until


async def test_hardened_a_broker_that_is_killed_costs_nothing(stack: Stack, broker: Broker) -> None:
    for replica in ("search-0", "search-1"):
        await stack.search(replica)
    await stack.web()
    query_ids = []
    for n in range(40):
        query_ids.append(await stack.submit(f"marker:{n}"))
        if n == 10:
            broker.kill()
        if n == 30:
            await broker.start()
    for query_id in query_ids:
        assert (await stack.answered(query_id))["status"] == "complete"
    first = [row["marker"] for row in await stack.executions() if not row.get("repeat")]
    assert sorted(first) == sorted(f"marker:{n}" for n in range(40))


async def test_hardened_a_link_of_web_that_is_silent_costs_nothing(stack: Stack, broker: Broker) -> None:
    await stack.search()
    async with Link(broker.port) as link:
        await stack.web(NATS_URL=f"nats://127.0.0.1:{link.port}")
        link.dropping = True
        query_ids = [await stack.submit(f"marker:{n}") for n in range(20)]
        await asyncio.sleep(3.5)
        link.dropping = False
        link.cut()
        for query_id in query_ids:
            assert (await stack.answered(query_id, within_s=5))["status"] == "complete"
        await stack.stop("web")
    assert len([row for row in await stack.executions() if not row.get("repeat")]) == 20


async def test_documented_a_broker_that_is_killed_costs_what_was_buffered(stack: Stack, broker: Broker) -> None:
    """web comes back before search does, and publishes to nobody what it had answered with 202."""
    async with Link(broker.port) as link:
        await stack.search(TELHAWK_HARDENING="none", NATS_URL=f"nats://127.0.0.1:{link.port}")
        await stack.web(TELHAWK_HARDENING="none")
        await stack.answered(await stack.submit("marker:before"))
        broker.kill()
        query_ids = [await stack.submit(f"marker:{n}") for n in range(10)]
        link.freeze()
        await broker.start()

        observer = await nats.connect(broker.url)
        published = await observer.subscribe("search.jobs.query")
        for _ in query_ids:
            await published.next_msg(timeout=10)
        await observer.close()
        link.thaw()

        async def works_again() -> bool:
            await stack.submit("marker:probe")
            return "marker:probe" in {row["marker"] for row in await stack.executions()}

        await until(works_again)
        assert {(await stack.status(query_id))["status"] for query_id in query_ids[:10]} == {"pending"}
        await stack.stop("search-0")


async def test_documented_search_does_not_start_without_a_broker() -> None:
    ended = await _start("search", NATS_URL=f"nats://127.0.0.1:{free_port()}", PORT=str(free_port()))
    output, _ = await asyncio.wait_for(ended.communicate(), 20)
    assert ended.returncode == 1
    assert b"search: " in output


async def test_documented_web_goes_on_without_asynchronous_queries(stack: Stack) -> None:
    port = free_port()
    nats_url = f"nats://127.0.0.1:{free_port()}"
    auth = stack.env["AUTHENTICATE_SERVICE_URL"]
    process = await _start("web", NATS_URL=nats_url, PORT=str(port), AUTHENTICATE_SERVICE_URL=auth)
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 20)
    assert line.startswith(f"Warning: Failed to connect to NATS at {nats_url}: ".encode())
    assert await process.stdout.readline() == b"Async query support will be disabled\n"

    stack.url = f"http://127.0.0.1:{port}"

    async def listens() -> bool:
        try:
            stack.token = (
                await stack.call("POST", "/api/auth/login", json={"username": "admin", "password": "admin"})
            )[1]["access_token"]
        except OSError:
            return False
        return True

    await until(listens)
    answer = await stack.call("POST", "/api/async-query/submit", json={"query": "q"})
    assert answer == (503, "async query support is disabled")
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == -signal.SIGTERM


async def test_documented_search_ends_at_once_when_told_to(broker: Broker) -> None:
    port = free_port()
    process = await _start("search", NATS_URL=broker.url, PORT=str(port))

    async def listens() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        return True

    await until(listens, within_s=20)
    process.send_signal(signal.SIGTERM)
    output, _ = await asyncio.wait_for(process.communicate(), 5)
    assert (process.returncode, output) == (0, b"")


async def test_the_health_check_forgives_an_error_while_the_client_says_connected(broker: Broker) -> None:
    assert (await check_client_health(None)).error == "client is nil"
    client = await NatsClient.connect(NatsConfig(broker.url))
    healthy = await check_client_health(client)
    assert (healthy.connected, healthy.error) == (True, "")
    await broker.pause()
    forgiven = await check_client_health(client)
    assert (forgiven.connected, forgiven.error) == (True, "")
    assert forgiven.latency_s > 1
    broker.resume()
    await client.close()


@pytest.mark.parametrize("within_s", [0.3])
async def test_connecting_to_a_link_that_says_nothing_ends(broker: Broker, within_s: float) -> None:
    async with Link(broker.port) as link:
        link.freeze()
        with pytest.raises(Exception, match="no answer in time"):
            await NatsClient.connect(NatsConfig(f"nats://127.0.0.1:{link.port}", connect_within_s=within_s))


async def _start(service: str, **env: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        f"telhawk.{service}",
        env={"TELHAWK_HARDENING": "none", **env},
        cwd=Path(telhawk.__file__).parent.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


async def test_a_cancellation_that_comes_along_with_the_answer_is_obeyed() -> None:
    answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def ask() -> None:
        async with deadline(5):
            await asyncio.wait_for(answer, 5)

    asking = asyncio.create_task(ask())
    await asyncio.sleep(0.01)
    answer.set_result(None)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
