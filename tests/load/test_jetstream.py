from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType

from harness.history.reader import History
from harness.history.rows import Operation, Outcome, Step, find_markers, marker
from harness.load._config import OP, PAD
from tests.load.lab import NONCE, Broker, Lab, broker, by_workload, jetstream, load, stream, until

MEMORY = StorageType.MEMORY


async def run(lab: Lab, seconds: float, times: float = 1) -> None:
    await lab.load.start(times)
    await asyncio.sleep(seconds)
    await lab.load.stop()


def operations(lab: Lab) -> list[Operation]:
    return list(lab.read().operations())


async def stored(context: JetStreamContext, name: str = "S") -> dict[int, str]:
    """What the stream holds, by sequence, read one by one: another way than the load's."""
    state = (await context.stream_info(name)).state
    found = {}
    for seq in range(state.first_seq, state.last_seq + 1):
        message = await context.get_msg(name, seq)
        assert message.data is not None
        found[seq] = message.data.decode()
    return found


async def test_what_was_acknowledged_is_read_off_the_stream(server: Broker, tmp_path: Path) -> None:
    async with (
        stream(server, storage=MEMORY) as context,
        load(tmp_path, {"events": jetstream(server.url)}, direct=server.url) as lab,
    ):
        await context.publish("S.other", b"nobody's")
        await context.publish("S.other", b"zz9zz9zz-0-1")
        await run(lab, 0.5, times=3)
        await run(lab, 0.25)  # start and stop may come again
        held = await stored(context)
        header = (await context.get_msg("S", 3)).headers
        await lab.load.final()
        found, history = operations(lab), lab.read()

    assert len(found) in range(340, 362)
    assert {one.outcome for one in found} == {Outcome.OK}
    assert {one.seq: find_markers(NONCE, held[one.seq]).ours for one in found} == {one.seq: [one.id] for one in found}
    assert header == {"Harness-Op": marker(NONCE, next(one.id for one in found if one.seq == 3))}
    for step in (Step.EFFECT, Step.RESULT):
        seen = [(one.op, one.seq) for one in history.sightings(step)]
        assert sorted(seen) == [(one.id, one.seq) for one in found]
        assert {(one.source, one.proved) for one in history.sightings(step)} == {("stream", step is Step.RESULT)}
    [read] = history.lines("read")
    assert (read["source"], read["complete"], read["count"]) == ("stream", True, len(found) + 2)
    assert [line["text"] for line in history.lines("phantom")] == ["nobody's"]
    assert [line["name"] for line in history.lines("trouble")] == ["ids unclear"]
    assert lab.totals()["requests"] == len(found)
    assert lab.totals()["failures"] == 0
    assert all(line["slip_p99_ms"] >= 0 for line in history.lines("noise"))


async def test_what_jetstream_refuses_is_failed(server: Broker, tmp_path: Path) -> None:
    workloads = {"full": jetstream(server.url, rate=50), "nowhere": jetstream(server.url, rate=50, stream="NOWHERE")}
    full = stream(server, storage=MEMORY, max_msgs=5, discard=DiscardPolicy.NEW)
    async with full, load(tmp_path, workloads, direct=server.url) as lab:
        await run(lab, 0.5)
        await lab.load.final()
        found = by_workload(lab.read())
        reads = {line["stream"]: line for line in lab.read().lines("read")}

    assert Counter((one.outcome, one.status, one.error) for one in found["full"]) == {
        (Outcome.OK, 0, ""): 5,
        (Outcome.FAIL, 503, "jetstream 10077 maximum messages exceeded"): len(found["full"]) - 5,
    }
    assert {(one.outcome, one.error) for one in found["nowhere"]} == {(Outcome.FAIL, "no responders")}
    assert (reads["S"]["complete"], reads["S"]["count"]) == (True, 5)
    assert not reads["NOWHERE"]["complete"]
    assert "stream not found" in reads["NOWHERE"]["why"]


async def test_our_consumer_sees_each_message_and_empties_a_work_queue(server: Broker, tmp_path: Path) -> None:
    queue = stream(server, storage=MEMORY, retention=RetentionPolicy.WORK_QUEUE)
    workloads = {"work": jetstream(server.url, consume=True)}
    async with queue as context, load(tmp_path, workloads, direct=server.url) as lab:
        await run(lab, 1)
        await until(lambda: not lab.live.open(), lab)
        await lab.load.final()
        found, history = operations(lab), lab.read()
        left = (await context.stream_info("S")).state.messages

    assert {one.outcome for one in found} == {Outcome.OK}
    assert left == 0
    seen = {(one.op, one.seq, one.attempt) for one in history.sightings(Step.DELIVERED) if one.source == "consumer"}
    assert seen == {(one.id, one.seq, 1) for one in found}
    assert {one.op for one in history.sightings(Step.RESULT) if one.proved} == {one.id for one in found}
    assert sorted((one.op, one.seq) for one in history.sightings(Step.EFFECT)) == sorted(
        (one.id, one.seq) for one in found
    )
    [read] = history.lines("read")
    assert (read["complete"], read["count"]) == (True, 0)


async def test_what_was_delivered_and_is_still_held_is_one_effect(server: Broker, tmp_path: Path) -> None:
    workloads = {"work": jetstream(server.url, consume=True)}
    async with stream(server, storage=MEMORY), load(tmp_path, workloads, direct=server.url) as lab:
        await lab.load.start()
        await until(lambda: lab.live.offered > 100, lab)
        await lab.load.stop()
        await until(lambda: not lab.live.open(), lab)
        await lab.load.final()
        found, history = operations(lab), lab.read()
    assert sorted((one.op, one.seq) for one in history.sightings(Step.EFFECT)) == sorted(
        (one.id, one.seq) for one in found
    )
    assert history.lines("read")[0]["count"] == len(found)


async def test_an_empty_stream_is_read_to_its_end(server: Broker, tmp_path: Path) -> None:
    async with (
        stream(server, storage=MEMORY),
        load(tmp_path, {"events": jetstream(server.url)}, direct=server.url) as lab,
    ):
        await lab.load.final()
        [read] = lab.read().lines("read")
    assert (read["complete"], read["count"]) == (True, 0)


async def test_a_killed_broker(server: Broker, tmp_path: Path) -> None:
    async with stream(server) as context, load(tmp_path, {"events": jetstream(server.url)}, direct=server.url) as lab:
        await lab.load.start()
        await asyncio.sleep(0.5)
        killed_ns = time.monotonic_ns()
        server.kill()
        await asyncio.sleep(1)
        back_ns = time.monotonic_ns()
        server.start()
        await until(lambda: lab.live.first_ok(back_ns) is not None, lab)
        await lab.load.stop()
        held = await stored(context)
        await lab.load.final()
        found = operations(lab)

    away = [one for one in found if killed_ns + 50_000_000 < one.start_ns < back_ns]
    assert len(away) > 150
    assert {(one.outcome, one.error) for one in away} == {(Outcome.FAIL, "not connected")}
    assert Counter(one.error for one in found if one.outcome is Outcome.UNKNOWN).keys() <= {"closed"}
    assert {op for text in held.values() for op in find_markers(NONCE, text).ours} <= {one.id for one in found}
    assert lab.read().lines("read")[0]["complete"]


async def test_a_broker_that_answers_nothing(server: Broker, tmp_path: Path) -> None:
    workloads = {"events": jetstream(server.url, rate=400)}
    async with stream(server, storage=MEMORY), load(tmp_path, workloads, direct=server.url) as lab:
        await lab.load.start()
        await asyncio.sleep(0.5)
        server.signal(signal.SIGSTOP)
        paused_ns = time.monotonic_ns()
        await asyncio.sleep(5)
        lab.live.update()
        well = lab.live.last_second_ok(time.monotonic_ns())
        server.signal(signal.SIGCONT)
        back_ns = time.monotonic_ns()
        await until(lambda: lab.live.last_second_ok(time.monotonic_ns()), lab)
        await lab.load.stop()
        await lab.load.final()
        found = operations(lab)

    meanwhile = [one for one in found if paused_ns < one.start_ns < back_ns]
    at_first = {(one.outcome, one.error) for one in meanwhile if one.start_ns < paused_ns + 1_000_000_000}
    assert at_first <= {(Outcome.UNKNOWN, "timeout"), (Outcome.UNKNOWN, "closed")}
    assert {one.error for one in meanwhile if one.outcome is Outcome.FAIL} == {"not connected"}  # noticed by pings
    assert not well
    assert all(one.end_ns is not None for one in found)


async def test_a_stream_longer_than_any_limit_is_read_to_its_end(server: Broker, tmp_path: Path) -> None:
    async with (
        stream(server, storage=MEMORY) as context,
        load(tmp_path, {"events": jetstream(server.url, rate=1500)}, direct=server.url) as lab,
    ):
        await lab.load.start()
        await until(lambda: lab.live.counts().ok > 2_600, lab)
        await lab.load.stop()
        await context.delete_msg("S", 1500)
        await lab.load.final()
        found, history = operations(lab), lab.read()
    kept = {one.id for one in found if one.outcome is Outcome.OK and one.seq != 1500}
    assert len(kept) > 2_500
    assert {one.op for one in history.sightings(Step.EFFECT)} == kept
    assert history.lines("read")[0]["complete"]


async def test_a_stream_that_is_gone_holds_nothing(server: Broker, tmp_path: Path) -> None:
    """What it acknowledged is not there, and JetStream says so: that is all that there is to read."""
    async with (
        stream(server, storage=MEMORY) as context,
        load(tmp_path, {"events": jetstream(server.url)}, direct=server.url) as lab,
    ):
        await run(lab, 0.3)
        await context.delete_stream("S")
        await lab.load.final()
        await context.add_stream(name="S", subjects=["S.>"])
        read = lab.read().lines("read")[0]
    assert (read["complete"], read["count"], read["why"]) == (True, 0, "")


async def test_without_the_broker_the_read_is_incomplete(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with broker(tmp_path_factory.mktemp("store")) as server:
        async with load(tmp_path, {"events": jetstream(server.url)}, direct=server.url) as lab:
            server.kill()
            await run(lab, 0.2)
            await lab.load.final()
            found, history = operations(lab), lab.read()
            server.start()
    assert {(one.outcome, one.error) for one in found} == {(Outcome.FAIL, "not connected")}
    [read] = history.lines("read")
    assert (read["complete"], read["count"]) == (False, 0)
    assert read["why"]


async def test_killed_at_full_rate_it_leaves_a_row_for_each_message(server: Broker, tmp_path: Path) -> None:
    workloads = {"events": jetstream(server.url, rate=50_000)}
    config: dict[str, Any] = {"direct": server.url, "most_in_flight": 64}
    async with stream(server, storage=MEMORY) as context, load(tmp_path, workloads, **config) as lab:
        await lab.load.start()
        await asyncio.sleep(1.5)
        os.kill(lab.load.pids[0], signal.SIGKILL)
        await lab.load.close()
        state = (await context.stream_info("S")).state
        last = [find_markers(NONCE, (await context.get_msg("S", seq)).data.decode()).ours[0]  # type: ignore[union-attr]
                for seq in range(max(1, state.last_seq - 500), state.last_seq + 1)]  # fmt: skip
        history = History.open(lab.history)
        rows = {one.id: one for one in history.operations()}

    assert state.messages > 500
    assert len(rows) >= state.messages
    assert set(last) <= rows.keys()
    assert sum(one.outcome is Outcome.OK for one in rows.values()) <= state.messages
    assert {line["name"] for line in history.troubles()} >= {"history incomplete", "load behind"}


async def test_where_the_system_lists_its_own_effects_a_message_is_none(server: Broker, tmp_path: Path) -> None:
    workloads = {"work": {**jetstream(server.url, consume=True), "effects": True}}
    async with stream(server, storage=MEMORY), load(tmp_path, workloads, direct=server.url) as lab:
        await lab.load.start()
        await until(lambda: lab.live.offered > 100, lab)
        await lab.load.stop()
        await until(lambda: not lab.live.open(), lab)
        await lab.load.final()
        found, history = operations(lab), lab.read()
    assert list(history.sightings(Step.EFFECT)) == []
    assert {one.op for one in history.sightings(Step.RESULT)} == {one.id for one in found}


async def test_a_message_is_padded_where_it_says_so(server: Broker, tmp_path: Path) -> None:
    workload = jetstream(server.url, rate=50)
    workload["publish"]["json"] = {"op": OP, "pad": PAD}
    async with (
        stream(server, storage=MEMORY) as context,
        load(tmp_path, {"events": workload}, direct=server.url) as lab,
    ):
        await lab.load.start(padding=100_000)
        await until(lambda: lab.live.counts().ok > 5, lab)
        await lab.load.stop()
        held = await stored(context)
        await lab.load.final()
        found = operations(lab)
    bodies = {one.seq: {"op": marker(NONCE, one.id), "pad": 100_000} for one in found}
    assert {seq: {**json.loads(text), "pad": len(json.loads(text)["pad"])} for seq, text in held.items()} == bodies
