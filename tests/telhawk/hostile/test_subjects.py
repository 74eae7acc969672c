"""Any message at all on every subject: it comes to a result or a dead letter that says why, and nobody dies of it."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from nats.aio.client import Client as NatsConnection
from nats.js.errors import KeyNotFoundError

from telhawk.messaging import MessagingError
from telhawk.messaging.nats import NatsClient, NatsConfig
from telhawk.wire import Result
from tests.telhawk.conftest import Broker, Stack, until

from .bounds import JSON, bounded
from .conftest import Addresses, started

JOBS, RESULTS = "search.jobs.query", "search.results.query"
RIGHT = {"job_id": "j", "query": "marker:hostile", "limit": 5, "reply_to": "search.results.query.j"}
RANGES = st.one_of(
    JSON, st.sampled_from(["today", {"from": "2026-01-01"}, {"from": 1, "to": 2}, {"from": "", "to": ""}])
)
IDS = st.one_of(JSON, st.sampled_from(["a b", "a.b", "*", ">", "", "x" * 65, "é", "../x", "a\x00"]))
REPLIES = st.one_of(
    JSON, st.sampled_from(["", "*", ">", "search.results.>", JOBS, "search.dlq.x", "$JS.API.STREAM.PURGE.X"])
)
NEVER: Any = object()
MAX_PAYLOAD = 1024 * 1024
NOTHING_FOUND = len(Result("edge", "", True, took_ms=1.234).encode())
# Valid jobs of which the broker takes no result that repeats the query.
LARGE = [
    b'{"job_id":"large","query":"%b"}' % (b"x" * (MAX_PAYLOAD - 120)),
    # The result would fit, if it had no header.
    b'{"job_id":"edge","query":"%b","time_range":{"from":"2020-01-01","to":"2020-01-02"}}'
    % (b"x" * (MAX_PAYLOAD - 20 - NOTHING_FOUND)),
    json.dumps({"job_id": "utf-16", "query": "\u4e00" * 400_000}, ensure_ascii=False).encode("utf-16"),
]
EDGES = [
    *LARGE,
    b"",
    b"null",
    b"\xff" * 300_000,
    b"\x00" * 1_000_000,
    b'{"job_id":"deep","query":"q","x":' + b"[" * 960 + b"]" * 960 + b"}",
    b"[" + b",".join([b"9e15"] * 50_000) + b"]",
    b'{"job_id":"early","query":"q","time_range":{"from":"0001-01-01T00:00:00+14:00","to":"2026-01-01T00:00:00Z"}}',
    b'{"job_id":"loop","query":"q","reply_to":"search.jobs.query"}',
    b'{"job_id":"loop-2","query":"q","reply_to":"search.jobs.other"}',
    b'{"job_id":"forged","query":"q","reply_to":"search.dlq.malformed"}',
    b'{"job_id":"far","query":"q","reply_to":"search.results.' + b"a." * 2100 + b'b"}',
]


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """Bytes, JSON, or a job of which some fields are not what they should be."""
    kind = draw(st.sampled_from(["bytes", "json", "job", "job", "job"]))
    if kind == "bytes":
        return draw(st.binary(max_size=40))
    if kind == "json":
        return json.dumps(draw(JSON)).encode()
    fields: dict[str, Any] = RIGHT | {"job_id": f"j-{draw(st.integers(0, 10**9))}"}
    wrong = {"job_id": IDS, "query": JSON, "limit": JSON, "time_range": RANGES, "reply_to": REPLIES, "unknown": JSON}
    for name in draw(st.lists(st.sampled_from(sorted(wrong)), min_size=0, max_size=2)):
        fields[name] = draw(wrong[name])
    return json.dumps(fields).encode()


class Postbox:
    """Puts jobs on the stream, and sees what becomes of each."""

    def __init__(self, observer: NatsConnection) -> None:
        self._js = observer.jetstream()

    async def settled(self, bodies: list[bytes]) -> set[str]:
        """Send them all, wait until the stream is empty, and give each one's end. An unknown end fails."""
        sent = [(await self._js.publish(JOBS, body)).seq for body in bodies]
        await until(self._empty, within_s=15)
        letters = await self._letters()
        ends = set()
        for seq, body in zip(sent, bodies, strict=True):
            if letter := letters.get(f"dead-{seq}"):
                assert letter["reason"] in (("failed",) if body in LARGE else ("malformed", "id_reused")), letter
                assert letter["error"], letter
                assert letter["attempts"] <= 3, letter
                assert letter["envelope"] is not NEVER, letter
                assert in_part(letter["envelope"], body), letter
                assert letter.get("shortened", False) == (letter["envelope"] not in forms(body)), letter
                ends.add(re.split("[:.]", letter["error"])[0])
                if body in LARGE:
                    assert (await self._result(body))["error"] == letter["error"]
            else:
                assert (await self._result(body))["job_id"] == json.loads(body)["job_id"]
                ends.add("result")
        return ends

    async def _empty(self) -> bool:
        info = await self._js.stream_info("SEARCH_JOBS")
        return info.state.messages == 0

    async def _letters(self) -> dict[str, dict[str, Any]]:
        info = await self._js.stream_info("SEARCH_DLQ")
        found = {}
        for seq in range(max(info.state.first_seq, 1), info.state.last_seq + 1):
            letter = await self._js.get_msg("SEARCH_DLQ", seq=seq)
            found[(letter.headers or {})["Nats-Msg-Id"]] = json.loads(letter.data or b"")
        await self._js.purge_stream("SEARCH_DLQ")
        return found

    async def _result(self, body: bytes) -> dict[str, Any]:
        bucket = await self._js.key_value("QUERY_RESULTS")
        try:
            value = (await bucket.get(json.loads(body)["job_id"])).value
        except (KeyNotFoundError, KeyError, TypeError, ValueError):
            raise AssertionError(f"lost: {body[:200]!r}") from None
        found: dict[str, Any] = json.loads(value or b"")
        return found


def forms(body: bytes) -> list[object]:
    """What a dead letter may carry that carries all of what was sent: its JSON or its text."""
    found: list[object] = [body.decode(coding, errors="replace") for coding in ("utf-8", json.detect_encoding(body))]
    with suppress(ValueError, RecursionError):
        found.append(json.loads(body))
    return found


def in_part(envelope: object, body: bytes) -> bool:
    """Whether a dead letter carries what was sent, or at least how it began."""
    if envelope in forms(body):
        return True
    return isinstance(envelope, str) and any(str(form).startswith(envelope) for form in forms(body)[:2])


def at_once(loop: asyncio.AbstractEventLoop, what: Coroutine[Any, Any, set[str]]) -> set[str]:
    """Run `what` on the loop of the stack, from a thread."""
    return asyncio.run_coroutine_threadsafe(what, loop).result(30)


async def test_every_job_has_a_result_or_a_dead_letter(
    stack: Stack, observer: NatsConnection, addresses: Addresses
) -> None:
    loop = asyncio.get_running_loop()
    postbox = Postbox(observer)
    seen: set[str] = set()

    @bounded(30)
    @given(st.lists(messages(), min_size=1, max_size=12))
    @example(EDGES)
    def sent(bodies: list[bytes]) -> None:
        seen.update(at_once(loop, postbox.settled(bodies)))

    await asyncio.to_thread(sent)
    assert seen >= {"result", "not JSON", "a job is an object", "job_id", "query", "limit", "time_range", "reply_to"}
    await goes_on(stack)


async def test_what_is_too_large_with_its_header_is_not_sent(broker: Broker) -> None:
    """The broker ends the connection of whoever sends it, and with it everything that is under way."""
    client = await NatsClient.connect(NatsConfig(broker.url))
    header = {"a": "b" * 10}  # with the lines around it, 12 + 15 bytes
    with pytest.raises(MessagingError, match="maximum payload"):
        await client.publish("s", b"x" * (MAX_PAYLOAD - 26), headers=header)
    await client.publish("s", b"x" * (MAX_PAYLOAD - 27), headers=header)
    await client.connection().flush()
    assert not client.lost.is_set()
    await client.close()


async def test_a_job_with_the_id_of_another_is_a_dead_letter(
    stack: Stack, observer: NatsConnection, addresses: Addresses
) -> None:
    """It neither has the other's result nor spoils it; the same job again is no mistake."""
    postbox = Postbox(observer)
    first, other = (json.dumps(RIGHT | {"query": f"marker:{name}"}).encode() for name in ("first", "other"))
    assert await postbox.settled([first]) == {"result"}
    assert await postbox.settled([other]) == {"j was given to another query"}
    assert await postbox.settled([first]) == {"result"}
    bucket = await observer.jetstream().key_value("QUERY_RESULTS")
    assert json.loads((await bucket.get("j")).value or b"")["query"] == "marker:first"
    await goes_on(stack)


async def goes_on(stack: Stack) -> None:
    """Both services run, and a query is answered at its first attempt."""
    marker = f"marker:after-{uuid.uuid4()}"
    assert (await stack.answered(await stack.submit(marker)))["status"] == "complete"
    assert [row["attempt"] for row in await stack.executions() if row["marker"] == marker] == [1]
    assert not any(task.done() for task in stack.tasks.values())


async def test_a_job_that_is_only_dropped_is_found(
    stack: Stack, observer: NatsConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that terminates what it cannot read, without a dead letter, as a tired engineer writes it."""

    async def drop(acknowledger: Any, msg: Any, *_: object) -> None:
        await msg.term()

    monkeypatch.setattr("telhawk.measures.acks.Acknowledger._give_up", drop)
    await started(stack, "all")
    with pytest.raises(AssertionError, match="lost: b"):
        await Postbox(observer).settled([b"null"])


async def test_documented_a_job_that_is_none_is_printed_and_lost(
    stack: Stack, observer: NatsConnection, capsys: pytest.CaptureFixture[str]
) -> None:
    """No result, no dead letter: a line is all there is, and the worker goes on."""
    await started(stack, "none")
    heard: list[str] = []

    async def hear(msg: Any) -> None:
        heard.append(msg.subject)

    await observer.subscribe("search.results.>", cb=hear)
    await observer.subscribe("search.dlq.>", cb=hear)
    await observer.publish(JOBS, b'{"job_id": "j", "query": 5}')
    await observer.flush()
    query_id = await stack.submit("marker:after")
    assert (await stack.answered(query_id))["status"] == "complete"
    await observer.flush()
    assert heard == [f"{RESULTS}.{query_id}"]
    assert f"Handler error for {JOBS}: query: a text" in capsys.readouterr().out


# ---- what no client library sends ------------------------------------------------------------------------------------

HEADS = [
    b"NATS/1.0 \xff\xff\xff\r\n\r\n",
    b"NATS/1.0 503\r\n\r\n",
    b"NATS/1.0 100 Idle \xff\r\n\r\n",
    b"NATS/1.0\r\n\r\n",
    b"NATS/1.0\r\nno colon\r\n\r\n",
    b"NATS/1.0\r\n\xff\xfe: \xff\r\nX-Request-Id: <script>\r\n\r\n",
    b"NATS/1.0\r\nX-Request-Id: \x1b[31m\r\n\r\n",
    b"NATS/1.0\r\n: nothing\r\n\r\n",
]


async def raw(broker: Broker, *commands: bytes) -> None:
    """Say these to the broker, and wait until it has taken them."""
    reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
    writer.write(b'CONNECT {"verbose":false,"headers":true}\r\n' + b"".join(commands) + b"PING\r\n")
    said = await asyncio.wait_for(reader.readuntil(b"PONG\r\n"), 5)
    assert b"-ERR" not in said, said
    writer.close()
    await writer.wait_closed()


def hpub(subject: bytes, head: bytes, data: bytes) -> bytes:
    return b"HPUB %b %d %d\r\n%b%b\r\n" % (subject, len(head), len(head) + len(data), head, data)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("hardening", ["none", "all"])
async def test_whatever_stands_in_its_header_a_job_is_done(
    stack: Stack, broker: Broker, observer: NatsConnection, hardening: str, head: bytes
) -> None:
    """nats-py stops reading for good at a status that is no text."""
    await started(stack, hardening)
    results: asyncio.Queue[str] = asyncio.Queue()

    async def hear(msg: Any) -> None:
        await results.put(msg.subject)

    await observer.subscribe(f"{RESULTS}.>", cb=hear)
    await observer.flush()
    await raw(broker, hpub(JOBS.encode(), head, b'{"job_id":"j","query":"marker:head"}'))
    assert await asyncio.wait_for(results.get(), 5) == f"{RESULTS}.j"
    await goes_on(stack)


@pytest.mark.parametrize("hardening", ["none", "all", "all,-results"])
async def test_names_that_are_no_text_stop_nobody(stack: Stack, broker: Broker, hardening: str) -> None:
    """A reply subject on the jobs, a token on the results: only the broker's clients in Go take them as they are."""
    await started(stack, hardening)
    await raw(
        broker,
        b"PUB search.jobs.query \xff\xfe 2\r\n{}\r\n",
        b"PUB search.results.query.\xff\xfe 2\r\n{}\r\n",
    )
    await goes_on(stack)


# ---- results ---------------------------------------------------------------------------------------------------------

WRONG_RESULTS = [
    b"",
    b"\xff",
    b"[]",
    b'{"job_id": "%b", "success": true}',
    b'{"job_id": "%b", "query": [], "success": true}',
    b'{"job_id": "%b", "query": "q", "success": "yes"}',
    b'{"job_id": "%b", "query": "q", "success": true, "events": "<script>"}',
    b'{"job_id": "%b", "query": "q", "success": false, "error": {"a": 1}}',
    b'{"job_id": "%b", "query": "q", "success": true, "total_hits": "many", "took_ms": null}',
    b'{"job_id": "%b", "query": "q", "success": true, "unknown": 1}',
    b'{"job_id": "other", "query": "q", "success": true}',
]


@pytest.mark.parametrize("wrong", WRONG_RESULTS)
async def test_a_result_in_the_bucket_that_is_none_is_a_query_that_failed(
    stack: Stack, observer: NatsConnection, addresses: Addresses, wrong: bytes
) -> None:
    query_id = await stack.submit("marker:x")
    await stack.answered(query_id)
    bucket = await observer.jetstream().key_value("QUERY_RESULTS")
    await bucket.put(query_id, wrong.replace(b"%b", query_id.encode()))
    answer = await stack.answered(query_id)
    assert (answer["status"], answer["error"].split(":")[0]) == ("failed", "its result cannot be read")
    await goes_on(stack)


@pytest.mark.parametrize("hardening", ["none", "all,-results"])
async def test_a_result_from_the_subject_that_is_none_is_a_line(
    stack: Stack, observer: NatsConnection, hardening: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await started(stack, hardening)
    for wrong in WRONG_RESULTS[:-1]:
        await observer.publish(f"{RESULTS}.j", wrong.replace(b"%b", b"j"))
    await observer.flush()
    await goes_on(stack)
    assert capsys.readouterr().out.count(f"Handler error for {RESULTS}.*: ") == len(WRONG_RESULTS) - 1
