"""The event store and authenticate, over HTTP."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from telhawk.authenticate.tokens import Tokens
from telhawk.eventstore.store import MARKER_MOST, Asked, KeyReused, Store

SEARCH = "/ocsf-events*/_search"


def call(url: str, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)
    try:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection.request(method, path, data, headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def query(text: object, **more: object) -> dict[str, object]:
    return {"query": {"bool": {"must": [{"query_string": {"query": text}}]}}, **more}


def test_a_search_finds_events_and_is_listed(eventstore_url: str) -> None:
    headers = {"X-Opaque-Id": "job-1", "X-Worker": "search-0", "X-Attempt": "2"}
    status, answer = call(eventstore_url, "POST", SEARCH, query("marker:run-0-1", size=3), **headers)
    assert status == 200
    assert answer["hits"]["total"]["value"] == 5
    assert len(answer["hits"]["hits"]) == 3

    status, listed = call(eventstore_url, "GET", "/executions?after=0")
    (row,) = listed["executions"]
    assert (row["marker"], row["job_id"], row["worker"], row["attempt"]) == ("marker:run-0-1", "job-1", "search-0", 2)
    assert row["begun"] <= row["finished"] <= time.time()
    assert "repeat" not in row
    assert call(eventstore_url, "GET", f"/executions?after={listed['next']}") == (
        200,
        {"executions": [], "next": listed["next"]},
    )


def test_the_beginning_of_a_long_query_is_listed(eventstore_url: str) -> None:
    text = f"marker:run-0-1 {'x' * 262_144}"
    status, answer = call(eventstore_url, "POST", SEARCH, query(text))
    assert (status, answer["hits"]["total"]["value"]) == (200, 5)
    (row,) = call(eventstore_url, "GET", "/executions?after=0")[1]["executions"]
    assert row["marker"] == text[:MARKER_MOST]


def test_known_fields_and_the_time_range_narrow_a_search(eventstore_url: str) -> None:
    _, answer = call(eventstore_url, "POST", SEARCH, query("severity:HIGH marker:x"))
    assert [hit["_source"]["message"] for hit in answer["hits"]["hits"]] == ["logon failed"]
    span = {"time": {"gte": "2026-01-01T00:01:00Z", "lte": "2026-01-01T00:02:00Z"}}
    ranged = {"query": {"bool": {"must": [{"query_string": {"query": "x"}}, {"range": span}]}}}
    assert call(eventstore_url, "POST", SEARCH, ranged)[1]["hits"]["total"]["value"] == 2


def test_events_that_are_added_are_found(eventstore_url: str) -> None:
    event = {"time": "2026-02-01T00:00:00Z", "severity": "high", "class_name": "Detection Finding"}
    lines = b'{"index": {}}\n' + json.dumps(event).encode() + b"\n"
    status, answer = call(eventstore_url, "POST", "/ocsf-events/_bulk", lines)
    assert (status, answer["errors"], len(answer["items"])) == (200, False, 1)
    _, found = call(eventstore_url, "POST", SEARCH, query("severity:high"))
    assert found["hits"]["total"]["value"] == 2


@pytest.mark.parametrize("time_", ["\u00e9vening", ["2026-01-01"], 1767225600, "", {}, False, "2026-13-01T00:00:00Z"])
def test_events_at_a_time_that_is_none_are_refused(eventstore_url: str, time_: object) -> None:
    """All that came with it, as with any event that is none; it would be in no query."""
    events = [{"time": "2026-02-01T00:00:00Z", "severity": "high"}, {"time": time_, "severity": "high"}]
    lines = b"".join(b'{"index": {}}\n' + json.dumps(event).encode() + b"\n" for event in events)
    status, answer = call(eventstore_url, "POST", "/_bulk", lines)
    assert (status, answer["error"]["type"]) == (400, "parsing_exception")
    assert answer["error"]["reason"].startswith("event: ")
    assert call(eventstore_url, "POST", SEARCH, query("severity:high"))[1]["hits"]["total"]["value"] == 1


def test_an_event_is_found_by_its_time_wherever_it_was_told(eventstore_url: str) -> None:
    event = {"time": "2026-02-01T01:00:00+14:00", "severity": "high"}
    assert call(eventstore_url, "POST", "/_bulk", b'{"index": {}}\n' + json.dumps(event).encode() + b"\n")[0] == 200
    span = {"time": {"gte": "2026-01-31T11:00:00Z", "lte": "2026-01-31T11:00:00Z"}}
    ranged = {"query": {"bool": {"must": [{"query_string": {"query": "x"}}, {"range": span}]}}}
    hits = call(eventstore_url, "POST", SEARCH, ranged)[1]["hits"]["hits"]
    assert [hit["_source"] for hit in hits] == [event]


def test_a_repeat_is_answered_from_the_first_and_listed_as_one(eventstore_url: str) -> None:
    first = call(eventstore_url, "POST", SEARCH, query("m"), **{"Idempotency-Key": "job-1"})
    call(eventstore_url, "POST", "/_bulk", b'{"index": {}}\n{"severity": "low"}\n')
    again = call(eventstore_url, "POST", SEARCH, query("m"), **{"Idempotency-Key": "job-1"})
    other = call(eventstore_url, "POST", SEARCH, query("m"))
    assert again[1]["hits"] == first[1]["hits"]
    assert other[1]["hits"]["total"]["value"] == 6
    rows = call(eventstore_url, "GET", "/executions?after=0")[1]["executions"]
    assert [row.get("repeat", False) for row in rows] == [False, True, False]


def test_a_repeat_waits_while_the_first_runs(tmp_path: Path) -> None:
    begun, go = threading.Event(), threading.Event()

    class Slow(Store):
        def _find(self, asked: Asked) -> dict[str, Any]:
            begun.set()
            assert go.wait(5)
            return super()._find(asked)

    store = Slow(str(tmp_path / "events.db"))
    asked = Asked("m", "", "~", 10, key="job-1")
    answers: list[dict[str, Any]] = []
    threads = [threading.Thread(target=lambda: answers.append(store.search(asked))) for _ in range(2)]
    threads[0].start()
    assert begun.wait(5)
    begun.clear()
    threads[1].start()
    deadline = time.monotonic() + 5
    while len(store.executions(0)["executions"]) < 2:
        assert time.monotonic() < deadline
    assert [row["finished"] for row in store.executions(0)["executions"]] == [None, None]
    go.set()
    for thread in threads:
        thread.join(5)
    assert answers[0] == answers[1]
    assert not begun.is_set(), "the repeat ran a search of its own"
    store.close()


@pytest.mark.parametrize("other", [query("n"), query("m", size=3)], ids=["text", "size"])
def test_a_key_that_was_given_to_another_search_is_refused(eventstore_url: str, other: object) -> None:
    key = {"Idempotency-Key": "job-1"}
    first = call(eventstore_url, "POST", SEARCH, query("m"), **key)
    status, refused = call(eventstore_url, "POST", SEARCH, other, **key)
    assert (status, refused["error"]["type"]) == (422, "idempotency_key_reused")
    again = call(eventstore_url, "POST", SEARCH, query("m"), **key)
    assert (again[0], again[1]["hits"]) == (200, first[1]["hits"])
    rows = call(eventstore_url, "GET", "/executions?after=0")[1]["executions"]
    assert [(row["marker"], row.get("repeat", False)) for row in rows] == [("m", False), ("m", True)]


def test_executions_and_keys_outlive_a_restart(tmp_path: Path) -> None:
    path = str(tmp_path / "events.db")
    for _ in range(2):
        store = Store(path)
        store.search(Asked("m", "", "~", 10, key="job-1"))
        store.close()
    store = Store(path)
    with pytest.raises(KeyReused):
        store.search(Asked("n", "", "~", 10, key="job-1"))
    assert [row.get("repeat", False) for row in store.executions(0)["executions"]] == [False, True]
    store.close()


def test_a_client_that_goes_away_does_not_end_its_search(eventstore_url: str) -> None:
    host, port = urlsplit(eventstore_url).netloc.split(":")
    body = json.dumps(query("marker:gone")).encode()
    with socket.create_connection((host, int(port))) as client:
        client.sendall(b"POST /ocsf-events/_search HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    deadline = time.monotonic() + 5
    while True:
        rows = call(eventstore_url, "GET", "/executions?after=0")[1]["executions"]
        if rows and rows[0]["finished"]:
            break
        assert time.monotonic() < deadline, rows


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        [],
        {},
        {"query": "text"},
        {"query": {"query_string": {"query": 5}}},
        query("m", size="all"),
        query("m", size=-1),
        query("m", size=True),
        {"query": {"range": {"time": {"gte": "noon"}}, "query_string": {"query": "m"}}},
        b'{"query":' * 400 + b"1" + b"}" * 400,
        b'{"query": {"query_string": {"query": "\\ud800"}}}',
    ],
)
def test_what_is_no_search_is_refused_and_not_listed(eventstore_url: str, body: object) -> None:
    status, answer = call(eventstore_url, "POST", SEARCH, body)
    assert (status, answer["error"]["type"]) == (400, "parsing_exception")
    assert call(eventstore_url, "GET", "/executions")[1] == {"executions": [], "next": 0}


def test_odd_requests_are_refused_by_type(eventstore_url: str) -> None:
    assert call(eventstore_url, "GET", "/nowhere")[0] == 404
    assert call(eventstore_url, "GET", SEARCH)[0] == 405
    assert call(eventstore_url, "GET", "/executions?after=x")[0] == 400
    assert call(eventstore_url, "POST", SEARCH, b"", **{"Content-Length": "99999999"})[0] == 413
    assert call(eventstore_url, "POST", SEARCH, b"", **{"Content-Length": "-1"})[0] == 400
    assert call(eventstore_url, "POST", SEARCH, query("m"), **{"X-Attempt": "first"})[0] == 400
    assert call(eventstore_url, "POST", "/_bulk", b'{"index": {}}\n')[0] == 400
    assert call(eventstore_url, "POST", "/_bulk", b'{"delete": {}}\n{}\n')[0] == 400
    assert call(eventstore_url, "GET", "/")[0] == 200


def test_login_validate_and_refresh(authenticate_url: str) -> None:
    base = "/api/v1/auth"
    status, pair = call(authenticate_url, "POST", f"{base}/login", {"username": "admin", "password": "admin"})
    assert (status, pair["token_type"]) == (200, "Bearer")
    assert pair.keys() == {"access_token", "refresh_token", "expires_in", "token_type"}
    assert call(authenticate_url, "POST", f"{base}/validate", {"token": pair["access_token"]}) == (
        200,
        {"valid": True, "user_id": "admin", "roles": ["analyst"]},
    )
    status, again = call(authenticate_url, "POST", f"{base}/refresh", {"refresh_token": pair["refresh_token"]})
    assert status == 200
    assert call(authenticate_url, "POST", f"{base}/validate", {"token": again["access_token"]})[1]["valid"]


def test_what_proves_nobody_is_refused(authenticate_url: str) -> None:
    base = "/api/v1/auth"
    assert call(authenticate_url, "POST", f"{base}/login", {"username": "admin", "password": "x"})[0] == 401
    pair = call(authenticate_url, "POST", f"{base}/login", {"username": "admin", "password": "admin"})[1]
    for token in ("", ".", "é", pair["refresh_token"], pair["access_token"] + "x"):
        assert not call(authenticate_url, "POST", f"{base}/validate", {"token": token})[1]["valid"]
    assert call(authenticate_url, "POST", f"{base}/refresh", {"refresh_token": pair["access_token"]})[0] == 401
    bodies: list[object] = [b"{", [], {}, {"username": "admin"}, {"username": 1, "password": 2}, {"token": None}]
    for body in bodies:
        assert call(authenticate_url, "POST", f"{base}/login", body)[0] == 400


def test_a_token_outlives_a_restart_and_is_bound_to_its_user() -> None:
    token = str(Tokens("admin", "admin").pair()["access_token"])
    assert Tokens("admin", "admin").valid(token, "access")
    assert not Tokens("admin", "other").valid(token, "access")
