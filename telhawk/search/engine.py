"""Runs a query against the event store, over HTTP."""

from __future__ import annotations

import time

import aiohttp

from telhawk.wire import Job, Malformed, Result, encode, parse
from telhawk.wiring import HeadersFor

INDEX = "ocsf-events*"


class EngineError(Exception):
    """The event store could not be asked, or did not answer; another try may do better."""


class Engine:
    """The event store, seen from one replica of search."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        *,
        replica: str,
        effect_headers: HeadersFor,
    ) -> None:
        self._session = session
        self._url = f"{url}/{INDEX}/_search"
        self._replica = replica
        self._effect_headers = effect_headers

    async def run(self, job: Job, attempt: int) -> Result:
        """The result of one job; a query that the store rejects is a result without success. Raises EngineError."""
        headers = {
            "Content-Type": "application/json",
            "X-Opaque-Id": job.job_id,
            "X-Worker": self._replica,
            "X-Attempt": str(attempt),
            **self._effect_headers(job.job_id),
        }
        started = time.monotonic()
        try:
            async with self._session.post(self._url, data=encode(_search(job)), headers=headers) as response:
                status, data = response.status, await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise EngineError(f"event store: {error or type(error).__name__}") from error
        if status not in (200, 400):
            raise EngineError(f"event store: status {status}")
        try:
            answer = parse(data)
            if status == 400:
                return Result.failed(job, str(answer["error"]["reason"]))
            hits = answer["hits"]
            events = [hit["_source"] for hit in hits["hits"]]
            total = hits["total"]["value"]
        except (Malformed, LookupError, TypeError) as error:
            raise EngineError(f"event store: an answer that is not one: {error}") from error
        took_ms = round((time.monotonic() - started) * 1000, 3)
        return Result(job.job_id, job.query.query, True, total_hits=total, events=events, took_ms=took_ms)


def _search(job: Job) -> dict[str, object]:
    must: list[object] = [{"query_string": {"query": job.query.query}}]
    if job.query.time_range is not None:
        ends = {"gte": job.query.time_range["from"], "lte": job.query.time_range["to"]}
        must.append({"range": {"time": ends}})
    return {"query": {"bool": {"must": must}}, "size": job.query.limit, "track_total_hits": True}
