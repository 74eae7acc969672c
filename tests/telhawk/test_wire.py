from __future__ import annotations

import json

import pytest

from telhawk.wire import Job, Malformed, Query, Result, encode, parse

RANGE = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}


def test_a_job_has_the_fields_of_the_contract_and_survives_the_wire() -> None:
    job = Job.of("job-1", Query("marker:é", RANGE, 5))
    assert json.loads(job.encode()) == {
        "job_id": "job-1",
        "query": "marker:é",
        "time_range": RANGE,
        "limit": 5,
        "reply_to": "search.results.query.job-1",
    }
    assert Job.decode(job.encode()) == job


def test_an_absent_time_range_is_absent_on_the_wire() -> None:
    assert json.loads(Job.of("job-1", Query("q")).encode()).keys() == {"job_id", "query", "limit", "reply_to"}


def test_a_result_has_the_fields_of_the_contract_and_survives_the_wire() -> None:
    result = Result("job-1", "q", True, total_hits=1, events=[{"time": "t"}], took_ms=1.5)
    fields = {"job_id", "query", "success", "error", "total_hits", "events", "took_ms"}
    assert json.loads(result.encode()).keys() == fields
    assert Result.decode(result.encode()) == result


@pytest.mark.parametrize(
    "body",
    [
        [],
        "q",
        None,
        {},
        {"query": ""},
        {"query": "  "},
        {"query": 5},
        {"query": ["q"]},
        {"query": "q", "limit": 0},
        {"query": "q", "limit": 10_001},
        {"query": "q", "limit": "5"},
        {"query": "q", "limit": True},
        {"query": "q", "limit": 1.0},
        {"query": "q", "time_range": "today"},
        {"query": "q", "time_range": {"from": RANGE["from"]}},
        {"query": "q", "time_range": RANGE | {"zone": "Z"}},
        {"query": "q", "time_range": {"from": 1, "to": 2}},
        {"query": "q", "time_range": {"from": "x", "to": "y"}},
        {"query": "q", "time_range": {"from": RANGE["to"], "to": RANGE["from"]}},
        {"query": "q", "time_range": {"from": "2026-01-02", "to": "2026-01-01T00:00:00Z"}},
        {"query": "q", "sort": "time"},
    ],
)
def test_what_is_no_query_is_malformed(body: object) -> None:
    with pytest.raises(Malformed):
        Query.of(body)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"\xff",
        b"NaN",
        b"1e999",
        b'{"query": "\\ud800"}',
        b"[" * 100_000,
        b"9" * 5000,
    ],
)
def test_what_is_no_json_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        parse(data)


@pytest.mark.parametrize(
    "job",
    [
        [],
        {"query": "q"},
        {"job_id": "a b", "query": "q"},
        {"job_id": "a" * 65, "query": "q"},
        {"job_id": "a", "query": None},
        {"job_id": "a", "query": "q", "reply_to": "search.>"},
        {"job_id": "a", "query": "q", "reply_to": "search.results." + "a." * 2100 + "b"},
        {"job_id": "a", "query": "q", "reply_to": 5},
    ],
)
def test_what_is_no_job_is_malformed(job: object) -> None:
    with pytest.raises(Malformed):
        Job.decode(encode(job))


@pytest.mark.parametrize("result", [[], {}, {"job_id": "a"}, {"job_id": 1, "query": "q", "success": True}])
def test_what_is_no_result_is_malformed(result: object) -> None:
    with pytest.raises(Malformed):
        Result.decode(encode(result))
