"""retry, breaker, downstream: what each does where the other side is away, slow or silent, and what is without it."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from telhawk.circuit import FAILURES
from telhawk.problems import serving
from tests.stopping import stand_still
from tests.telhawk.conftest import Broker, FakeStore, Link, Stack, free_port, until

SUBMIT, SEARCH = "/api/async-query/submit", "/api/search"
QUERY = {"query": "marker:x"}


class Timed:
    """An answer of web, and when it was asked for and given."""

    def __init__(self, status: int, answer: Any, begun_s: float) -> None:
        self.status, self.answer, self.begun_s, self.ended_s = status, answer, begun_s, time.monotonic()
        self.took_s = self.ended_s - begun_s


async def timed(stack: Stack, method: str, path: str, **given: Any) -> Timed:
    begun_s = time.monotonic()
    status, answer = await stack.call(method, path, **given)
    return Timed(status, answer, begun_s)


@pytest.fixture
async def link(broker: Broker) -> AsyncIterator[Link]:
    async with Link(broker.port) as between:
        yield between


@pytest.fixture
async def other_broker(tmp_path: Path) -> AsyncIterator[Broker]:
    folder = tmp_path / "other"
    folder.mkdir()
    other = Broker(folder)
    await other.start()
    yield other
    other.kill()


@pytest.mark.parametrize(("hardening", "status"), [("jetstream,monitor,retry", 202), ("jetstream,monitor", 500)])
async def test_retry_publishes_past_a_connection_that_is_lost(
    stack: Stack, link: Link, hardening: str, status: int
) -> None:
    await stack.web(TELHAWK_HARDENING=hardening, NATS_URL=f"nats://127.0.0.1:{link.port}")
    link.cut()

    async def one() -> int:
        return (await stack.call("POST", SUBMIT, json=QUERY))[0]

    assert status in await asyncio.gather(*(one() for _ in range(5)))
    if status == 202:
        assert await one() == 202
    await stack.stop("web")


@pytest.mark.parametrize("hardening", ["retry,errors", "none"])
async def test_retry_gives_up_before_a_user_does(stack: Stack, broker: Broker, hardening: str) -> None:
    """On core NATS a publish fails once the client's buffer is full."""
    await stack.web(TELHAWK_HARDENING=hardening)
    broker.kill()
    large = {"query": "x" * 500_000}

    async def refused() -> Timed | None:
        seen = await timed(stack, "POST", SUBMIT, json=large)
        return seen if seen.status != 202 else None

    seen = await until(refused)
    if hardening == "none":
        assert (seen.status, seen.took_s < 0.5) == (500, True)
        assert seen.answer.startswith("failed to submit query: publish to search.jobs.query: ")
    else:
        assert (seen.status, 0.3 < seen.took_s < 2) == (503, True)
        assert seen.answer["type"] == "urn:telhawk:broker-unavailable"


@pytest.mark.parametrize(("retry", "expected"), [(",retry", "pending"), ("", "http 503")])
async def test_retry_reads_statuses_past_a_connection_that_is_lost(
    stack: Stack, link: Link, retry: str, expected: str
) -> None:
    hardening = f"jetstream,results,monitor{retry}"
    await stack.web(TELHAWK_HARDENING=hardening, NATS_URL=f"nats://127.0.0.1:{link.port}")
    query_id = await stack.submit("marker:x")
    link.cut()
    seen = [answer["status"] for answer in await asyncio.gather(*(stack.status(query_id) for _ in range(3)))]
    assert expected in seen
    await stack.stop("web")


async def test_retry_of_a_synchronous_search_is_told_by_its_key(stack: Stack) -> None:
    """A try that failed may have run, so that each has the id of the first."""
    keys: list[str] = []

    async def search(request: web.Request) -> web.Response:
        keys.append(request.headers.get("Idempotency-Key", ""))
        if len(keys) < 3:
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({"query": "marker:x"})

    app = web.Application()
    app.router.add_post("/api/v1/search", search)
    port = free_port()
    async with serving(app, "127.0.0.1", port):
        await stack.web(SEARCH_URL=f"http://127.0.0.1:{port}")
        assert (await stack.call("POST", SEARCH, json=QUERY))[0] == 200
        assert (len(keys), len(set(keys))) == (3, 1)
        assert keys[0]
        await stack.stop("web")
        keys.clear()
        await stack.web(SEARCH_URL=f"http://127.0.0.1:{port}", TELHAWK_HARDENING="all,-retry")
        assert (await stack.call("POST", SEARCH, json=QUERY))[0] == 503


async def test_a_repeated_synchronous_search_has_one_effect(stack: Stack) -> None:
    url = await stack.search()
    for _ in range(2):
        headers = {"Idempotency-Key": "key-1"}
        async with stack.http.post(f"{url}/api/v1/search", json=QUERY, headers=headers) as response:
            assert response.status == 200
    assert [row.get("repeat", False) for row in await stack.executions()] == [False, True]


@pytest.mark.parametrize(
    ("hardening", "expected"),
    [
        ("all", (422, "application/problem+json", "urn:telhawk:idempotency-key-reused")),
        ("all,-errors", (422, "text/plain", "key-1 was given to another query")),
        ("none", (200, "application/json", "marker:other")),
    ],
)
async def test_a_key_is_for_one_query_whichever_replica_is_asked(
    stack: Stack, hardening: str, expected: tuple[int, str, str]
) -> None:
    urls = [await stack.search(f"search-{n}", TELHAWK_HARDENING=hardening) for n in range(2)]
    seen = []
    for url, text in ((urls[0], "marker:x"), (urls[1], "marker:other"), (urls[1], "marker:x")):
        body, headers = {"query": text}, {"Idempotency-Key": "key-1"}
        async with stack.http.post(f"{url}/api/v1/search", json=body, headers=headers) as response:
            seen.append((response.status, response.content_type, await response.text()))
    first, other, again = seen
    assert other[:2] == expected[:2]
    assert expected[2] in other[2]
    assert (first[0], again[0]) == (200, 200)
    markers = [row["marker"] for row in await stack.executions()]
    assert ("marker:other" in markers) == (hardening == "none")


@pytest.mark.parametrize("hardening", ["jetstream,monitor,breaker,errors", "all,-outbox"])
async def test_the_breaker_refuses_at_once_and_closes_when_the_broker_is_back(
    stack: Stack, broker: Broker, hardening: str
) -> None:
    await stack.web(TELHAWK_HARDENING=hardening)
    await stack.submit("marker:before")
    await broker.pause()
    first = await asyncio.gather(*(timed(stack, "POST", SUBMIT, json=QUERY) for _ in range(FAILURES)))
    assert {seen.status for seen in first} == {503}
    refused = [await timed(stack, "POST", SUBMIT, json=QUERY) for _ in range(20)]
    assert {seen.answer["type"] for seen in refused} == {"urn:telhawk:broker-unavailable"}
    assert all("not tried" in seen.answer["detail"] for seen in refused if seen.took_s < 0.5)
    assert sorted(seen.took_s for seen in refused)[-3] < 0.05  # but for probes
    broker.resume()

    async def accepted() -> bool:
        return (await stack.call("POST", SUBMIT, json=QUERY))[0] == 202

    await until(accepted, within_s=5)


async def test_without_the_breaker_each_publish_is_tried(stack: Stack, broker: Broker) -> None:
    await stack.web(TELHAWK_HARDENING="all,-outbox,-breaker")
    await broker.pause()
    for _ in range(2):
        seen = await asyncio.gather(*(timed(stack, "POST", SUBMIT, json=QUERY) for _ in range(FAILURES)))
        assert min(one.took_s for one in seen) > 0.3
    broker.resume()


@pytest.mark.parametrize("hardening", ["jetstream,results,breaker,errors", "all"])
async def test_the_breaker_is_on_status_reads_too(stack: Stack, broker: Broker, hardening: str) -> None:
    await stack.web(TELHAWK_HARDENING=hardening)
    query_id = await stack.submit("marker:x")

    async def relayed() -> bool:
        return bool((await stack.status(query_id))["status"] == "pending")

    await until(relayed)
    await asyncio.sleep(0.5)  # so that it has left the outbox
    await broker.pause()
    path = f"/api/async-query/status/{query_id}"
    first = await asyncio.gather(*(timed(stack, "GET", path) for _ in range(FAILURES)))
    assert {seen.status for seen in first} == {503}
    seen = [await timed(stack, "GET", path) for _ in range(20)]
    assert {one.answer["type"] for one in seen} == {"urn:telhawk:results-unavailable"}
    assert sorted(one.took_s for one in seen)[-3] < 0.05
    broker.resume()
    await until(relayed, within_s=5)


async def test_accepted_work_waits_for_the_breaker_and_goes_on(stack: Stack, broker: Broker) -> None:
    """The relay of an outbox is refused nothing: it waits, and goes on as soon as a probe came through."""
    await stack.search()
    await stack.web()
    await stack.answered(await stack.submit("marker:before"))
    await broker.pause()
    query_ids = [await stack.submit(f"marker:{n}") for n in range(40)]
    await asyncio.sleep(4)
    broker.resume()
    for query_id in query_ids:
        assert (await stack.answered(query_id, within_s=5))["status"] == "complete"


async def asking(stack: Stack, seconds: float, every_s: float) -> list[Timed]:
    """Synchronous searches, one every `every_s`, whatever the earlier ones do."""
    tasks = []
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        tasks.append(asyncio.create_task(timed(stack, "POST", SEARCH, json=QUERY)))
        await asyncio.sleep(every_s)
    return await asyncio.gather(*tasks)


@pytest.mark.parametrize("hardening", ["downstream,errors", "all"])
async def test_a_paused_search_stalls_nothing(stack: Stack, other_broker: Broker, hardening: str) -> None:
    """The one that is paused takes no jobs off this broker: core NATS would lose them with it."""
    port = str(free_port())
    paused = await stack.process("search", PORT=port, NATS_URL=other_broker.url, TELHAWK_HARDENING="none")
    await stack.search("search-1", TELHAWK_HARDENING=hardening)
    await stack.web(TELHAWK_HARDENING=hardening, SEARCH_URL=f"http://127.0.0.1:{port}")
    assert (await stack.call("POST", SEARCH, json=QUERY))[0] == 200
    stand_still(paused.pid)
    asked = asyncio.create_task(asking(stack, 4.5, 0.05))
    for n in range(20):
        query_id = await stack.submit(f"marker:{n}")
        assert (await stack.answered(query_id, within_s=1))["status"] == "complete"
        await asyncio.sleep(0.1)
    seen = await asked
    assert {one.status for one in seen} == {503}
    assert {one.answer["type"] for one in seen} == {"urn:telhawk:search-unavailable"}
    assert max(one.took_s for one in seen) < 2.5  # a search is given 1.75 s; it is away for more than four
    opened_s = sorted(one.ended_s for one in seen if one.took_s > 1)[FAILURES - 1]
    later = [one for one in seen if one.begun_s > opened_s]
    probes = [one for one in later if one.took_s > 1]
    refused = sorted(one.took_s for one in later if one.took_s <= 1)
    assert len(refused) > 20
    assert refused[int(0.9 * len(refused))] < 0.05
    assert probes
    assert all(second.begun_s > first.ended_s for first, second in pairwise(probes))
    paused.send_signal(signal.SIGCONT)

    async def works() -> bool:
        return (await stack.call("POST", SEARCH, json=QUERY))[0] == 200

    await until(works, within_s=5)


async def test_without_downstream_a_paused_search_holds_whoever_asks(stack: Stack) -> None:
    port = str(free_port())
    paused = await stack.process("search", PORT=port, TELHAWK_HARDENING="none")
    await stack.web(TELHAWK_HARDENING="none", SEARCH_URL=f"http://127.0.0.1:{port}")
    stand_still(paused.pid)
    timeout = aiohttp.ClientTimeout(total=3)
    held = [asyncio.create_task(stack.call("POST", SEARCH, json=QUERY, timeout=timeout)) for _ in range(10)]
    ended = await asyncio.gather(*held, return_exceptions=True)
    assert {type(one) for one in ended} <= {TimeoutError, aiohttp.ServerTimeoutError}
    paused.send_signal(signal.SIGCONT)


async def test_more_calls_than_may_be_are_refused_at_once(stack: Stack, store: FakeStore) -> None:
    url = await stack.search(EVENTSTORE_URL=store.url)
    await stack.web(SEARCH_URL=url)
    store.go.clear()
    seen = await asyncio.gather(*(timed(stack, "POST", SEARCH, json=QUERY) for _ in range(80)))
    refused = [one for one in seen if one.answer["type"] == "urn:telhawk:overloaded"]
    assert len(refused) == 80 - 64, Counter((one.status, one.answer["type"], round(one.took_s, 1)) for one in seen)
    assert {one.status for one in refused} == {503}
    assert max(one.took_s for one in refused) < 1
    assert len(store.asked) <= 64
    store.go.set()


@pytest.mark.parametrize("hardening", ["jetstream,acks,downstream", "all"])
async def test_a_slow_event_store_opens_nothing(stack: Stack, store: FakeStore, hardening: str) -> None:
    """A second more for each answer, with more work in hand than it takes failures to open a circuit."""
    url = await stack.search(EVENTSTORE_URL=store.url, TELHAWK_HARDENING=hardening)
    await stack.web(SEARCH_URL=url, TELHAWK_HARDENING=hardening)
    store.takes_s = 1.0
    query_ids = [await stack.submit(f"marker:{n}") for n in range(100)]
    asked = await asking(stack, 2, 0.1)
    assert {one.status for one in asked} == {200}
    for query_id in query_ids:
        assert (await stack.answered(query_id))["status"] == "complete"
    assert len(store.asked) == 100 + len(asked)


@pytest.mark.parametrize("hardening", ["jetstream,acks,downstream", "all"])
async def test_an_event_store_that_is_away_for_four_seconds_is_survived(
    stack: Stack, store: FakeStore, hardening: str
) -> None:
    async with Link(int(store.url.rsplit(":", 1)[1])) as link:
        port = link.port
        await stack.search(EVENTSTORE_URL=f"http://127.0.0.1:{port}", TELHAWK_HARDENING=hardening)
        await stack.web(TELHAWK_HARDENING=hardening)
    away_since_s = time.monotonic()
    query_ids = []
    while time.monotonic() < away_since_s + 4:
        query_ids.append(await stack.submit("marker:x"))
        await asyncio.sleep(0.05)
    store.asked.clear()
    async with Link(int(store.url.rsplit(":", 1)[1]), port):  # where the other was
        for query_id in query_ids:
            assert (await stack.answered(query_id))["status"] == "complete"
    assert max(int(headers["X-Attempt"]) for headers in store.asked) <= 3
