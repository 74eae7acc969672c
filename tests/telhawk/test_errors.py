"""errors: what is refused or fails says by type why; without it, in plain text, which says it to no program."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.telhawk.conftest import Broker, FakeStore, Stack, free_port, until

SUBMIT, SEARCH = "/api/async-query/submit", "/api/search"
QUERY = {"query": "marker:x"}
NOBODY = "http://127.0.0.1:{}"


@pytest.fixture(params=["errors", "all", "none", "all,-errors"])
def hardening(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Seen:
    """What an answer says, by its type or in plain text."""

    def __init__(self, stack: Stack, hardening: str) -> None:
        self._stack = stack
        self._typed = hardening in ("errors", "all")

    async def refused(
        self,
        kind: str,
        method: str,
        path: str,
        *,
        typed: int,
        plain: tuple[int, str],
        again: bool = False,
        **given: Any,
    ) -> None:
        headers = {"Authorization": f"Bearer {self._stack.token}", **given.pop("headers", {})}
        async with self._stack.http.request(method, self._stack.url + path, headers=headers, **given) as response:
            if self._typed:
                assert (response.status, response.content_type) == (typed, "application/problem+json")
                body = await response.json()
                assert (body["type"], body["status"]) == (f"urn:telhawk:{kind}", typed)
                assert body["detail"]
                assert body["title"] == kind.replace("-", " ")
                after = response.headers.get("Retry-After")
                assert (1 <= int(after or 0) <= 60) if again else after is None
            else:
                assert response.status == plain[0]
                assert response.content_type in ("text/plain", "application/json")
                assert plain[1] in await response.text()
                assert "Retry-After" not in response.headers


async def test_what_is_wrong_with_a_request(stack: Stack, hardening: str) -> None:
    await stack.web(TELHAWK_HARDENING=hardening)
    seen = Seen(stack, hardening)
    await seen.refused(
        "unauthorized",
        "POST",
        SUBMIT,
        typed=401,
        plain=(401, "a valid bearer"),
        json=QUERY,
        headers={"Authorization": ""},
    )
    await seen.refused("invalid-request", "POST", SUBMIT, typed=400, plain=(400, "not JSON"), data=b"{")
    await seen.refused("too-large", "POST", SUBMIT, typed=413, plain=(413, ""), data=b"x" * 600_000)
    await seen.refused("not-found", "GET", "/api/nothing", typed=404, plain=(404, "Not Found"))
    await seen.refused("method-not-allowed", "GET", SUBMIT, typed=405, plain=(405, "Method Not Allowed"))
    encoded = {"Content-Encoding": "rot13"}
    no_coding = (415, "unknown: 'rot13'")
    await seen.refused(
        "unsupported-media-type", "POST", SUBMIT, typed=415, plain=no_coding, json=QUERY, headers=encoded
    )
    unexpected = (417, "Unknown Expect: much")  # aiohttp's own, of what no application sees
    expect = {"Expect": "much"}
    await seen.refused("expectation-failed", "POST", SUBMIT, typed=417, plain=unexpected, json=QUERY, headers=expect)
    unknown = f"/api/async-query/status/{uuid.uuid4()}"
    await seen.refused("unknown-query", "GET", unknown, typed=404, plain=(404, "no such query"))
    wrong = {"username": "admin", "password": "x"}
    await seen.refused(
        "unauthorized", "POST", "/api/auth/login", typed=401, plain=(401, '"error":"unauthorized"'), json=wrong
    )


async def test_who_is_away_is_told(stack: Stack, store: FakeStore, hardening: str) -> None:
    """search, the event store and authenticate are three things; a query that failed is a fourth."""
    search_url = await stack.search(TELHAWK_HARDENING=hardening, EVENTSTORE_URL=store.url)
    away = NOBODY.format(free_port())
    async with stack.http.post(f"{search_url}/api/v1/search", data=b"{") as response:
        assert response.status == 400
    seen = Seen(stack, hardening)

    await stack.web(TELHAWK_HARDENING=hardening, SEARCH_URL=away)
    await seen.refused(
        "search-unavailable", "POST", SEARCH, typed=503, plain=(502, "search failed: "), again=True, json=QUERY
    )
    await stack.stop("web")

    await stack.web(TELHAWK_HARDENING=hardening, SEARCH_URL=search_url)
    store.status = 400
    await seen.refused("query-failed", "POST", SEARCH, typed=400, plain=(400, '"error":"as told"'), json=QUERY)
    store.status = 503
    unavailable = (502, "search failed: event store: status 503")
    await seen.refused("event-store-unavailable", "POST", SEARCH, typed=503, plain=unavailable, again=True, json=QUERY)
    token = stack.token
    await stack.stop("web")

    stack.env["AUTHENTICATE_SERVICE_URL"] = away
    with pytest.raises((KeyError, TypeError)):  # nobody logs in now
        await stack.web(TELHAWK_HARDENING=hardening)
    stack.token = token
    await seen.refused(
        "authenticate-unavailable", "POST", SUBMIT, typed=503, plain=(503, "authenticate: "), again=True, json=QUERY
    )


@pytest.mark.parametrize("hardening", ["errors", "none"])
async def test_a_broker_that_was_away_at_start_is_told(stack: Stack, broker: Broker, hardening: str) -> None:
    broker.kill()
    await stack.web(TELHAWK_HARDENING=hardening)
    seen = Seen(stack, hardening)
    disabled = (503, "async query support is disabled")
    await seen.refused("broker-unavailable", "POST", SUBMIT, typed=503, plain=disabled, again=True, json=QUERY)


async def test_a_broker_that_is_away_is_told(stack: Stack, broker: Broker, hardening: str) -> None:
    """Without a buffer and an outbox, a publish fails; what cannot be read of results is another thing."""
    measures = "jetstream,results,monitor" + (",errors" if hardening in ("errors", "all") else "")
    await stack.web(TELHAWK_HARDENING=measures)
    query_id = await stack.submit("marker:before")
    broker.kill()

    async def lost() -> bool:
        return bool((await stack.status(query_id))["status"].startswith("http "))

    await until(lost)
    seen = Seen(stack, hardening)
    plain = (500, "failed to submit query: ")
    await seen.refused("broker-unavailable", "POST", SUBMIT, typed=503, plain=plain, again=True, json=QUERY)
    status = f"/api/async-query/status/{query_id}"
    await seen.refused(
        "results-unavailable", "GET", status, typed=503, plain=(503, "no connection to the broker"), again=True
    )


async def test_a_full_outbox_is_told(stack: Stack, broker: Broker, hardening: str) -> None:
    measures = "outbox" + (",errors" if hardening in ("errors", "all") else "")
    await stack.web(TELHAWK_HARDENING=measures, OUTBOX_LIMIT="1")
    broker.kill()
    await stack.submit("marker:first")
    plain = (503, "1 queries wait for the broker")
    await Seen(stack, hardening).refused("overloaded", "POST", SUBMIT, typed=503, plain=plain, again=True, json=QUERY)


async def test_a_mistake_of_ours_is_a_problem_too(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await stack.web(TELHAWK_HARDENING="errors")
    monkeypatch.setattr("telhawk.web.queries.Queries.submit", None)
    status, answer = await stack.call("POST", SUBMIT, json=QUERY)
    assert (status, answer["type"], answer["detail"]) == (500, "urn:telhawk:internal-error", "the request failed")
    assert "TypeError" in caplog.text
