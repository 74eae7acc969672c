"""web and search over HTTP, in the documented and in the hardened state."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

import nats
import pytest

from tests.telhawk.conftest import Broker, Stack

SUBMIT = "/api/async-query/submit"
HUGE = json.dumps({"query": "x" * 600_000}).encode()


@pytest.fixture(params=["none", "all"])
def hardening(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def running(hardening: str, stack: Stack) -> Stack:
    url = await stack.search(TELHAWK_HARDENING=hardening)
    await stack.web(TELHAWK_HARDENING=hardening, SEARCH_URL=url)
    return stack


async def test_a_query_is_accepted_run_once_and_answered(running: Stack, broker: Broker) -> None:
    seen: list[dict[str, Any]] = []

    async def tap(message: Any) -> None:
        seen.append(json.loads(message.data))

    observer = await nats.connect(broker.url)
    await observer.subscribe("search.jobs.query", cb=tap)
    await observer.subscribe("search.results.query.*", cb=tap)
    await observer.flush()

    query_id = await running.submit("marker:run-0-7")
    assert (await running.status(query_id))["status"] in ("pending", "complete")
    answer = await running.answered(query_id)
    assert (answer["query_id"], answer["status"], answer["error"]) == (query_id, "complete", None)
    assert answer["data"]["query"] == "marker:run-0-7"
    assert (answer["data"]["total_hits"], len(answer["data"]["events"])) == (5, 5)

    await observer.flush()
    await observer.close()
    job, result = seen
    assert job == {
        "job_id": query_id,
        "query": "marker:run-0-7",
        "limit": 100,
        "reply_to": f"search.results.query.{query_id}",
    }
    assert (result["job_id"], result["success"]) == (query_id, True)
    (row,) = await running.executions()
    assert (row["marker"], row["job_id"], row["worker"]) == ("marker:run-0-7", query_id, "search-0")


async def test_the_synchronous_search_answers_at_once(running: Stack) -> None:
    body = {"query": "marker:run-0-8 severity:high", "limit": 1}
    status, answer = await running.call("POST", "/api/search", json=body)
    assert (status, answer["query"], answer["total_hits"]) == (200, body["query"], 1)
    span = {"from": "2027-01-01T00:00:00Z", "to": "2027-01-02T00:00:00Z"}
    status, answer = await running.call("POST", "/api/search", json={"query": "x", "time_range": span})
    assert (status, answer["total_hits"]) == (200, 0)


async def test_without_a_token_there_is_nothing(running: Stack) -> None:
    for authorization in ("", "Bearer", "Bearer x.y", "Basic YWRtaW46YWRtaW4=", f"{running.token}", "Bearer \udcff"):
        headers = {"Authorization": authorization}
        status, _ = await running.call("POST", SUBMIT, json={"query": "q"}, headers=headers)
        assert status == 401
        status, _ = await running.call("GET", f"/api/async-query/status/{uuid.uuid4()}", headers=headers)
        assert status == 401
    assert (await running.call("POST", "/api/auth/login", json={"username": "admin", "password": "x"}))[0] == 401


async def test_what_cannot_be_meant_is_refused(running: Stack, hardening: str) -> None:
    def kind_of(answer: Any) -> str:
        if hardening == "none":
            assert isinstance(answer, str)  # which says it to no program
            return ""
        return str(answer["type"]).removeprefix("urn:telhawk:")

    invalid, too_large = ("", "") if hardening == "none" else ("invalid-request", "too-large")

    bodies = [b"", b"{", b"\xff", b"[]", b"null", b'{"query": 5}', b'{"q": "x"}', b'{"query": "\\ud800"}', b"[" * 9000]
    for path in (SUBMIT, "/api/search"):
        for body in bodies:
            status, answer = await running.call("POST", path, data=body)
            assert (status, kind_of(answer)) == (400, invalid), body
        status, answer = await running.call("POST", path, data=HUGE)
        assert (status, kind_of(answer)) == (413, too_large)
    assert (await running.call("POST", "/api/auth/login", data=b"{"))[0] == 400
    assert (await running.call("POST", "/api/auth/login", json={"username": 1, "password": []}))[0] == 400
    assert (await running.call("GET", SUBMIT))[0] == 405
    assert (await running.call("GET", "/api/nothing"))[0] == 404
    for unknown in (str(uuid.uuid4()), "a.b", "%20", "%00", "x" * 300):
        assert (await running.call("GET", f"/api/async-query/status/{unknown}"))[0] == 404, unknown
    assert await running.executions() == []


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nplain",
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"Content-Length: many\r\n\r\n",
    ],
)
async def test_a_body_that_cannot_be_read_is_refused(running: Stack, head: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(running.url.rsplit(":", 1)[1]))
    start = f"POST {SUBMIT} HTTP/1.1\r\nHost: web\r\nAuthorization: Bearer {running.token}\r\n".encode()
    writer.write(start + head)
    status = await asyncio.wait_for(reader.readline(), 5)
    assert status.split()[1] == b"400"
    writer.close()
    await writer.wait_closed()


async def test_a_query_of_the_largest_size_passes(running: Stack) -> None:
    query = 'marker:run-0-9 "é\x01' + "x" * 400_000
    answer = await running.answered(await running.submit(query))
    assert answer["data"]["query"] == query
