"""`python -m telhawk.eventstore`: the few routes of OpenSearch that the services use, and the record of executions."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from telhawk.eventstore.store import Asked, KeyReused, Store
from telhawk.plainhttp import Answer, JsonServer, Refusal, Request, parse
from telhawk.settings import Settings, load

SIZE_DEFAULT, SIZE_MOST = 10, 10_000
EARLIEST, LATEST = "", "~"


def server(settings: Settings) -> JsonServer:
    """The service, listening. Raises OSError when the port cannot be had, sqlite3.Error."""
    store = Store(settings.database)

    def search(request: Request) -> Answer:
        started = time.monotonic()
        try:
            answer = store.search(asked(request.json(), request.headers))
        except KeyReused as error:
            raise Refusal(422, "idempotency_key_reused", str(error)) from error
        took_ms = int((time.monotonic() - started) * 1000)
        return 200, {"took": took_ms, "timed_out": False, **answer}

    def bulk(request: Request) -> Answer:
        events = list(_bulk_events(request.body))
        added = store.add(events)
        return 200, {"took": 0, "errors": False, "items": [{"index": {"status": 201}}] * added}

    def executions(request: Request) -> Answer:
        after = request.parameters.get("after", "0")
        if not after.isascii() or not after.isdigit() or len(after) > 18:
            raise Refusal(400, "illegal_argument_exception", "after: a whole number is wanted")
        return 200, store.executions(int(after))

    routes = [
        ("GET", "/", lambda _: (200, {"name": "eventstore", "version": {"distribution": "telhawk"}})),
        ("GET", "/executions", executions),
        ("POST", "/ocsf-events[^/]*/_search", search),
        ("POST", "(?:/ocsf-events[^/]*)?/_bulk", bulk),
    ]
    return JsonServer(settings.host, settings.port, routes, _refused)


def _refused(refusal: Refusal) -> object:
    return {"error": {"type": refusal.kind, "reason": refusal.reason}, "status": refusal.status}


def asked(body: Any, headers: dict[str, str]) -> Asked:
    """The search that a request asks for. Raises Refusal."""
    if not isinstance(body, dict):
        raise _unreadable("an object is wanted")
    try:
        text = next((found for found in _named(body.get("query"), "query") if isinstance(found, str)), None)
        span = _span(body.get("query"))
    except RecursionError:
        raise _unreadable("the query is nested too deep") from None
    if text is None:
        raise _unreadable("a query with a text is wanted")
    size = body.get("size", SIZE_DEFAULT)
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= SIZE_MOST:
        raise _unreadable(f"size: a whole number up to {SIZE_MOST} is wanted")
    attempt = headers.get("x-attempt", "1")
    if not attempt.isascii() or not attempt.isdigit() or len(attempt) > 9:
        raise _unreadable("X-Attempt: a whole number is wanted")
    return Asked(
        marker=text,
        since=_time(span.get("gte"), EARLIEST),
        until=_time(span.get("lte"), LATEST),
        size=size,
        job_id=headers.get("x-opaque-id", ""),
        worker=headers.get("x-worker", ""),
        attempt=int(attempt),
        key=headers.get("idempotency-key", ""),
    )


def _named(tree: object, name: str) -> Iterator[object]:
    """The values under `name`, anywhere in a tree of JSON."""
    if isinstance(tree, dict):
        if name in tree:
            yield tree[name]
        tree = list(tree.values())
    if isinstance(tree, list):
        for branch in tree:
            yield from _named(branch, name)


def _span(tree: object) -> Mapping[str, object]:
    span: Mapping[str, object] = {}
    for found in _named(tree, "range"):
        if not isinstance(found, dict) or not isinstance(found.get("time", {}), dict):
            raise _unreadable("range: an object with a time, which is one too, is wanted")
        span = span or found.get("time", {})
    return span


def _time(value: object, default: str, of: str = "range") -> str:
    if value is None:
        return default
    if not isinstance(value, str):
        raise _unreadable(f"{of}: times are texts")
    try:
        time_ = datetime.fromisoformat(value)
        return (time_ if time_.tzinfo else time_.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    except (ValueError, OverflowError):  # the first day of all, east of Greenwich, is in no year in UTC
        raise _unreadable(f"{of}: times as in RFC 3339 are wanted") from None


def _bulk_events(body: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    lines = [parse(line) for line in body.splitlines() if line.strip()]
    if len(lines) % 2 or not all(isinstance(line, dict) for line in lines):
        raise _unreadable("pairs of an action and an event are wanted")
    for action, event in zip(lines[::2], lines[1::2], strict=True):
        if action.keys() - {"index", "create"}:
            raise _unreadable("index and create are the actions that there are")
        yield _time(event.get("time"), datetime.now(UTC).isoformat(), "event"), event


def _unreadable(reason: str) -> Refusal:
    return Refusal(400, "parsing_exception", reason)


def main() -> None:
    """The process."""
    with server(load(port=9200)) as listening:
        listening.serve_forever()


if __name__ == "__main__":
    main()
