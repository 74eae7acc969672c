"""Each measure, against a real broker."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from typing import Any

import nats
import pytest
from nats.aio.client import Client as NatsConnection

from telhawk.measures.lazy_connect import LazyClient
from telhawk.measures.monitor import MonitoredClient
from telhawk.measures.outbox import Outbox
from telhawk.messaging import Message, MessagingError, NoResponders, NotConnected
from telhawk.messaging.nats import NatsClient, NatsConfig
from telhawk.web.queries import Overloaded
from tests.telhawk.conftest import Broker, FakeStore, Link, Stack, free_port, until


@pytest.fixture
async def observer(broker: Broker) -> AsyncIterator[NatsConnection]:
    connection = await nats.connect(broker.url, reconnect_time_wait=0.1)
    yield connection
    await connection.close()


async def start(stack: Stack, hardening: str, **env: str) -> None:
    await stack.search(TELHAWK_HARDENING=hardening, **env)
    await stack.web(TELHAWK_HARDENING=hardening, **env)


async def test_jetstream_makes_the_streams_of_the_document(stack: Stack, observer: NatsConnection) -> None:
    await asyncio.gather(start(stack, "all"), stack.search("search-1"))
    js = observer.jetstream()
    jobs = (await js.stream_info("SEARCH_JOBS")).config
    assert (jobs.subjects, jobs.retention, jobs.storage) == (["search.jobs.>"], "workqueue", "file")
    assert (jobs.max_age, jobs.max_bytes, jobs.max_msgs) == (3600, 100 * 1024**2, 10_000)
    results = (await js.stream_info("SEARCH_RESULTS")).config
    assert (results.subjects, results.retention) == (["search.results.>"], "interest")
    assert results.max_bytes == 500 * 1024**2
    consumer = (await js.consumer_info("SEARCH_JOBS", "search-workers")).config
    assert (consumer.ack_policy, consumer.ack_wait, consumer.max_ack_pending) == ("explicit", 1, 100)


async def test_jetstream_keeps_jobs_for_workers_that_come_later(stack: Stack) -> None:
    await stack.web(TELHAWK_HARDENING="jetstream")
    query_id = await stack.submit("marker:early")
    assert (await stack.status(query_id))["status"] == "pending"
    await stack.search(TELHAWK_HARDENING="jetstream")
    assert (await stack.answered(query_id))["status"] == "complete"


async def test_jetstream_alone_loses_what_a_worker_had_in_hand(stack: Stack, store: FakeStore) -> None:
    await start(stack, "jetstream", EVENTSTORE_URL=store.url)
    store.go.clear()
    query_id = await stack.submit("marker:held")
    await until(lambda: _true(len(store.asked) == 1))
    await stack.stop("search-0")
    store.go.set()
    await stack.search("search-1", TELHAWK_HARDENING="jetstream", EVENTSTORE_URL=store.url)
    assert await stack.answered(await stack.submit("marker:next"))
    assert (await stack.status(query_id))["status"] == "pending"
    assert len(store.asked) == 2


async def test_acks_give_a_lost_workers_jobs_to_another(stack: Stack, store: FakeStore) -> None:
    await start(stack, "all", EVENTSTORE_URL=store.url)
    store.go.clear()
    query_ids = [await stack.submit(f"marker:held-{n}") for n in range(5)]
    await until(lambda: _true(len(store.asked) == 5))
    await stack.stop("search-0")
    store.go.set()
    await stack.search("search-1", EVENTSTORE_URL=store.url)
    for query_id in query_ids:
        assert (await stack.answered(query_id))["status"] == "complete"
    again = [headers for headers in store.asked if headers["X-Worker"] == "search-1"]
    assert {headers["X-Attempt"] for headers in again} == {"2"}
    assert {headers["Idempotency-Key"] for headers in again} == set(query_ids)


async def test_acks_leave_a_slow_job_with_its_worker(stack: Stack, store: FakeStore) -> None:
    """Three times AckWait in hand, and delivered once."""
    await start(stack, "all", EVENTSTORE_URL=store.url, ACK_WAIT="500ms")
    await stack.search("search-1", EVENTSTORE_URL=store.url, ACK_WAIT="500ms")
    store.go.clear()
    query_id = await stack.submit("marker:slow")
    await until(lambda: _true(len(store.asked) == 1))
    await asyncio.sleep(1.5)
    store.go.set()
    assert (await stack.answered(query_id))["status"] == "complete"
    assert len(store.asked) == 1


async def test_acks_try_three_times_and_then_leave_a_dead_letter(
    stack: Stack, store: FakeStore, observer: NatsConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("telhawk.measures.acks.BACKOFF_S", (0.1, 0.2))
    await start(stack, "all", EVENTSTORE_URL=store.url)
    store.status = 503
    query_id = await stack.submit("marker:doomed")
    answer = await stack.answered(query_id)
    assert (answer["status"], answer["error"]) == ("failed", "event store: status 503")
    assert [headers["X-Attempt"] for headers in store.asked] == ["1", "2", "3"]
    (letter,) = await _dead_letters(observer, 1)
    assert letter.keys() == {"timestamp", "envelope", "error", "reason", "attempts", "last_attempt"}
    assert (letter["reason"], letter["attempts"], letter["envelope"]["query"]) == ("failed", 3, "marker:doomed")


async def test_a_job_whose_result_cannot_be_kept_is_a_dead_letter_all_the_same(
    stack: Stack, observer: NatsConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bucket that is full takes nothing for an hour."""

    async def full(*_: object) -> bool:
        raise MessagingError("bucket: full")

    monkeypatch.setattr("telhawk.measures.acks.BACKOFF_S", (0.1, 0.2))
    await start(stack, "all", ACK_WAIT="300ms")
    monkeypatch.setattr("telhawk.search.worker.Worker.store", full)
    await stack.submit("marker:full")
    (letter,) = await _dead_letters(observer, 1)
    assert (letter["reason"], letter["attempts"], letter["envelope"]["query"]) == ("max_deliver", 3, "marker:full")
    assert letter["error"] == "it was taken 3 times, and what became of it never reached the broker"
    await until(lambda: _holds_no_job(observer))


async def _holds_no_job(observer: NatsConnection) -> bool:
    return (await observer.jetstream().stream_info("SEARCH_JOBS")).state.messages == 0


async def test_acks_put_what_is_no_job_aside_at_once(stack: Stack, observer: NatsConnection) -> None:
    await start(stack, "all")
    poisons = [b"marker:poison-0", b'{"query": "marker:poison-1"}', b'{"job_id": "x", "query": 5}', b"\xff" * 300_000]
    for poison in poisons:
        await observer.jetstream().publish("search.jobs.query", poison)
    assert (await stack.answered(await stack.submit("marker:healthy")))["status"] == "complete"
    letters = await _dead_letters(observer, len(poisons))
    assert {letter["reason"] for letter in letters} == {"malformed"}
    assert letters[0]["envelope"] == "marker:poison-0"
    assert letters[1]["envelope"] == {"query": "marker:poison-1"}
    assert (await observer.jetstream().stream_info("SEARCH_JOBS")).state.messages == 0


async def test_a_query_that_the_store_rejects_fails_without_a_second_try(stack: Stack, store: FakeStore) -> None:
    await start(stack, "all", EVENTSTORE_URL=store.url)
    store.status = 400
    answer = await stack.answered(await stack.submit("marker:wrong"))
    assert (answer["status"], answer["error"], len(store.asked)) == ("failed", "as told", 1)


async def test_results_outlive_web(stack: Stack) -> None:
    await start(stack, "jetstream,results")
    query_id = await stack.submit("marker:kept")
    await stack.answered(query_id)
    await stack.stop("web")
    await stack.web(TELHAWK_HARDENING="jetstream,results")
    assert (await stack.status(query_id))["data"]["query"] == "marker:kept"


async def test_what_is_pending_outlives_web_and_what_is_unknown_is_not_pending(stack: Stack) -> None:
    await stack.web(TELHAWK_HARDENING="jetstream,results")
    query_id = await stack.submit("marker:waits")
    await stack.stop("web")
    await stack.web(TELHAWK_HARDENING="jetstream,results")
    assert (await stack.status(query_id))["status"] == "pending"
    assert (await stack.status("unknown"))["status"] == "http 404"


async def test_results_say_so_when_the_bucket_cannot_be_read(stack: Stack, broker: Broker) -> None:
    await start(stack, "jetstream,results,errors")
    query_id = await stack.submit("marker:kept")
    await stack.answered(query_id)
    await broker.pause()
    start_s = asyncio.get_running_loop().time()
    seen = await stack.status(query_id)
    assert (seen["status"], seen["answer"]["type"]) == ("http 503", "urn:telhawk:results-unavailable")
    assert asyncio.get_running_loop().time() - start_s < 2
    broker.resume()
    assert (await stack.answered(query_id))["status"] == "complete"


async def test_without_results_they_are_gone_with_web(stack: Stack) -> None:
    await start(stack, "jetstream")
    query_id = await stack.submit("marker:gone")
    await stack.answered(query_id)
    await stack.stop("web")
    await stack.web(TELHAWK_HARDENING="jetstream")
    assert (await stack.status(query_id))["status"] == "http 404"


async def test_dedup_answers_a_job_that_comes_twice_once(stack: Stack, observer: NatsConnection) -> None:
    results: list[bytes] = []

    async def tap(message: Any) -> None:
        results.append(message.data)

    await start(stack, "all")
    await observer.subscribe("search.results.query.*", cb=tap)
    query_id = await stack.submit("marker:twice")
    first = await stack.answered(query_id)
    job = json.dumps({"job_id": query_id, "query": "marker:twice"}).encode()
    repeated = await observer.jetstream().publish("search.jobs.query", job, headers={"Nats-Msg-Id": query_id})
    assert repeated.duplicate
    await observer.jetstream().publish("search.jobs.query", job)
    rows = await until(lambda: _at_least(stack, 2))
    assert [row.get("repeat", False) for row in rows] == [False, True]
    assert await stack.answered(await stack.submit("marker:after"))
    assert await stack.answered(query_id) == first
    assert [json.loads(data)["query"] for data in results] == ["marker:twice", "marker:after"]


async def test_without_dedup_it_runs_twice(stack: Stack, observer: NatsConnection) -> None:
    await start(stack, "all,-dedup")
    query_id = await stack.submit("marker:twice")
    await stack.answered(query_id)
    job = json.dumps({"job_id": query_id, "query": "marker:twice"}).encode()
    await observer.jetstream().publish("search.jobs.query", job)
    rows = await until(lambda: _at_least(stack, 2))
    assert [row.get("repeat", False) for row in rows] == [False, False]


async def test_the_outbox_accepts_without_a_broker_and_survives_a_crash(stack: Stack, broker: Broker) -> None:
    await start(stack, "all")
    broker.kill()
    query_ids = [await stack.submit(f"marker:out-{n}") for n in range(20)]
    assert {(await stack.status(query_id))["status"] for query_id in query_ids} == {"pending"}
    await stack.stop("web")
    await broker.start()
    await stack.web()
    for query_id in query_ids:
        assert (await stack.answered(query_id))["status"] == "complete"
    assert len([row for row in await stack.executions() if not row.get("repeat")]) == 20


async def test_a_full_outbox_refuses_by_type_and_says_when_to_come_back(stack: Stack, broker: Broker) -> None:
    await start(stack, "all", OUTBOX_LIMIT="3")
    broker.kill()
    query_ids = [await stack.submit(f"marker:full-{n}") for n in range(3)]
    async with stack.http.post(
        f"{stack.url}/api/async-query/submit",
        json={"query": "marker:over"},
        headers={"Authorization": f"Bearer {stack.token}"},
    ) as response:
        assert (response.status, response.content_type) == (503, "application/problem+json")
        assert response.headers["Retry-After"] == "1"
        assert (await response.json())["type"] == "urn:telhawk:overloaded"
    await broker.start()
    for query_id in query_ids:
        await stack.answered(query_id)
    await stack.answered(await stack.submit("marker:again"))


async def test_the_outbox_refuses_when_the_disk_does_and_goes_on_after(stack: Stack, broker: Broker) -> None:
    client = await NatsClient.connect(NatsConfig(broker.url))
    delivered: list[str] = []

    async def deliver(job_id: str, job: bytes) -> None:
        delivered.append(job_id)

    path = str(stack.folder / "own.db")
    outbox = await Outbox.open(path, 10, client, deliver)
    with sqlite3.connect(path) as other:
        other.execute("CREATE TRIGGER full BEFORE INSERT ON jobs BEGIN SELECT RAISE(FAIL, 'disk is full'); END")
    with pytest.raises(Overloaded, match="disk is full"):
        await outbox.submit("a", b"{}")
    other.execute("DROP TRIGGER full")
    other.commit()
    relaying = asyncio.create_task(outbox.run())
    await asyncio.gather(*(outbox.submit(str(n), b"{}") for n in range(10)))
    await until(lambda: _true(len(delivered) == 10))
    await until(lambda: _true(other.execute("SELECT COUNT(*) FROM jobs").fetchone() == (0,)))
    relaying.cancel()
    await asyncio.wait({relaying})
    outbox.close()
    other.close()
    await client.close()


async def test_the_outbox_works_without_a_stream(stack: Stack) -> None:
    await start(stack, "outbox")
    assert (await stack.answered(await stack.submit("marker:plain")))["status"] == "complete"


@pytest.mark.parametrize("how", ["silent", "frozen", "cut"])
async def test_the_monitor_replaces_a_client_that_does_not_answer(
    broker: Broker, observer: NatsConnection, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr("telhawk.measures.monitor.EVERY_S", 0.1)
    monkeypatch.setattr("telhawk.measures.monitor.ANSWERS_WITHIN_S", 0.2)
    monkeypatch.setattr("telhawk.measures.monitor.CONNECTS_WITHIN_S", 0.3)
    got: list[bytes] = []

    async def handler(message: Message) -> None:
        got.append(message.data)

    async with Link(broker.port) as link, asyncio.TaskGroup() as tasks:
        client = await MonitoredClient.start(NatsConfig(f"nats://127.0.0.1:{link.port}"), tasks)
        await client.subscribe("here", handler)
        before = await client.connected()
        with pytest.raises(NoResponders):  # makes the inbox that a client keeps for answers
            await client.request("nobody", b"", within_s=1)
        running = len(asyncio.all_tasks())

        link.dropping = how == "silent"
        if how == "frozen":
            link.freeze()
        if how == "cut":
            link.cut()
        asked = asyncio.create_task(client.request("nobody", b"", within_s=60))
        await until(lambda: _true(not client.is_connected() or client.connection() is not before))
        if how != "cut":
            with pytest.raises(NotConnected):
                await client.publish("here", b"lost")
        link.dropping = False
        link.thaw()
        if how == "silent":
            link.cut()
        assert await asyncio.wait_for(client.connected(), 5) is not before
        with pytest.raises(MessagingError):  # not a minute later
            await asyncio.wait_for(asked, 1)

        await observer.publish("here", b"after")
        await observer.flush()
        await until(lambda: _true(got == [b"after"]))
        assert before.is_closed
        await until(lambda: _true(len(asyncio.all_tasks()) <= running))
        await client.close()


async def test_a_client_that_the_monitor_watches_does_not_start_without_a_broker() -> None:
    async with asyncio.TaskGroup() as tasks:
        with pytest.raises(NotConnected, match="Connect call failed"):
            await MonitoredClient.start(NatsConfig(f"nats://127.0.0.1:{free_port()}"), tasks)


async def test_a_paused_broker_is_noticed_and_nothing_is_lost(stack: Stack, broker: Broker) -> None:
    await start(stack, "all")
    await stack.answered(await stack.submit("marker:before"))
    await broker.pause()
    query_ids = [await stack.submit(f"marker:paused-{n}") for n in range(10)]
    await asyncio.sleep(3.5)
    broker.resume()
    for query_id in query_ids:
        assert (await stack.answered(query_id, within_s=5))["status"] == "complete"
    assert len([row for row in await stack.executions() if not row.get("repeat")]) == 11


async def test_messages_that_cannot_be_published_are_errors(broker: Broker) -> None:
    client = await NatsClient.connect(NatsConfig(broker.url, pending_bytes=100))
    broker.kill()
    await until(lambda: _true(not client.is_connected()))
    with pytest.raises(MessagingError):
        await client.publish("x", b"x" * 200)
    await client.close()


async def _true(value: bool) -> bool:
    return value


async def _at_least(stack: Stack, count: int) -> list[dict[str, Any]]:
    rows = await stack.executions()
    return rows if len(rows) >= count else []


async def _dead_letters(observer: NatsConnection, count: int) -> list[dict[str, Any]]:
    js = observer.jetstream()
    await until(lambda: _holds(observer, count))
    letters = [await js.get_msg("SEARCH_DLQ", seq=n + 1) for n in range(count)]
    return [json.loads(letter.data or b"") for letter in letters]


async def _holds(observer: NatsConnection, count: int) -> bool:
    return (await observer.jetstream().stream_info("SEARCH_DLQ")).state.messages == count


async def test_lazy_connect_starts_without_a_broker_and_works_once_it_is_there(stack: Stack, broker: Broker) -> None:
    broker.kill()
    await start(stack, "all")
    query_id = await stack.submit("marker:early")
    assert (await stack.status(query_id))["status"] == "pending"
    await broker.start()
    assert (await stack.answered(query_id))["status"] == "complete"
    assert (await stack.answered(await stack.submit("marker:late")))["status"] == "complete"


async def test_lazy_connect_makes_what_waits_before_it_says_that_it_is_connected(broker: Broker) -> None:
    broker.kill()
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def hear(message: Message) -> None:
        heard.put_nowait(message.data)

    async with asyncio.TaskGroup() as tasks:
        client = LazyClient(lambda: NatsClient.connect(NatsConfig(url=broker.url)), tasks)
        await client.subscribe("early", hear)
        with pytest.raises(NotConnected):
            await client.publish("early", b"nobody keeps this")
        await broker.start()
        await client.connected()
        await client.publish("early", b"heard")
        async with asyncio.timeout(5):
            assert await heard.get() == b"heard"
        await client.close()
