"""Taps and dead letters on a real broker: what is heard, and that we are back before anybody else."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic, monotonic_ns

import pytest

from harness.errors import HarnessError
from harness.history.rows import OpId, Step
from harness.observe import dead_letters, taps
from harness.observe.taps import Subscription, Taps
from harness.runtime import _nats
from harness.system.loader import load_system

from .lab import NONCE, Lab, lab, until

HEARD = [
    Subscription("jobs.new", Step.PUBLISHED, op="$.query"),
    Subscription("jobs.done.*", Step.RESULT, ref="$.id"),
    Subscription("jobs.dlq.>", Step.DEAD_LETTER, dead_letters.SOURCE, op="$.envelope"),
]


@asynccontextmanager
async def hearing(folder: Path) -> AsyncIterator[tuple[Lab, Taps]]:
    async with lab(folder) as opened:
        source = Taps(opened.recorder, "127.0.0.1", port(opened), {}, HEARD)
        opened.watch(source)
        await source.wait_subscribed(within_s=5)
        yield opened, source


def port(opened: Lab) -> int:
    return int(opened.runtime.broker.direct(what="port"))


@asynccontextmanager
async def publisher(opened: Lab) -> AsyncIterator[_nats.Connection]:
    connection = await _nats.connect("127.0.0.1", port(opened), name="nats-harness-test", login={}, within_s=5)
    yield connection
    await connection.flush(within_s=5)
    connection.drop()


async def test_what_is_heard(tmp_path: Path) -> None:
    async with hearing(tmp_path) as (opened, source):
        asked = monotonic_ns()
        async with publisher(opened) as to:
            to.publish("jobs.new", b'{"query": "marker:%s-0-7"}' % NONCE.encode())
            to.publish("jobs.done.x", b'{"id": "q-1"}')
            to.publish("jobs.dlq.poison", b'{"envelope": {"deep": ["%s-1-8"]}}' % NONCE.encode())
            to.publish("jobs.new", b"no JSON, no marker")
            to.publish("jobs.new", b'{"query": "b2b2b2b2-0-7"}')
            to.publish("else", b"")
        await source.final()
        seen = {(s.step, s.source, s.op, s.ref) for s in opened.history.sightings()}
        assert seen == {
            (Step.PUBLISHED, "taps", OpId(0, 7), None),
            (Step.RESULT, "taps", None, "q-1"),
            (Step.DEAD_LETTER, "dead letters", OpId(1, 8), None),
        }
        assert all(asked < s.t_ns < monotonic_ns() for s in opened.history.sightings())
        assert [line["source"] for line in opened.lines("phantom")] == ["taps"]
        assert [line["name"] for line in opened.lines("trouble")] == ["ids unclear"]
        reads = {line["source"]: (line["complete"], line["count"]) for line in opened.lines("read")}
        assert reads == {"taps": (True, 4), "dead letters": (True, 1)}


async def test_what_a_dead_letter_says(tmp_path: Path) -> None:
    """Why it is one, and whether it carries what could not be handled: plainly, in base64, or not."""
    op = f"{NONCE}-1-8"
    where = {"op": "$.op", "reason": "$.why", "payload": "$.what", "attempt": "$.tries"}
    told = Subscription("dead.>", Step.DEAD_LETTER, dead_letters.SOURCE, **where)
    letters: list[dict[str, object]] = [
        {"op": op, "why": "no JSON", "what": f"marker:{op}", "tries": 3},
        {"op": op, "why": {"code": 3}, "what": b64encode(f"marker:{op}".encode()).decode()},
        {"op": op, "why": "", "what": {"deep": [op]}, "tries": "four"},
        {"op": op, "what": "something else"},
        {"op": op, "why": "no JSON"},
    ]
    async with lab(tmp_path) as opened:
        source = Taps(opened.recorder, "127.0.0.1", port(opened), {}, [told])
        opened.watch(source)
        await source.wait_subscribed(within_s=5)
        async with publisher(opened) as to:
            for letter in letters:
                to.publish("dead.why", json.dumps(letter).encode())
        await source.final()
        lines, sightings = opened.lines("dead_letter"), list(opened.history.sightings())
    assert [sighting.attempt for sighting in sightings] == [3, 0, 0, 0, 0]
    assert {(line["subject"], line["op"], line["ref"]) for line in lines} == {("dead.why", op, "")}
    assert [line["reason"] for line in lines] == ["no JSON", '{"code": 3}', None, None, "no JSON"]
    assert [line["payload"] for line in lines] == [True, True, True, False, False]


async def test_the_header_counts_too(tmp_path: Path) -> None:
    async with hearing(tmp_path) as (opened, source):
        async with publisher(opened) as to:
            head = b"NATS/1.0\r\nX-Request-Id: %s-0-3\r\n\r\n" % NONCE.encode()
            to._write(b"HPUB jobs.new %d %d\r\n%b{}\r\n" % (len(head), len(head) + 2, head))
        await source.final()
        assert [s.op for s in opened.history.sightings()] == [OpId(0, 3)]


async def test_back_before_the_links_open(tmp_path: Path) -> None:
    """Killed and started again: subscribed once `wait_subscribed` returns, and the time between is a gap of both."""
    async with hearing(tmp_path) as (opened, source):
        broker = opened.runtime.broker
        dead = await broker.kill()
        await asyncio.sleep(0.5)
        with pytest.raises(HarnessError):
            await source.wait_subscribed(within_s=0.2)
        await broker.start()
        await broker.ready(within_s=10)
        asked = monotonic()
        await source.wait_subscribed(within_s=5)
        print(f"subscribed {(monotonic() - asked) * 1e3:.0f} ms after readiness")
        async with publisher(opened) as to:
            to.publish("jobs.new", b'{"query": "%s-0-9"}' % NONCE.encode())
        await source.final()
        assert [s.op for s in opened.history.sightings()] == [OpId(0, 9)]
        for name in ("taps", "dead letters"):
            ((from_ns, to_ns),) = opened.history.gaps(name)
            assert from_ns <= dead < to_ns < monotonic_ns()


async def test_a_paused_broker_is_waited_for(tmp_path: Path) -> None:
    """What it holds for us arrives when it goes on; a new connection would miss it."""
    async with hearing(tmp_path) as (opened, source):
        broker = opened.runtime.broker
        async with publisher(opened) as to:
            await broker.pause()
            to.publish("jobs.new", b'{"query": "%s-0-4"}' % NONCE.encode())
            with pytest.raises(HarnessError):
                await source.wait_subscribed(within_s=0.3)
            await asyncio.sleep(2.5)
            await broker.resume()
        await source.wait_subscribed(within_s=2)
        await source.final()
        assert [s.op for s in opened.history.sightings()] == [OpId(0, 4)]
        assert not opened.history.gaps("taps")


async def test_one_that_is_silent_for_good_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taps, "GIVES_UP_AFTER_S", 0.5)
    monkeypatch.setattr(taps, "PING_EVERY_S", 0.1)
    async with hearing(tmp_path) as (opened, source):
        pid = opened.runtime.broker.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        await until(lambda: opened.history.gaps("taps"), within_s=5)
        os.kill(pid, signal.SIGCONT)
        await source.wait_subscribed(within_s=5)
        assert "silent" in opened.lines("gap")[-1]["why"]


async def test_a_final_read_of_a_dead_broker_is_not_complete(tmp_path: Path) -> None:
    async with hearing(tmp_path) as (opened, source):
        await opened.runtime.broker.kill()
        await source.final()
        assert {line["complete"] for line in opened.lines("read")} == {False}


async def test_a_system_without_taps_has_no_such_source(tmp_path: Path) -> None:
    """An empty source that was read completely would be evidence of nothing."""
    async with lab(tmp_path) as opened:
        source = Taps(opened.recorder, "127.0.0.1", port(opened), {}, [])
        opened.watch(source)
        await source.wait_subscribed(within_s=5)
        await source.final()
        assert not opened.lines("read", "gap")


def test_what_a_system_asks_for() -> None:
    telhawk = load_system("telhawk")
    found = taps.subscriptions(telhawk)
    assert [(one.subject, one.step, one.source, one.op) for one in found] == [
        ("search.jobs.query", Step.PUBLISHED, "taps", "$.query"),
        ("search.results.query.*", Step.RESULT, "taps", "$.query"),
    ]
    (dead,) = dead_letters.subscriptions(telhawk)
    assert (dead.subject, dead.step, dead.source) == ("search.dlq.>", Step.DEAD_LETTER, "dead letters")
    assert (dead.reason, dead.payload) == ("$.reason", "$.envelope")


def test_what_two_workloads_say_of_their_dead_letters_is_heard_once() -> None:
    telhawk = load_system("telhawk")
    twice = telhawk.model_copy(update={"workloads": dict.fromkeys(("one", "two"), telhawk.workloads["queries"])})
    assert len(dead_letters.subscriptions(twice)) == 1
