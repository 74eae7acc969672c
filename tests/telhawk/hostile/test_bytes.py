"""Any bytes at all on every route: each is answered, with a type where it is refused, and the service goes on."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import select
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.telhawk.conftest import Stack

from .bounds import JSON, bounded
from .conftest import Addresses, started

QUERY = {"query": "marker:x"}
ROUTES: Mapping[tuple[str, str], object] = {
    ("web", "/api/auth/login"): {"username": "admin", "password": "admin"},
    ("web", "/api/search"): QUERY,
    ("web", "/api/async-query/submit"): QUERY,
    ("search", "/api/v1/search"): QUERY,
    ("authenticate", "/api/v1/auth/login"): {"username": "admin", "password": "admin"},
    ("authenticate", "/api/v1/auth/validate"): {"token": "t"},
    ("authenticate", "/api/v1/auth/refresh"): {"refresh_token": "t"},
    ("eventstore", "/ocsf-events/_search"): {"query": {"query_string": {"query": "x"}, "range": {"time": {}}}},
    ("eventstore", "/_bulk"): {"index": {}},
}
"""What takes a body, with one that is right, or nearly so."""
GETS = [
    ("web", "/api/health"),
    ("web", "/api/ready"),
    ("web", "/metrics"),
    ("web", "/api/async-query/status/x"),
    ("search", "/healthz"),
    ("search", "/readyz"),
    ("search", "/metrics"),
    ("authenticate", "/healthz"),
    ("eventstore", "/"),
    ("eventstore", "/executions?after=0"),
]
EARLY = {"from": "0001-01-01T00:00:00+14:00", "to": "9999-12-31T23:59:59-14:00"}
MANY = b'{"query": "' + b"x" * 9_000_000 + b'"}'
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(frozen=True)
class Answered:
    """One answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def must_be_typed(self, service: str) -> None:
        """A refusal says what is wrong in the form of its service; nothing fails but what may do better later."""
        if self.status < 400:
            return
        assert self.status < 500 or (self.status == 503 and int(self.headers["Retry-After"]) >= 1), self
        self.must_have_a_form(service)

    def must_have_a_form(self, service: str) -> None:
        """A refusal says what is wrong in the form of its service."""
        if self.status < 400:
            return
        said = json.loads(self.body)
        if service in ("web", "search"):
            assert self.headers["Content-Type"].startswith("application/problem+json"), self
            assert said["type"].startswith("urn:telhawk:"), self
            assert (said["status"], bool(said["detail"])) == (self.status, True), self
        elif service == "authenticate":
            assert said["error"], self
            assert said["message"], self
        else:
            assert said["error"]["type"], self
            assert said["error"]["reason"], self


def ask(url: str, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answered:
    at = urlsplit(url)
    connection = http.client.HTTPConnection(str(at.hostname), at.port, timeout=5)
    try:
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        return Answered(response.status, dict(response.getheaders()), response.read())
    except BrokenPipeError:  # refused by its length, before all of it was sent
        response = connection.response_class(connection.sock, method=method)
        response.begin()
        return Answered(response.status, dict(response.getheaders()), response.read())
    finally:
        connection.close()


def send(url: str, head: bytes, *rest: bytes) -> Answered:
    """Sends bytes as they are; what follows the head once the service asks for it."""
    at = urlsplit(url)
    with socket.create_connection((at.hostname, at.port), timeout=5) as connection:
        with suppress(ConnectionError):  # refused before all of it was sent
            connection.sendall(head)
        for part in rest:
            assert connection.recv(len(CONTINUE), socket.MSG_WAITALL) == CONTINUE
            connection.sendall(part)
        response = http.client.HTTPResponse(connection)
        response.begin()
        return Answered(response.status, dict(response.getheaders()), response.read())


@st.composite
def bodies(draw: st.DrawFn, right: object) -> bytes:
    """Bytes, text, JSON, or what is right with one value that is not."""
    kind = draw(st.sampled_from(["bytes", "text", "json", "changed", "changed", "cut"]))
    if kind == "bytes":
        return draw(st.binary(max_size=60))
    if kind == "text":
        return draw(st.text(max_size=30)).encode(errors="replace")
    if kind == "json":
        return json.dumps(draw(JSON)).encode()
    assert isinstance(right, dict)
    names = [*right, "time_range", "limit", "size", "unknown"]
    changed = json.dumps(right | {draw(st.sampled_from(names)): draw(JSON)}).encode()
    return changed if kind == "changed" else changed[: draw(st.integers(0, len(changed)))]


def bombard(addresses: Addresses, token: str, *, examples: int = 200) -> set[tuple[str, str, int]]:
    """The routes that were asked, each with the statuses that it gave."""

    @bounded(examples)
    @given(st.sampled_from(sorted(ROUTES)).flatmap(lambda at: st.tuples(st.just(at), bodies(ROUTES[at]))))
    def asked(attack: tuple[tuple[str, str], bytes]) -> None:
        (service, path), body = attack
        answered = ask(addresses[service], "POST", path, body, headers)
        answered.must_be_typed(service)
        seen.add((service, path, answered.status))

    seen: set[tuple[str, str, int]] = set()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    asked()
    return seen


async def test_every_body_is_answered(stack: Stack, addresses: Addresses) -> None:
    seen = await asyncio.to_thread(bombard, addresses, stack.token)
    for service, path in ROUTES:
        assert {400} <= {status for *at, status in seen if at == [service, path]}, path
    assert (await stack.answered(await stack.submit("marker:after")))["status"] == "complete"


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[" * 100_000, b'{"a":' * 900 + b"1" + b"}" * 900, b"\x00" * 70_000, MANY, b'{"query": "\\udfff"}'],
    ids=["empty", "null", "deep", "deep and closed", "zeros", "huge", "surrogate"],
)
async def test_bodies_at_the_edge_are_refused(stack: Stack, addresses: Addresses, body: bytes) -> None:
    headers = {"Authorization": f"Bearer {stack.token}"}
    for service, path in ROUTES:
        answered = await asyncio.to_thread(ask, addresses[service], "POST", path, body, headers)
        answered.must_be_typed(service)
        if path != "/_bulk" or body:
            assert answered.status in (400, 413), (path, answered)
    assert (await stack.answered(await stack.submit("marker:after")))["status"] == "complete"


async def test_times_at_both_ends_of_the_calendar_are_answered(stack: Stack, addresses: Addresses) -> None:
    """What has no time in UTC is refused, and not asked of the store again and again."""
    for path in ("/api/search", "/api/async-query/submit"):
        status, answer = await stack.call("POST", path, json=QUERY | {"time_range": EARLY})
        assert (status, answer["type"]) == (400, "urn:telhawk:invalid-request"), answer
    query = {"query": {"query_string": {"query": "x"}, "range": {"time": {"gte": EARLY["from"]}}}}
    url = addresses["eventstore"]
    answered = await asyncio.to_thread(ask, url, "POST", "/ocsf-events/_search", json.dumps(query).encode(), {})
    answered.must_be_typed("eventstore")
    assert answered.status == 400


@pytest.mark.parametrize(
    "span", ["today", [], None, {"time": "today"}, {"time": {"gte": 20260101}}, {"time": {"lte": "x"}}]
)
async def test_the_event_store_ignores_no_range_that_is_none(addresses: Addresses, span: object) -> None:
    query = {"query": {"bool": {"must": [{"query_string": {"query": "x"}}, {"range": span}]}}}
    url = addresses["eventstore"]
    answered = await asyncio.to_thread(ask, url, "POST", "/ocsf-events/_search", json.dumps(query).encode(), {})
    answered.must_be_typed("eventstore")
    assert answered.status == 400


@pytest.mark.parametrize("method", ["HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
async def test_every_method_is_answered(stack: Stack, addresses: Addresses, method: str) -> None:
    headers = {"Authorization": f"Bearer {stack.token}"}
    for right, (service, path) in [*(("POST", at) for at in ROUTES), *(("GET", at) for at in GETS)]:
        answered = await asyncio.to_thread(ask, addresses[service], method, path, b"", headers)
        if method != "HEAD":
            assert answered.status == 405, (path, answered)
            assert right in re.split(", ?", answered.headers["Allow"]), (path, answered)
            answered.must_be_typed(service)


@pytest.mark.parametrize(
    "head",
    [
        b"GET\r\n\r\n",
        b"GET / HTTP/nine\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /%ff%00?%ff=%00 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 300 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"y" * 70_000 + b"\r\n\r\n",
        b"GET /" + b"y" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n",
        b"\x1b[31m <script> HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nno header\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nExpect: much\r\nContent-Length: 2\r\n\r\n{}",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Encoding: zstd\r\nContent-Length: 2\r\n\r\n{}",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
    ],
    ids=[
        *["short", "version", "address", "path", "length", "many", "long", "long path", "tls", "control"],
        *["header", "expect", "encoding", "chunk"],
    ],
)
async def test_what_is_hardly_http_is_answered(stack: Stack, addresses: Addresses, head: bytes) -> None:
    for service, url in addresses.items():
        answered = await asyncio.to_thread(send, url, head)
        assert answered.status in (200, 501, 505) or 400 <= answered.status < 500, (service, answered)
        answered.must_have_a_form(service)
    assert (await stack.answered(await stack.submit("marker:after")))["status"] == "complete"


@pytest.mark.parametrize("coding", ["rot13", "gzip, gzip", "GZIP;q=1", "\xff"])
async def test_a_coding_that_nobody_can_read_is_refused(stack: Stack, addresses: Addresses, coding: str) -> None:
    headers = {"Authorization": f"Bearer {stack.token}", "Content-Encoding": coding}
    for service, path in ROUTES:
        answered = await asyncio.to_thread(ask, addresses[service], "POST", path, b"{}", headers)
        assert answered.status == 415, (path, answered)
        answered.must_be_typed(service)


async def test_a_body_that_never_ends_is_answered(
    stack: Stack, addresses: Addresses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chunk that is none comes when the body is being read already."""
    monkeypatch.setattr("telhawk.bodies.BODY_WITHIN_S", 0.3)
    for service, path in ROUTES:
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {stack.token}\r\nExpect: 100-continue\r\n"
        chunked = f"{head}Transfer-Encoding: chunked\r\n\r\n".encode()
        answered = await asyncio.to_thread(send, addresses[service], chunked, b"zz\r\n{}\r\n")
        assert answered.status in (408, 411), (path, answered)
        answered.must_be_typed(service)
    assert (await stack.answered(await stack.submit("marker:after")))["status"] == "complete"


async def test_a_body_that_is_shorter_than_it_says_is_answered(
    stack: Stack, addresses: Addresses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether nothing more comes, or a byte at a time."""
    monkeypatch.setattr("telhawk.bodies.BODY_WITHIN_S", 0.3)
    for service, path in ROUTES:
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {stack.token}\r\nContent-Length: 100\r\n\r\n"
        for then in (b"", b" " * 30):
            answered = await asyncio.to_thread(dribble, addresses[service], head.encode() + b"{}", then)
            assert answered.status == 408, (path, answered)
            assert b"the body did not come within 0.3 s" in answered.body
            answered.must_be_typed(service)
    assert (await stack.answered(await stack.submit("marker:after")))["status"] == "complete"


def dribble(url: str, first: bytes, then: bytes) -> Answered:
    """Send `first`, and `then` a byte every 50 ms until there is an answer, which has to come within 2 s."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=2) as client:
        client.sendall(first)
        for byte in then:
            if select.select([client], [], [], 0.05)[0]:
                break
            client.sendall(bytes([byte]))
        answer = http.client.HTTPResponse(client)
        answer.begin()
        return Answered(answer.status, dict(answer.getheaders()), answer.read())


HEADERS = st.dictionaries(
    st.sampled_from(["X-Request-Id", "Idempotency-Key", "X-Attempt", "X-Opaque-Id", "X-Worker", "Accept", "Cookie"]),
    st.one_of(
        st.text(st.characters(min_codepoint=1, max_codepoint=255, exclude_characters="\r\n"), max_size=30),
        st.sampled_from(["../..", "<script>", "\x1b[2J", "a" * 5000, "1" * 40]),
    ),
)


async def test_every_header_is_answered(stack: Stack, addresses: Addresses) -> None:
    @bounded(150)
    @given(st.sampled_from([*sorted(ROUTES), *GETS]), HEADERS)
    @example(("search", "/api/v1/search"), {"Idempotency-Key": "a.b *"})
    def asked(at: tuple[str, str], headers: dict[str, str]) -> None:
        right = ROUTES.get(at)
        body = None if right is None else json.dumps(right).encode()
        method = "GET" if right is None else "POST"
        sent = {"Authorization": f"Bearer {stack.token}", **headers}
        try:
            answered = ask(addresses[at[0]], method, at[1], body, sent)
        except ValueError:  # http.client does not send every header
            return
        assert answered.status < 500 or answered.status == 503, answered
        seen.add(answered.status)

    seen: set[int] = set()
    await asyncio.to_thread(asked)
    assert 200 in seen
    assert (await stack.answered(await stack.submit("marker:after")))["status"] == "complete"


async def test_a_route_that_loses_its_request_is_found(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler that reads its body unchecked answers 500 to what is no JSON."""
    addresses = await started(stack, "all")
    monkeypatch.setattr("telhawk.web.routes.body_of", lambda request: request.json())
    with pytest.raises(AssertionError, match="status=500"):
        await asyncio.to_thread(bombard, addresses, stack.token)
