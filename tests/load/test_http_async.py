from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from harness.history.reader import History
from harness.history.rows import Operation, Outcome, Sighting, Step
from harness.load._config import OP, PAD
from harness.load.kinds._http import session
from tests.listening import listening
from tests.load.lab import Lab, by_workload, http, load, stub, until

REFUSED = ("refused", Outcome.FAIL, 503, "status 503 about:overload retry-after 5")
TABLE = [
    REFUSED,
    ("status500", Outcome.UNKNOWN, 500, "status 500"),
    ("moved", Outcome.UNKNOWN, 307, "status 307"),
    ("slow", Outcome.UNKNOWN, 0, "timeout"),
    ("closed", Outcome.UNKNOWN, 0, "closed"),
    ("cut", Outcome.UNKNOWN, 202, "body cut"),
    ("garbage", Outcome.UNKNOWN, 0, "bad answer"),
    ("noref", Outcome.UNKNOWN, 202, "no ref"),
    ("nojson", Outcome.UNKNOWN, 202, "no ref"),
    ("unreachable", Outcome.FAIL, 0, "connection refused"),
    ("done", Outcome.OK, 202, ""),
]
POLLED = ["done", "pending", "failed", "gone", "crossed", "both", "unanswered", "silent"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lab]:
    """One load with every way to answer and every way to end, already over."""
    with stub() as url, socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        unreachable = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        workloads = {how: http(unreachable if how == "unreachable" else url, how) for how, *_ in TABLE}
        workloads |= {f"poll-{how}": http(url, "done", how, rate=5) for how in POLLED}
        async with load(tmp_path_factory.mktemp("load"), workloads) as made:
            await made.load.start()
            await asyncio.sleep(1)
            await made.load.stop()
            await asyncio.sleep(0.5)
            await made.load.final()
            yield made


@pytest.fixture(scope="module")
def history(lab: Lab) -> History:
    return lab.read()


@pytest.fixture(scope="module")
def operations(history: History) -> dict[str, list[Operation]]:
    return by_workload(history)


@pytest.mark.parametrize(("how", "outcome", "status", "error"), TABLE)
def test_outcome(operations: dict[str, list[Operation]], how: str, outcome: Outcome, status: int, error: str) -> None:
    found = operations[how]
    assert len(found) in (20, 21)
    assert {(one.outcome, one.status, one.error) for one in found} == {(outcome, status, error)}


def test_an_accepted_operation_has_the_systems_own_id(operations: dict[str, list[Operation]]) -> None:
    refs = [one.ref for one in operations["done"]]
    assert all(ref and ref.startswith("a/") for ref in refs)
    assert len(set(refs)) == len(refs)
    assert {one.ref for one in operations["noref"]} == {None}


def test_no_answer_is_waited_for_beyond_its_deadline(operations: dict[str, list[Operation]]) -> None:
    for one in operations["slow"]:
        assert one.end_ns is not None
        assert 0.5 <= (one.end_ns - one.start_ns) / 1e9 < 1.5


def test_slow_answers_move_no_arrival(operations: dict[str, list[Operation]]) -> None:
    intended = [one.intended_ns for one in operations["slow"]]
    assert {late - soon for soon, late in itertools.pairwise(intended)} == {50_000_000}
    assert all(one.start_ns >= one.intended_ns for one in operations["slow"])


def test_locust_counted_what_the_history_holds(lab: Lab, operations: dict[str, list[Operation]]) -> None:
    totals = lab.totals()
    every = [one for found in operations.values() for one in found]
    assert totals["requests"] == len(every)
    assert totals["failures"] == sum(one.outcome is not Outcome.OK for one in every)
    for name, found in operations.items():
        failures = sum(one.outcome is not Outcome.OK for one in found)
        assert totals["by_name"][name] == {"requests": len(found), "failures": failures}


def sightings(history: History, operations: dict[str, list[Operation]], how: str) -> dict[int, list[Sighting]]:
    found: dict[int, list[Sighting]] = {one.id.n: [] for one in operations[f"poll-{how}"]}
    for sighting in history.sightings(*Step):
        assert sighting.op is not None
        assert sighting.source == "poll"
        if sighting.op.n in found:
            found[sighting.op.n].append(sighting)
    assert len(found) in (5, 6)
    return found


def steps(how: str, proved: bool = False) -> Callable[[list[Sighting]], bool]:
    wanted: dict[str, Any] = {"step": Step[how], "proved": proved}
    return lambda seen: [{"step": one.step, "proved": one.proved} for one in seen] == [wanted]


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("done", steps("RESULT", proved=True)),
        ("failed", steps("FAILURE", proved=True)),
        ("pending", steps("PENDING")),
        ("unanswered", lambda seen: seen == []),
        ("silent", lambda seen: seen == []),
        ("gone", lambda seen: [one.step for one in seen] == [Step.GONE, Step.GONE]),
        ("crossed", lambda seen: [(one.step, one.proved) for one in seen] == [(Step.RESULT, False)] * 2),
        ("both", lambda seen: [(one.step, one.proved) for one in seen] == [(Step.RESULT, False)] * 2),
    ],
)
def test_polls(
    history: History,
    operations: dict[str, list[Operation]],
    how: str,
    expected: Callable[[list[Sighting]], bool],
) -> None:
    for n, seen in sightings(history, operations, how).items():
        assert expected(seen), (n, seen)
        refs = {one.id.n: one.ref for one in operations[f"poll-{how}"]}
        assert all(one.ref == refs[n] for one in seen)


def test_a_result_of_another_operation_is_told_as_a_phantom(
    history: History, operations: dict[str, list[Operation]]
) -> None:
    crossed = {f"7f3a9k2m-0-{one.id.n}" for one in operations["poll-crossed"]}
    told = [line["text"] for line in history.lines("phantom")]
    assert len(told) == len(crossed)
    assert {text.split()[4] for text in told} == crossed
    assert all(text.startswith("crossed: the result of ") and " carries 7f3a9k2m-0-" in text for text in told)


def test_a_result_that_names_its_operation_and_another_is_unclear(
    history: History, operations: dict[str, list[Operation]]
) -> None:
    named = {f"7f3a9k2m-0-{one.id.n}" for one in operations["poll-both"]}
    told = [(line["name"], line["detail"]) for line in history.lines("trouble")]
    assert {name for name, _ in told} == {"ids unclear"}
    assert {detail.split()[3] for _, detail in told} == named
    assert all(detail.count("7f3a9k2m-0-") == 3 for _, detail in told)


def test_the_last_poll_says_whether_all_were_answered(history: History, operations: dict[str, list[Operation]]) -> None:
    # One line a workload; of those whose polls are not answered, none was.
    reads = history.lines("read")
    assert len(reads) == len(TABLE) + len(POLLED)
    assert all(line["source"] == "poll" for line in reads)
    assert [line["count"] for line in reads if not line["complete"]] == [0, 0]


def test_the_view_of_the_runner_agrees_with_the_history(lab: Lab, operations: dict[str, list[Operation]]) -> None:
    lab.live.update()
    every = [one for found in operations.values() for one in found]
    counts = lab.live.counts()
    assert (counts.ok, counts.fail, counts.unknown, counts.in_flight) == (
        *(sum(one.outcome is outcome for one in every) for outcome in Outcome),
        0,
    )
    terminal = {"done", "poll-done", "poll-failed"}
    accepted = {one.id.n for name, found in operations.items() for one in found if one.outcome is Outcome.OK}
    still_open = accepted - {one.id.n for name in terminal for one in operations[name]}
    assert {one.op.n for one in lab.live.open()} == still_open


async def test_even_a_request_that_may_be_repeated_is_sent_once() -> None:
    requests = 0

    async def answer_the_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        while await reader.readuntil(b"\r\n\r\n"):
            requests += 1
            if requests > 1:
                break
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with listening(answer_the_first) as port, session() as client:
        url = f"http://127.0.0.1:{port}/"
        async with client.put(url) as response:
            await response.read()
        with pytest.raises(aiohttp.ServerDisconnectedError):
            async with client.put(url):  # over the kept connection
                pass
    assert requests == 2


async def test_what_is_padded_is_so_long_and_its_proof_as_well(tmp_path: Path) -> None:
    """And a workload that is not named is not offered."""
    with stub() as url:
        padded, other = http(url, "done"), http(url, "done")
        padded["submit"]["json"] = {"note": f"marker:{OP} {PAD}"}
        padded["poll"]["proof"] = {"$.note": f"marker:{OP} {PAD}"}
        async with load(tmp_path, {"padded": padded, "other": other}) as lab:
            await lab.load.start(workloads=["padded"], padding=300_000)
            await until(lambda: lab.live.settled() > 10, lab)
            await lab.load.stop()
            await lab.load.final()
            history = lab.read()
    assert history.workloads() == ["padded"]
    assert {one.outcome for one in history.operations()} == {Outcome.OK}
    results = list(history.sightings(Step.RESULT))
    assert len(results) > 10
    assert all(seen.proved for seen in results)
    [started] = [line for line in history.lines("load") if line["event"] == "started"]
    assert (list(started["rates"]), started["padding"]) == (["padded"], 300_000)
