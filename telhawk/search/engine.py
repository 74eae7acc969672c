"""Runs a query against the event store, over HTTP."""

from __future__ import annotations

import time

from telhawk.calls import Caller, CallError, TooManyCalls
from telhawk.wire import Job, Malformed, Result, encode, parse
from telhawk.wiring import HeadersFor

INDEX = "ocsf-events*"


class EngineError(Exception):
    """The event store could not be asked, or did not answer; another try may do better."""


class EngineOverloaded(EngineError):
    """The event store was not asked, since as many as may be wait for it."""


class KeyReused(Exception):
    """The job's id was given to another query before; no other try does better, and the result is the other's."""


class Engine:
    """The event store, seen from one replica of search."""

    def __init__(
        self,
        caller: Caller,
        url: str,
        *,
        replica: str,
        effect_headers: HeadersFor,
    ) -> None:
        self._caller = caller
        self._url = f"{url}/{INDEX}/_search"
        self._replica = replica
        self._effect_headers = effect_headers

    async def run(self, job: Job, attempt: int) -> Result:
        """The result of one job; a query that the store rejects is a result without success.

        Raises EngineError, KeyReused.
        """
        headers = {
            "X-Opaque-Id": job.job_id,
            "X-Worker": self._replica,
            "X-Attempt": str(attempt),
            **self._effect_headers(job.job_id),
        }
        started = time.monotonic()
        try:
            answer = await self._caller.post(self._url, encode(_search(job)), headers)
        except TooManyCalls as error:
            raise EngineOverloaded(f"event store: {error}") from error
        except CallError as error:
            raise EngineError(f"event store: {error}") from error
        if answer.status == 422:
            raise KeyReused(f"{job.job_id} was given to another query")
        if answer.status not in (200, 400):
            raise EngineError(f"event store: status {answer.status}")
        try:
            found = parse(answer.body)
            if answer.status == 400:
                return Result.failed(job, str(found["error"]["reason"]))
            hits = found["hits"]
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
