"""http: the answer is all; each outcome by what the entry did."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from harness.history.rows import Operation, Outcome, Step
from tests.load.lab import Lab, by_workload, http, load, stub, until

TABLE = [
    ("refused", Outcome.FAIL, 503, "status 503 about:overload retry-after 5"),
    ("status500", Outcome.UNKNOWN, 500, "status 500"),
    ("moved", Outcome.UNKNOWN, 307, "status 307"),
    ("slow", Outcome.UNKNOWN, 0, "timeout"),
    ("closed", Outcome.UNKNOWN, 0, "closed"),
    ("cut", Outcome.UNKNOWN, 202, "body cut"),
    ("garbage", Outcome.UNKNOWN, 0, "bad answer"),
    ("endless", Outcome.UNKNOWN, 202, "answer too large"),
    ("noref", Outcome.OK, 202, ""),
    ("nojson", Outcome.OK, 202, ""),
    ("unreachable", Outcome.FAIL, 0, "connection refused"),
    ("done", Outcome.OK, 202, ""),
    ("with-ref", Outcome.OK, 202, ""),
    ("without-ref", Outcome.UNKNOWN, 202, "no ref"),
]


def workload(url: str, how: str) -> dict[str, Any]:
    """`with-ref` and `without-ref` ask for the system's id; the others do not."""
    of = {"with-ref": "done", "without-ref": "noref"}
    made = http(url, of.get(how, how), rate=5 if how == "endless" else 20)
    if how not in of:
        del made["submit"]["ref"]
    return {"kind": "http", "rate": made["rate"], "answers_s": made["answers_s"], "submit": made["submit"]}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lab]:
    """One load with every way to answer, already over."""
    with stub() as url, socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        unreachable = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        workloads = {how: workload(unreachable if how == "unreachable" else url, how) for how, *_ in TABLE}
        workloads["endless"]["answers_s"] = 20  # it is its length that ends it, and not the clock
        async with load(tmp_path_factory.mktemp("load"), workloads) as made:
            await made.load.start()
            await until(lambda: made.live.offered > 15 * len(TABLE), made, within_s=30)
            await made.load.stop()
            await made.load.final()
            yield made


@pytest.fixture(scope="module")
def operations(lab: Lab) -> dict[str, list[Operation]]:
    return by_workload(lab.read())


@pytest.mark.parametrize(("how", "outcome", "status", "error"), TABLE)
def test_outcome(operations: dict[str, list[Operation]], how: str, outcome: Outcome, status: int, error: str) -> None:
    found = operations[how]
    assert len(found) >= (3 if how == "endless" else 10)
    assert {(one.outcome, one.status, one.error) for one in found} == {(outcome, status, error)}


def test_the_systems_id_is_kept_where_it_is_asked_for(operations: dict[str, list[Operation]]) -> None:
    refs = [one.ref for one in operations["with-ref"]]
    assert all(ref and ref.startswith("a/") for ref in refs)
    assert len(set(refs)) == len(refs)
    assert {one.ref for one in operations["done"]} == {None}


def test_nobody_is_asked_what_became_of_it(lab: Lab) -> None:
    assert list(lab.read().sightings(*Step)) == []
    assert lab.read().lines("read") == []
