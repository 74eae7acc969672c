"""The wire contract of the query path: subjects, and the JSON that rides on them."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

JOBS = "search.jobs.query"
RESULTS = "search.results.query"
WORKERS = "search-workers"
LIMIT_DEFAULT, LIMIT_MOST = 100, 10_000

# A job's id becomes a token of a subject, a key of a bucket and a header.
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
# Who publishes to a subject with which its line to the broker is longer than 4,096 bytes is disconnected.
_SUBJECT = re.compile(r"(?=.{1,255}\Z)[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


def is_id(text: str) -> bool:
    """Whether `text` can be the id of a job."""
    return _ID.fullmatch(text) is not None


class Malformed(Exception):
    """What arrived is not what the contract says; the message names the field."""


def parse(data: bytes) -> Any:
    """The JSON in `data`, numbers and strings all representable again. Raises Malformed."""
    try:
        value = json.loads(data)
        # Also finds lone surrogates, which no message could carry onwards.
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise Malformed(f"not JSON: {error}"[:200]) from None
    return value


def encode(value: object) -> bytes:
    """The JSON text of `value`, as short as it can be."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Query:
    """What a user asks: the query's text, an optional time range (RFC 3339, both ends), and the most events wanted."""

    query: str
    time_range: dict[str, str] | None = None
    limit: int = LIMIT_DEFAULT

    @classmethod
    def of(cls, value: object) -> Query:
        """From a decoded request body. Raises Malformed at anything that is not exactly such a query."""
        if not isinstance(value, dict):
            raise Malformed("an object is wanted")
        if unknown := sorted(value.keys() - {"query", "time_range", "limit"}):
            raise Malformed(f"unknown field {unknown[0]!r}"[:200])
        query, limit = value.get("query"), value.get("limit", LIMIT_DEFAULT)
        if not isinstance(query, str) or not query.strip():
            raise Malformed("query: a text that is not empty is wanted")
        if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= LIMIT_MOST:
            raise Malformed(f"limit: a whole number from 1 to {LIMIT_MOST} is wanted")
        return cls(query, _time_range(value.get("time_range")), limit)


def _time_range(value: object) -> dict[str, str] | None:
    if value is None:
        return None
    if not isinstance(value, dict) or value.keys() != {"from", "to"}:
        raise Malformed("time_range: an object with from and to is wanted")
    times = []
    for name in ("from", "to"):
        try:
            time = datetime.fromisoformat(value[name])
            times.append((time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC))
        except (TypeError, ValueError, OverflowError):  # at the ends of the calendar there is no time in UTC
            raise Malformed(f"time_range.{name}: a time as in RFC 3339 is wanted") from None
    if times[0] > times[1]:
        raise Malformed("time_range: from is later than to")
    return {"from": value["from"], "to": value["to"]}


@dataclass(frozen=True)
class Job:
    """One message on search.jobs.query."""

    job_id: str
    query: Query
    reply_to: str

    @classmethod
    def of(cls, job_id: str, query: Query) -> Job:
        """The job that asks `query` and wants its result at the result subject of its id."""
        return cls(job_id, query, f"{RESULTS}.{job_id}")

    def encode(self) -> bytes:
        """As it travels; time_range is absent where none was given."""
        fields: dict[str, object] = {"job_id": self.job_id, "query": self.query.query}
        if self.query.time_range is not None:
            fields["time_range"] = self.query.time_range
        return encode(fields | {"limit": self.query.limit, "reply_to": self.reply_to})

    @classmethod
    def decode(cls, data: bytes) -> Job:
        """Raises Malformed."""
        value = parse(data)
        if not isinstance(value, dict):
            raise Malformed("a job is an object")
        job_id = value.get("job_id")
        if not isinstance(job_id, str) or not is_id(job_id):
            raise Malformed("job_id: 1 to 64 letters, digits, - or _ are wanted")
        reply_to = value.get("reply_to", f"{RESULTS}.{job_id}")
        if not isinstance(reply_to, str) or not _SUBJECT.fullmatch(reply_to):
            raise Malformed("reply_to: a subject of at most 255 characters without wildcards is wanted")
        if reply_to.startswith("search.jobs."):
            raise Malformed("reply_to: a result is no job")
        asked = {name: value[name] for name in ("query", "time_range", "limit") if name in value}
        return cls(job_id, Query.of(asked), reply_to)


@dataclass(frozen=True)
class Result:
    """One message on search.results.query.{job_id}; `query` is the text that the worker got."""

    job_id: str
    query: str
    success: bool
    error: str = ""
    total_hits: int = 0
    events: list[Any] = field(default_factory=list)
    took_ms: float = 0.0

    @classmethod
    def failed(cls, job: Job, error: str) -> Result:
        """The result that says why there is none."""
        return cls(job.job_id, job.query.query, success=False, error=error)

    def encode(self) -> bytes:
        """As it travels."""
        return encode(asdict(self))

    @classmethod
    def decode(cls, data: bytes) -> Result:
        """Raises Malformed."""
        value = parse(data)
        try:
            result = cls(**value)
        except TypeError:
            raise Malformed("not a result") from None
        for name, kind in _OF_A_RESULT.items():
            found = getattr(result, name)
            if not isinstance(found, kind) or (isinstance(found, bool) and kind is not bool):
                raise Malformed(f"{name}: of a result, that is not {found!r}"[:200])
        return result


_OF_A_RESULT: dict[str, type | tuple[type, ...]] = {
    "job_id": str,
    "query": str,
    "success": bool,
    "error": str,
    "total_hits": int,
    "events": list,
    "took_ms": (int, float),
}
