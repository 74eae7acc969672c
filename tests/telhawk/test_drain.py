"""drain: what a service that is told to stop finishes and gives back, and what it drops without the measure."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import time
from contextlib import suppress

import aiohttp
import nats
import pytest
from aiohttp import web

from telhawk.problems import serving
from telhawk.search.worker import AT_ONCE
from tests.telhawk.conftest import Broker, FakeStore, Stack, free_port, until

IN_HAND = 8
GRACE_S = 10
"""What a service is promised to end within, told to stop."""


async def in_hand(stack: Stack, store: FakeStore, hardening: str) -> tuple[asyncio.subprocess.Process, list[str]]:
    """A worker of its own with work in hand, whose store does not answer yet."""
    worker = await worker_process(stack, store, hardening)
    await stack.web(TELHAWK_HARDENING=hardening)
    store.go.clear()
    query_ids = [await stack.submit(f"marker:held-{n}") for n in range(IN_HAND)]
    await asked(store, IN_HAND)
    return worker, query_ids


async def worker_process(stack: Stack, store: FakeStore, hardening: str) -> asyncio.subprocess.Process:
    told = {"REPLICA": "search-0", "EVENTSTORE_URL": store.url, "TELHAWK_HARDENING": hardening}
    return await stack.process("search", PORT=str(free_port()), **told)


async def asked(store: FakeStore, count: int) -> None:
    async def enough() -> bool:
        return len(store.asked) >= count

    await until(enough)


def by(store: FakeStore, replica: str) -> list[dict[str, str]]:
    return [headers for headers in store.asked if headers["X-Worker"] == replica]


@pytest.mark.parametrize("hardening", ["drain", "jetstream,acks,drain", "all"])
async def test_a_worker_finishes_what_it_has_in_hand_and_begins_nothing_more(
    stack: Stack, store: FakeStore, hardening: str
) -> None:
    worker, query_ids = await in_hand(stack, store, hardening)
    await stack.search("search-1", EVENTSTORE_URL=store.url, TELHAWK_HARDENING=hardening)
    worker.send_signal(signal.SIGTERM)
    await asyncio.sleep(0.25)
    begun = len(by(store, "search-0"))
    later = [await stack.submit(f"marker:later-{n}") for n in range(IN_HAND)]

    async def taken_over() -> bool:
        return len(by(store, "search-1")) >= IN_HAND

    await until(taken_over)
    assert worker.returncode is None
    store.go.set()
    assert await asyncio.wait_for(worker.wait(), 5) == 0
    for query_id in query_ids + later:
        assert (await stack.answered(query_id))["status"] == "complete"
    assert len(by(store, "search-0")) == begun
    held = [headers for headers in store.asked if headers["X-Opaque-Id"] in query_ids]
    assert [headers["X-Attempt"] for headers in held] == ["1"] * IN_HAND
    assert len(store.asked) == 2 * IN_HAND


@pytest.mark.parametrize("hardening", ["none", "jetstream"])
async def test_without_drain_a_worker_drops_what_it_has_in_hand(stack: Stack, store: FakeStore, hardening: str) -> None:
    worker, query_ids = await in_hand(stack, store, hardening)
    await stack.search("search-1", EVENTSTORE_URL=store.url, TELHAWK_HARDENING=hardening)
    worker.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(worker.wait(), 2) == 0
    store.go.set()
    assert (await stack.answered(await stack.submit("marker:next")))["status"] == "complete"
    assert {(await stack.status(query_id))["status"] for query_id in query_ids} == {"pending"}


async def test_without_drain_the_hardened_worker_leaves_its_work_to_a_second_delivery(
    stack: Stack, store: FakeStore
) -> None:
    worker, query_ids = await in_hand(stack, store, "all,-drain")
    worker.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(worker.wait(), 2) == 0
    store.go.set()
    await stack.search("search-1", EVENTSTORE_URL=store.url)
    for query_id in query_ids:
        assert (await stack.answered(query_id))["status"] == "complete"
    assert {headers["X-Attempt"] for headers in by(store, "search-1")} == {"2"}


@pytest.mark.parametrize("hardening", ["drain", "all"])
async def test_a_full_worker_leaves_to_a_peer_what_it_cannot_begin(
    stack: Stack, store: FakeStore, hardening: str
) -> None:
    """On core NATS what waits in the client goes back to the subject; from a stream nothing more was taken."""
    worker = await worker_process(stack, store, hardening)
    await stack.web(TELHAWK_HARDENING=hardening)
    store.go.clear()
    query_ids = [await stack.submit(f"marker:{n}") for n in range(AT_ONCE + 20)]
    await asked(store, AT_ONCE)
    await stack.search("search-1", EVENTSTORE_URL=store.url, TELHAWK_HARDENING=hardening)
    worker.send_signal(signal.SIGTERM)
    await asked(store, len(query_ids))
    store.go.set()
    assert await asyncio.wait_for(worker.wait(), 5) == 0
    for query_id in query_ids:
        assert (await stack.answered(query_id))["status"] == "complete"
    assert (len(by(store, "search-0")), len(store.asked)) == (AT_ONCE, len(query_ids))


async def test_jobs_that_come_to_a_worker_that_has_stopped_go_back_at_once(stack: Stack, store: FakeStore) -> None:
    """They are delivered again long before AckWait is over."""
    worker = await worker_process(stack, store, "all")
    await stack.search("search-1", EVENTSTORE_URL=store.url, ACK_WAIT="30s")
    await stack.web()
    query_ids = []

    async def offer() -> None:
        for n in range(200):
            query_ids.append(await stack.submit(f"marker:{n}"))

    offering = asyncio.create_task(offer())
    await asked(store, 50)
    worker.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(worker.wait(), GRACE_S) == 0
    await offering
    for query_id in query_ids:
        assert (await stack.answered(query_id, within_s=5))["status"] == "complete"
    assert by(store, "search-0")
    assert by(store, "search-1")


async def test_a_worker_ends_within_its_grace_whatever_hangs(stack: Stack, store: FakeStore, broker: Broker) -> None:
    worker, _ = await in_hand(stack, store, "all")
    await broker.pause()
    start_s = time.monotonic()
    worker.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(worker.wait(), GRACE_S) == 0
    assert time.monotonic() - start_s < GRACE_S
    broker.resume()


@pytest.mark.parametrize("turns", range(6))
async def test_a_connection_that_comes_as_a_service_stops_is_closed(turns: int) -> None:
    """It is accepted, made and given a handler in one turn of the loop each."""
    port = free_port()
    with socket.socket() as client:
        client.settimeout(5)
        async with serving(web.Application(), "127.0.0.1", port):
            client.connect(("127.0.0.1", port))
            for _ in range(turns):
                await asyncio.sleep(0)
        with suppress(ConnectionResetError):
            assert client.recv(1) == b""


@pytest.mark.parametrize("hardening", ["drain", "all"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_entry_finishes_its_requests_and_accepts_no_connection(
    stack: Stack, store: FakeStore, hardening: str, number: signal.Signals
) -> None:
    search_url = await stack.search(EVENTSTORE_URL=store.url, TELHAWK_HARDENING=hardening)
    web = await stack.web_process(SEARCH_URL=search_url, TELHAWK_HARDENING=hardening)
    store.go.clear()
    request = asyncio.create_task(stack.call("POST", "/api/search", json={"query": "marker:held"}))
    await asked(store, 1)
    web.send_signal(number)
    await asyncio.sleep(0.25)
    async with aiohttp.ClientSession() as other:
        with pytest.raises(aiohttp.ClientConnectorError):
            await other.get(f"{stack.url}/api/health")
    assert web.returncode is None
    store.go.set()
    status, answer = await request
    assert (status, answer["query"]) == (200, "marker:held")
    assert await asyncio.wait_for(web.wait(), 5) == 0


@pytest.mark.parametrize("hardening", ["none", "all,-drain"])
async def test_without_drain_the_entry_ends_by_the_signal(stack: Stack, store: FakeStore, hardening: str) -> None:
    search_url = await stack.search(EVENTSTORE_URL=store.url, TELHAWK_HARDENING=hardening)
    web = await stack.web_process(SEARCH_URL=search_url, TELHAWK_HARDENING=hardening)
    store.go.clear()
    request = asyncio.create_task(stack.call("POST", "/api/search", json={"query": "marker:held"}))
    await asked(store, 1)
    web.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(web.wait(), 5) == -signal.SIGTERM
    with pytest.raises(aiohttp.ClientError):
        await request
    store.go.set()


async def test_the_entry_hands_over_what_its_client_still_keeps(stack: Stack, broker: Broker) -> None:
    """Accepted while the broker was away, which is there again within the two seconds that are waited for it."""
    web = await stack.web_process(TELHAWK_HARDENING="drain")
    observer = await nats.connect(broker.url, reconnect_time_wait=0.05, max_reconnect_attempts=-1)
    jobs = await observer.subscribe("search.jobs.query")
    await observer.flush()
    broker.kill()
    for n in range(5):
        await stack.submit(f"marker:{n}")
    await broker.start()
    await until(lambda: _true(observer.is_connected))
    web.send_signal(signal.SIGTERM)
    kept = [json.loads((await jobs.next_msg(timeout=5)).data)["query"] for _ in range(5)]
    assert kept == [f"marker:{n}" for n in range(5)]
    assert await asyncio.wait_for(web.wait(), 5) == 0
    await observer.close()


async def test_what_is_not_relayed_stays_on_disk(stack: Stack, broker: Broker) -> None:
    await stack.search()
    web = await stack.web_process()
    broker.kill()
    query_ids = [await stack.submit(f"marker:{n}") for n in range(10)]
    web.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(web.wait(), 10) == 0
    await broker.start()
    await stack.web()
    for query_id in query_ids:
        assert (await stack.answered(query_id))["status"] == "complete"
    assert len([row for row in await stack.executions() if not row.get("repeat")]) == 10


async def test_what_was_relayed_is_not_relayed_again(stack: Stack) -> None:
    """Without message ids, a job that web forgot to delete would run twice."""
    hardening = "jetstream,acks,outbox,drain"
    await stack.search(TELHAWK_HARDENING=hardening)
    web = await stack.web_process(TELHAWK_HARDENING=hardening)
    submits = [asyncio.create_task(stack.submit(f"marker:{n}")) for n in range(100)]
    await asyncio.gather(*submits)
    web.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(web.wait(), 10) == 0
    await stack.web(TELHAWK_HARDENING=hardening)

    async def all_ran() -> bool:
        return len(await stack.executions()) >= 100

    await until(all_ran)
    assert (await stack.answered(await stack.submit("marker:last")))["status"] == "complete"
    assert len(await stack.executions()) == 101


async def _true(value: bool) -> bool:
    return value
