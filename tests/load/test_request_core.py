"""request and core, on a real broker: each outcome by what the other side did."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from harness.history.rows import Operation, Outcome, Step, marker
from harness.load._config import OP
from tests.load.lab import NONCE, Broker, by_workload, load, until


def workload(kind: str, server: Broker, subject: str, *, rate: float = 100, **publish: Any) -> dict[str, Any]:
    table = {"url": server.url, "subject": subject, **publish}
    return {"kind": kind, "rate": rate, "answers_s": 1, "publish": table}


@asynccontextmanager
async def listener(server: Broker) -> AsyncIterator[Client]:
    client = await nats.connect(server.url, max_reconnect_attempts=-1, reconnect_time_wait=1)
    try:
        yield client
    finally:
        await client.close()


def outcomes(found: list[Operation]) -> Counter[tuple[Outcome, str]]:
    return Counter((one.outcome, one.error) for one in found)


async def test_requests_by_what_answers(server: Broker, tmp_path: Path) -> None:
    async with listener(server) as client:

        async def answer(message: Msg) -> None:
            await message.respond(b"" if message.subject == "r.empty" else b"yes")
            await message.respond(b"and again")  # the first is the answer

        async def say_nothing(message: Msg) -> None:
            pass

        for subject, callback in {"r.ok": answer, "r.empty": answer, "r.silent": say_nothing}.items():
            await client.subscribe(subject, cb=callback)
        await client.flush()
        assert client.max_payload < 2_000_000
        workloads = {name: workload("request", server, f"r.{name}") for name in ("ok", "empty", "silent", "nobody")}
        workloads["large"] = workload("request", server, "r.ok", rate=10, payload=OP + "x" * 2_000_000)
        async with load(tmp_path, workloads) as lab:
            await lab.load.start()
            await until(lambda: lab.live.offered > 300, lab)
            await lab.load.stop()
            await lab.load.final()
            found, history = by_workload(lab.read()), lab.read()

    expected = {
        "ok": (Outcome.OK, ""),
        "empty": (Outcome.OK, ""),
        "silent": (Outcome.UNKNOWN, "timeout"),
        "nobody": (Outcome.FAIL, "no responders"),
        "large": (Outcome.FAIL, "payload too large"),
    }
    assert {name: set(outcomes(found[name])) for name in workloads} == {name: {one} for name, one in expected.items()}
    assert all(len(found[name]) > 50 for name in ("ok", "empty", "silent", "nobody"))
    for one in found["silent"]:
        assert one.end_ns is not None
        assert (one.end_ns - one.start_ns) / 1e9 >= 1
    assert list(history.sightings(*Step)) == []


async def test_a_message_is_what_the_system_file_says(server: Broker, tmp_path: Path) -> None:
    heard: dict[str, list[tuple[bytes, dict[str, str]]]] = {}
    async with listener(server) as client:

        async def hear(message: Msg) -> None:
            heard.setdefault(message.subject, []).append((message.data, dict(message.headers or {})))

        await client.subscribe("m.>", cb=hear)
        await client.flush()
        workloads = {
            "plain": workload("core", server, "m.plain"),
            "json": workload("core", server, "m.json", json={"a": ["é", OP], "b": 1.5}, headers={"X-Id": f"id {OP}"}),
            "text": workload("core", server, "m.text", payload=f"<{OP}> and {OP}"),
        }
        async with load(tmp_path, workloads) as lab:
            await lab.load.start()
            await until(lambda: lab.live.offered > 60, lab)
            await lab.load.stop()
            await lab.load.final()
            found = by_workload(lab.read())
        await client.flush()

    payloads = {
        "plain": '{"op":"%s"}',
        "json": '{"a":["é","%s"],"b":1.5}',
        "text": "<%s> and %s",
    }
    for name, payload in payloads.items():
        marks = [marker(NONCE, one.id) for one in found[name]]
        assert marks
        assert [data.decode() for data, _ in heard[f"m.{name}"]] == [payload.replace("%s", mark) for mark in marks]
        extra = [{"X-Id": f"id {mark}"} if name == "json" else {} for mark in marks]
        assert [headers for _, headers in heard[f"m.{name}"]] == [
            {**more, "Harness-Op": mark} for more, mark in zip(extra, marks, strict=True)
        ]


async def test_core_is_ok_once_it_is_handed_over_whoever_listens(server: Broker, tmp_path: Path) -> None:
    workloads = {
        "told": workload("core", server, "c.nobody"),
        "large": workload("core", server, "c.x", rate=10, payload=OP + "x" * 2_000_000),
    }
    async with load(tmp_path, workloads) as lab:
        await lab.load.start()
        await until(lambda: lab.live.offered > 60, lab)
        await lab.load.stop()
        await lab.load.final()
        found = by_workload(lab.read())
    assert set(outcomes(found["told"])) == {(Outcome.OK, "")}
    assert set(outcomes(found["large"])) == {(Outcome.FAIL, "payload too large")}


async def test_while_the_broker_is_dead_nothing_is_sent(server: Broker, tmp_path: Path) -> None:
    """Nor later: our client buffers nothing, so that nobody hears what was refused."""
    heard: set[str] = set()
    async with listener(server) as client:

        async def answer(message: Msg) -> None:
            heard.add(message.headers["Harness-Op"])  # type: ignore[index]
            if message.reply:
                await message.respond(b"yes")

        await client.subscribe("k.>", cb=answer)
        await client.flush()
        workloads = {"asked": workload("request", server, "k.asked"), "told": workload("core", server, "k.told")}
        async with load(tmp_path, workloads) as lab:
            await lab.load.start()
            await until(lambda: lab.live.counts().ok > 100, lab)
            server.kill()
            killed_ns = time.monotonic_ns()
            await until(lambda: lab.live.begun(killed_ns, time.monotonic_ns()).fail > 100, lab)
            back_ns = time.monotonic_ns()
            server.start()
            await until(lambda: lab.live.first_ok(back_ns) is not None, lab)
            await until(lambda: lab.live.begun(back_ns, time.monotonic_ns()).ok > 100, lab)
            await lab.load.stop()
            await lab.load.final()
            found = by_workload(lab.read())
        await client.flush()

    for name, way in found.items():
        assert set(outcomes(way)) <= {
            (Outcome.OK, ""),
            (Outcome.FAIL, "not connected"),
            (Outcome.FAIL, "no responders"),  # the listener comes back later than the load
            (Outcome.UNKNOWN, "closed"),
        }, name
        failed = {marker(NONCE, one.id) for one in way if one.error == "not connected"}
        assert len(failed) >= 50
        assert not failed & heard
    assert {one.error for one in found["told"] if one.outcome is Outcome.UNKNOWN} == set()


async def test_a_broker_that_says_nothing_is_noticed(server: Broker, tmp_path: Path) -> None:
    async with listener(server) as client:

        async def answer(message: Msg) -> None:
            await message.respond(b"yes")

        await client.subscribe("s.asked", cb=answer)
        await client.flush()
        async with load(tmp_path, {"asked": workload("request", server, "s.asked")}) as lab:
            await lab.load.start()
            await until(lambda: lab.live.counts().ok > 50, lab)
            server.signal(signal.SIGSTOP)
            paused_ns = time.monotonic_ns()
            try:
                await until(lambda: lab.live.begun(paused_ns, time.monotonic_ns()).fail > 20, lab, within_s=15)
            finally:
                server.signal(signal.SIGCONT)
            back_ns = time.monotonic_ns()
            await until(lambda: lab.live.first_ok(back_ns) is not None, lab)
            await lab.load.stop()
            await lab.load.final()
            found = by_workload(lab.read())["asked"]

    meanwhile = [one for one in found if paused_ns < one.start_ns < back_ns]
    assert {one.error for one in meanwhile if one.outcome is Outcome.UNKNOWN} <= {"timeout", "closed"}
    assert any(one.outcome is Outcome.UNKNOWN for one in meanwhile)
    assert {one.error for one in meanwhile if one.outcome is Outcome.FAIL} <= {"not connected", "no responders"}
    assert all(one.end_ns is not None for one in found)
