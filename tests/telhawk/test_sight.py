"""logging, metrics, health and correlation, against a real broker, and what there is without them."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import nats
import pytest
from nats.aio.client import Client as NatsConnection
from prometheus_client.parser import text_string_to_metric_families

from telhawk import events
from telhawk.measures.logging import Lines, Log
from tests.telhawk.conftest import Broker, FakeStore, Link, Stack, settings, until

POISONS = (b'{"job_id": "\\u001b[31m\\n\\u009b\\u2028<b>", "query": "q"}', b"[1, \x1b[31m\n\xff")


@pytest.fixture
async def observer(broker: Broker) -> AsyncIterator[NatsConnection]:
    connection = await nats.connect(broker.url, reconnect_time_wait=0.1)
    yield connection
    await connection.close()


class Output:
    """What the services have written to stdout so far."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture
        self._text = ""

    def text(self) -> str:
        self._text += self._capture.readouterr().out
        return self._text

    def lines(self, **wanted: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.text().splitlines()]
        return [line for line in lines if wanted.items() <= line.items()]

    async def line(self, **wanted: str) -> dict[str, Any]:
        async def there() -> list[dict[str, Any]]:
            return self.lines(**wanted)

        found: list[dict[str, Any]] = await until(there)
        return found[0]

    async def says(self, text: str, times: int = 1) -> None:
        async def said() -> bool:
            return self.text().splitlines().count(text) >= times

        await until(said)


@pytest.fixture
def output(capsys: pytest.CaptureFixture[str]) -> Output:
    return Output(capsys)


async def start(stack: Stack, hardening: str, **env: str) -> str:
    told = {"TELHAWK_HARDENING": hardening, **env}
    search = await stack.search(**told)
    await stack.web(REPLICA="web-0", **told)
    return search


async def metrics(stack: Stack, url: str) -> dict[str, float]:
    async with stack.http.get(f"{url}/metrics", timeout=1) as response:  # type: ignore[arg-type]
        assert response.status == 200
        text = await response.text()
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return {"/".join((sample.name, *sample.labels.values())): sample.value for sample in samples}


async def ready(stack: Stack, url: str) -> int:
    async with asyncio.timeout(1), stack.http.get(url) as response:
        await response.read()
        return response.status


# ---- logging ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hardening", ["all", "logging"])
async def test_a_connection_that_is_lost_and_comes_back_is_two_lines(
    stack: Stack, broker: Broker, output: Output, hardening: str
) -> None:
    await start(stack, hardening)
    for service in ("web", "search") if hardening == "all" else ():  # else it listens once it is connected
        await output.line(kind="connected", service=service)
    broker.kill()
    killed = datetime.now(UTC)
    for service, replica in (("web", "web-0"), ("search", "search-0")):
        lost = await output.line(kind="lost", service=service)
        assert (lost["level"], lost["replica"], lost["connection"]) == ("warning", replica, f"telhawk-{service}")
        assert lost["event"].startswith("NATS disconnected: ")
        assert abs(datetime.fromisoformat(lost["time"]) - killed) < timedelta(seconds=1)
    await broker.start()
    for service in ("web", "search"):
        returned = await output.line(kind="returned", service=service)
        assert (returned["level"], returned["event"]) == ("info", "NATS reconnected")
    assert len(output.lines(kind="lost")) == len(output.lines(kind="returned")) == 2


async def test_a_silent_connection_is_a_line_once_it_is_given_up(stack: Stack, broker: Broker, output: Output) -> None:
    async with Link(broker.port) as link:
        await stack.web(NATS_URL=f"nats://127.0.0.1:{link.port}")
        await output.line(kind="connected")
        link.dropping = True
        assert (await output.line(kind="lost"))["level"] == "warning"
        link.dropping = False
        assert (await output.line(kind="returned"))["level"] == "info"
        await stack.stop("web")


@pytest.mark.parametrize("hardening", ["all", "logging"])
async def test_a_poison_is_one_line_that_no_payload_can_break(
    stack: Stack, observer: NatsConnection, output: Output, hardening: str
) -> None:
    await start(stack, hardening)
    for poison in POISONS:
        await observer.publish("search.jobs.query", poison)
    failed = await output.line(kind="handler failed")
    assert (failed["level"], failed["service"], failed["subject"]) == ("error", "search", "search.jobs.query")
    await until(lambda: _true(len(output.lines(kind="handler failed")) == 2))
    assert set(output.text()) - {"\n"} <= {chr(n) for n in range(32, 127)}


async def test_without_logging_all_is_printed_as_the_document_has_it(
    stack: Stack, broker: Broker, observer: NatsConnection, output: Output
) -> None:
    await start(stack, "none")
    await observer.publish("search.jobs.query", b"[]")
    await output.says("Handler error for search.jobs.query: a job is an object")
    broker.kill()
    await output.says("NATS disconnected: nats: unexpected EOF", times=2)
    await broker.start()
    await output.says("NATS reconnected", times=2)
    assert len(output.text().splitlines()) == 5


def test_no_secret_is_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    log = Log(settings(NATS_PASSWORD="pass-w0rd", NATS_TOKEN="t0ken"), "web")
    log.say(events.no_broker("nats://app:pass-w0rd@nats:4222", "no route to nats://app:other@nats:4222"))
    log.say(events.process_failed("web", "Authorization: Bearer abc.def, http://x/?token=ghi&password=jkl, t0ken"))
    printed = capsys.readouterr().out
    assert not [secret for secret in ("w0rd", "other", "abc", "ghi", "jkl", "t0ken", "app:") if secret in printed]
    assert "nats://***@nats:4222" in json.loads(printed.splitlines()[0])["event"]


def test_what_libraries_log_is_a_line_as_well() -> None:
    record = logging.LogRecord("asyncio", logging.WARNING, __file__, 1, "took %s\x1b[0m", ("1 s",), None)
    line = json.loads(Lines("web", "web-0").format(record))
    assert (line["level"], line["event"]) == ("warning", "took 1 s\x1b[0m")
    assert datetime.fromisoformat(line["time"]).utcoffset() == timedelta(0)


# ---- metrics ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hardening", ["all", "metrics"])
async def test_metrics_count_a_loss_and_a_return_and_answer_meanwhile(
    stack: Stack, broker: Broker, hardening: str
) -> None:
    search = await start(stack, hardening)
    urls = (stack.url, search)
    await stack.answered(await stack.submit("marker:counted"))

    async def shows(name: str, value: float, url: str) -> bool:
        return (await metrics(stack, url))[name] == value

    for url in urls:
        await until(lambda url=url: shows("telhawk_broker_connected", 1, url))  # type: ignore[misc]
    before = [await metrics(stack, url) for url in urls]
    assert [seen["telhawk_publishes_total/ok"] >= 1 for seen in before] == [True, True]
    broker.kill()
    for url, seen in zip(urls, before, strict=True):
        lost = seen["telhawk_broker_connections_lost_total"] + 1
        await until(lambda url=url, lost=lost: shows("telhawk_broker_connections_lost_total", lost, url))  # type: ignore[misc]
        assert await shows("telhawk_broker_connected", 0, url)
    if hardening == "all":
        await stack.submit("marker:waits")
        assert (await metrics(stack, stack.url))["telhawk_outbox_depth"] == 1
    await broker.start()
    for url, seen in zip(urls, before, strict=True):
        returned = seen["telhawk_broker_connections_returned_total"] + 1
        await until(
            lambda url=url, returned=returned: shows("telhawk_broker_connections_returned_total", returned, url)  # type: ignore[misc]
        )
        assert await shows("telhawk_broker_connected", 1, url)
    if hardening == "all":
        await until(lambda: shows("telhawk_outbox_depth", 0, stack.url))


async def test_metrics_count_failures_and_tell_the_breakers(stack: Stack, observer: NatsConnection) -> None:
    search = await start(stack, "all")
    assert (await metrics(stack, search))["telhawk_handler_failures_total"] == 0
    await observer.jetstream().publish("search.jobs.query", b"[]")

    async def counted() -> bool:
        return (await metrics(stack, search))["telhawk_handler_failures_total"] == 1

    await until(counted)
    seen = await metrics(stack, stack.url)
    breakers = {name: value for name, value in seen.items() if name.startswith("telhawk_breaker_state")}
    assert breakers == {f"telhawk_breaker_state/{of}": 0 for of in ("authenticate", "publish", "search", "status")}


async def test_metrics_count_redeliveries(stack: Stack) -> None:
    stack.env["EVENTSTORE_URL"], there = "http://127.0.0.1:1", stack.env["EVENTSTORE_URL"]
    search = await start(stack, "all")
    stack.env["EVENTSTORE_URL"] = there
    await stack.submit("marker:again")

    async def counted() -> bool:
        return (await metrics(stack, search))["telhawk_redeliveries_total"] >= 1

    await until(counted)


async def test_without_metrics_there_are_none(stack: Stack) -> None:
    search = await start(stack, "none")
    for url in (stack.url, search):
        async with stack.http.get(f"{url}/metrics") as response:
            assert response.status == 404


# ---- health -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hardening", ["all", "health"])
async def test_ready_is_red_within_a_second_of_a_loss_and_green_again(
    stack: Stack, broker: Broker, hardening: str
) -> None:
    search = await start(stack, hardening)
    probes = (f"{stack.url}/api/ready", f"{search}/readyz")
    for probe in probes:
        await until(lambda probe=probe: _is(ready(stack, probe), 200))  # type: ignore[misc]
    broker.kill()
    for probe in probes:
        await until(lambda probe=probe: _is(ready(stack, probe), 503), within_s=1)  # type: ignore[misc]
        async with stack.http.get(probe) as response:
            said = await response.json(content_type=None)
        if hardening == "all":
            assert (said["type"], response.headers["Retry-After"]) == ("urn:telhawk:broker-unavailable", "1")
        else:
            assert (said["status"], said["broker"]["connected"]) == ("unavailable", False)
    for live in (f"{stack.url}/api/health", f"{search}/healthz"):
        assert await ready(stack, live) == 200
    await broker.start()
    for probe in probes:
        await until(lambda probe=probe: _is(ready(stack, probe), 200), within_s=5)  # type: ignore[misc]


@pytest.mark.parametrize("hardening", ["all", "health"])
async def test_ready_sees_a_silent_link_and_answers_at_once(stack: Stack, broker: Broker, hardening: str) -> None:
    async with Link(broker.port) as link:
        await stack.web(NATS_URL=f"nats://127.0.0.1:{link.port}", TELHAWK_HARDENING=hardening)
        probe = f"{stack.url}/api/ready"
        await until(lambda: _is(ready(stack, probe), 200))
        link.dropping = True
        await until(lambda: _is(ready(stack, probe), 503), within_s=4)
        link.dropping = False
        link.cut()
        await until(lambda: _is(ready(stack, probe), 200), within_s=5)
        await stack.stop("web")


async def test_without_health_every_probe_says_ok(stack: Stack, broker: Broker) -> None:
    search = await start(stack, "none")
    broker.kill()
    for probe in (f"{stack.url}/api/ready", f"{search}/readyz", f"{stack.url}/api/health", f"{search}/healthz"):
        assert await ready(stack, probe) == 200


# ---- correlation --------------------------------------------------------------------------------------------------


async def test_one_id_goes_with_a_request(stack: Stack, broker: Broker, observer: NatsConnection) -> None:
    headers: dict[str, str | None] = {}

    async def tap(message: Any) -> None:
        headers[message.subject.split(".")[1]] = (message.headers or {}).get("X-Request-Id")

    await observer.subscribe("search.>", cb=tap)
    await start(stack, "all")
    query_id = await _submit_as(stack, "op-1")
    await stack.answered(query_id)
    await until(lambda: _true(headers.keys() == {"jobs", "results"}))
    assert headers == {"jobs": "op-1", "results": "op-1"}


@pytest.mark.parametrize("hardening", ["all", "correlation"])
async def test_the_event_store_is_asked_under_the_id(stack: Stack, store: FakeStore, hardening: str) -> None:
    stack.env["SEARCH_URL"] = await stack.search(TELHAWK_HARDENING=hardening, EVENTSTORE_URL=store.url)
    await stack.web(TELHAWK_HARDENING=hardening)
    await stack.answered(await _submit_as(stack, "op-5"))
    body, headers = {"query": "marker:now"}, {"X-Request-Id": "op-6"}
    assert (await stack.call("POST", "/api/search", json=body, headers=headers))[0] == 200
    asked = [{name.lower(): value for name, value in headers.items()} for headers in store.asked]
    assert [headers.get("x-request-id") for headers in asked] == ["op-5", "op-6"]


async def test_the_id_of_a_job_outlives_web(stack: Stack, broker: Broker) -> None:
    await start(stack, "all")
    broker.kill()
    await _submit_as(stack, "op-2")
    await stack.stop("web")
    await broker.start()
    connection = await nats.connect(broker.url)
    jobs = await connection.subscribe("search.jobs.query")
    await connection.flush()
    await stack.web()
    job = await jobs.next_msg(timeout=10)
    assert (job.headers or {})["X-Request-Id"] == "op-2"
    assert "request_id" not in json.loads(job.data)
    await connection.close()


async def test_the_id_is_in_a_dead_letter_and_in_the_line_of_its_failure(
    stack: Stack, observer: NatsConnection, output: Output
) -> None:
    dead = await observer.subscribe("search.dlq.>")
    await start(stack, "all")
    await observer.publish("search.jobs.query", b"[]", headers={"X-Request-Id": "op-3"})
    letter = await dead.next_msg(timeout=10)
    assert (letter.headers or {})["X-Request-Id"] == "op-3"
    assert (await output.line(kind="handler failed"))["request_id"] == "op-3"


@pytest.mark.parametrize("given", ["", "a b", "x" * 200, "<script>", "é"])
async def test_an_id_that_is_none_is_replaced(stack: Stack, given: str) -> None:
    await start(stack, "correlation")
    for path in ("/api/health", "/nowhere"):
        async with stack.http.get(stack.url + path, headers={"X-Request-Id": given}) as response:
            known = response.headers["X-Request-Id"]
            assert known != given
            assert len(known) == 36


async def test_without_correlation_nothing_follows_a_request(stack: Stack, observer: NatsConnection) -> None:
    jobs = await observer.subscribe("search.jobs.query")
    await start(stack, "none")
    await _submit_as(stack, "op-4", follows=False)
    assert (await jobs.next_msg(timeout=5)).headers is None


async def _submit_as(stack: Stack, op: str, *, follows: bool = True) -> str:
    headers = {"Authorization": f"Bearer {stack.token}", "X-Request-Id": op}
    url = f"{stack.url}/api/async-query/submit"
    async with stack.http.post(url, json={"query": f"marker:{op}"}, headers=headers) as response:
        assert response.status == 202
        assert response.headers.get("X-Request-Id") == (op if follows else None)
        return str((await response.json())["query_id"])


async def _true(value: bool) -> bool:
    return value


async def _is(seen: Any, wanted: int) -> bool:
    return bool(await seen == wanted)
