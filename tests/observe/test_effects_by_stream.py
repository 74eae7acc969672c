"""Effects that are messages of a stream: all of them, once each, whatever the stream's limits do; or no answer."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.js import JetStreamContext
from nats.js.api import RetentionPolicy, StorageType

from harness.history.clock import take_anchor
from harness.history.reader import History
from harness.history.rows import OpId, Sighting, Step
from harness.observe import effects
from harness.observe.effects import Direct, Effects
from harness.system.model import Effects as Table

from .lab import MS, NONCE, lab, until

DONE = Table(stream="DONE", op="$.note", by="$.who")


@dataclass
class Watched:
    effects: Effects
    folder: Path
    context: JetStreamContext

    @property
    def history(self) -> History:
        return History.open(self.folder)

    def seen(self) -> list[Sighting]:
        return list(self.history.sightings(Step.EFFECT))

    def read(self) -> tuple[bool, int, str]:
        [line] = [line for line in self.history.lines("read") if line["source"] == "effects"]
        return line["complete"], line["count"], line["why"]

    async def add(self, *ops: int) -> None:
        for op in ops:
            await self.context.publish("done.w", json.dumps({"note": f"{NONCE}-0-{op}", "who": "w-0"}).encode())

    async def make(self, **options: Any) -> None:
        await self.context.add_stream(name="DONE", subjects=["done.>"], storage=StorageType.MEMORY, **options)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effects, "FINAL_READS_APART_S", 0.2)
    monkeypatch.setattr(effects, "FINAL_WITHIN_S", 2.0)


@asynccontextmanager
async def watched(folder: Path, table: Table = DONE, **options: Any) -> AsyncIterator[Watched]:
    """A broker with the stream, which the observer has looked at once."""
    async with lab(folder) as run:
        broker = run.runtime.broker
        client = await nats.connect(broker.direct())
        past = Direct({}, folder, broker.direct(what="host"), int(broker.direct(what="port")))
        source = Effects(run.recorder, table, past)
        one = Watched(source, folder / "history", client.jetstream())
        if options.pop("made", True):
            await one.make(**options)
            await source._read(0)
        run.watch(source)
        yield one
        await client.close()


async def test_each_message_is_one_sighting_when_it_was_stored(folder: Path) -> None:
    async with watched(folder) as one:
        before_ns = take_anchor(1).wall_ns
        await one.add(0, 1, 1)
        await until(lambda: len(one.seen()) == 3, within_s=10)
        await one.add(2)
        await one.effects.final()
        assert [(sight.op, sight.seq, sight.by) for sight in one.seen()] == [
            (OpId(0, op), seq, "w-0") for seq, op in enumerate((0, 1, 1, 2), 1)
        ]
        assert all(-MS <= one.history.wall_of_t(s.t_ns) - before_ns < 60_000 * MS for s in one.seen())
        assert one.read() == (True, 4, "")


async def test_nothing_is_acknowledged_and_no_limit_stops_it(folder: Path) -> None:
    async with watched(folder, retention=RetentionPolicy.WORK_QUEUE) as one:
        await one.add(*range(1_500))
        await one.effects.final()
        assert one.read() == (True, 1_500, "")
        state = (await one.context.stream_info("DONE")).state
        assert (state.messages, state.consumer_count) == (1_500, 0)


async def test_what_was_read_may_go(folder: Path) -> None:
    async with watched(folder) as one:
        await one.add(0, 1, 2)
        await until(lambda: len(one.seen()) == 3, within_s=10)
        await one.context.delete_msg("DONE", 2)
        await one.context.purge_stream("DONE")
        await one.add(3)
        await one.effects.final()
        assert [sight.op for sight in one.seen()] == [OpId(0, op) for op in range(4)]
        assert one.read() == (True, 4, "")


@pytest.mark.parametrize("how", ["deleted", "purged", "limited"])
async def test_what_goes_before_it_was_read_leaves_no_answer(folder: Path, how: str) -> None:
    async with watched(folder, max_msgs=2 if how == "limited" else -1) as one:
        await one.effects._reading.acquire()  # nobody reads meanwhile
        await one.add(0, 1, 2, 3)
        if how == "deleted":
            await one.context.delete_msg("DONE", 2)
        elif how == "purged":
            await one.context.purge_stream("DONE")
        one.effects._reading.release()
        await one.effects.final()
        complete, _, why = one.read()
        assert not complete
        count = {"deleted": 1, "purged": 4, "limited": 2}[how]
        assert why == f"{count} messages of DONE were removed before they were read"


async def test_a_stream_that_comes_later(folder: Path) -> None:
    async with watched(folder, made=False) as one:
        await until(lambda: one.history.lines("gap"), within_s=10)
        assert one.history.lines("gap")[0]["why"] == "404 stream not found"
        await one.make()
        await one.add(0)
        await one.effects.final()
        assert one.read() == (True, 1, "")


async def test_a_stream_that_never_comes(folder: Path) -> None:
    async with watched(folder, made=False) as one:
        await one.effects.final()
        assert one.read() == (False, 0, "404 stream not found")


async def test_a_stream_that_is_made_anew(folder: Path) -> None:
    async with watched(folder) as one:
        await one.add(0)
        await until(lambda: one.seen(), within_s=10)
        await one.context.delete_stream("DONE")
        await one.make()
        await one.add(1, 2, 3)
        await one.effects.final()
        assert one.read() == (False, 1, "DONE was made anew")


async def test_messages_of_nobody(folder: Path) -> None:
    async with watched(folder) as one:
        await one.context.publish("done.w", b"no JSON")
        await one.context.publish("done.w", b'{"note": "none"}')
        await one.add(0)
        await one.effects.final()
        assert [sight.op for sight in one.seen()] == [OpId(0, 0)]
        assert [line["source"] for line in one.history.lines("phantom")] == ["effects"] * 2


async def test_a_broker_that_goes_and_comes_back(folder: Path) -> None:
    async with lab(folder) as run:
        broker = run.runtime.broker
        client = await nats.connect(broker.direct())
        past = Direct({}, folder, broker.direct(what="host"), int(broker.direct(what="port")))
        one = Watched(Effects(run.recorder, DONE, past), folder / "history", client.jetstream())
        await one.context.add_stream(name="DONE", subjects=["done.>"])  # in files, which survive
        await one.effects._read(0)
        run.watch(one.effects)
        await one.add(0)
        await until(lambda: one.seen(), within_s=10)
        await broker.kill()
        await until(lambda: one.history.gaps("effects"), within_s=10)
        await broker.start()
        await broker.ready(within_s=20)
        await until(lambda: client.is_connected, within_s=20)
        await one.add(1)
        await one.effects.final()
        assert [sight.op for sight in one.seen()] == [OpId(0, 0), OpId(0, 1)]
        assert one.read()[0]
        await client.close()
