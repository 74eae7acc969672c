"""The effects, read from an enumeration that grows, finishes late, fails and lies."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic_ns, time_ns
from typing import Any

import pytest

from harness.errors import UnknownName, UsageError
from harness.history.reader import History
from harness.history.recorder import Recorder
from harness.history.rows import OpId, Sighting, Step
from harness.observe import effects
from harness.observe.effects import Direct, Effects
from harness.system.model import Effects as Table
from tests.listening import listening

from .lab import MS, NONCE, until

TABLE = Table(
    url="{store.url}/executions?after={cursor}",
    each="$.executions[*]",
    next="$.next",
    op="$.marker",
    by="$.worker",
    begun="$.begun",
    finished="$.finished",
    attempt="$.attempt",
    repeat="$.repeat",
)


@dataclass
class Store:
    """What a store enumerates, `page` records at a time, and how it answers."""

    records: list[dict[str, Any]] = field(default_factory=list)
    page: int = 3
    status: int = 200
    url: str = ""
    asked: list[int] = field(default_factory=list)

    def begin(self, n: int, by: str = "search-0", **more: Any) -> dict[str, Any]:
        record = {"marker": f"note:{NONCE}-0-{n}", "worker": by, "begun": time_ns(), "finished": None, "attempt": 1}
        self.records.append({**record, "repeat": False, **more})
        return self.records[-1]

    def answer(self, after: int) -> bytes:
        self.asked.append(after)
        found = self.records[after : after + self.page]
        body = json.dumps({"executions": found, "next": after + len(found)}).encode()
        return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (self.status, len(body), body)


@asynccontextmanager
async def store() -> AsyncIterator[Store]:
    kept = Store()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(kept.answer(int(head.split(b"after=")[1].split(b" ")[0])))

    async with listening(serve) as port:
        kept.url = f"http://127.0.0.1:{port}"
        yield kept


@dataclass
class Watched:
    store: Store
    effects: Effects
    folder: Path

    @property
    def history(self) -> History:
        return History.open(self.folder)

    def seen(self, *steps: Step) -> list[Sighting]:
        return list(self.history.sightings(*steps))


@asynccontextmanager
async def watched(folder: Path, table: Table = TABLE) -> AsyncIterator[Watched]:
    recorder = Recorder(folder, name="runner", nonce=NONCE)
    async with store() as kept, asyncio.TaskGroup() as group:
        source = Effects(recorder, table, Direct({"store.url": kept.url}))
        watching = group.create_task(source.watch())
        yield Watched(kept, source, folder)
        watching.cancel()
    recorder.close()


async def test_each_record_is_one_sighting_at_its_own_time(tmp_path: Path) -> None:
    async with watched(tmp_path) as one:
        before = time_ns()
        for n in range(8):
            one.store.begin(n, attempt=n)
        await until(lambda: len(one.seen(Step.EFFECT)) == 8, within_s=3)
        await asyncio.sleep(0.6)
        seen = one.seen(Step.EFFECT)
        assert [sight.op for sight in seen] == [OpId(0, n) for n in range(8)]
        assert [sight.seq for sight in seen] == list(range(8))
        assert [sight.attempt for sight in seen] == list(range(8))
        assert {sight.by for sight in seen} == {"search-0"}
        assert all(abs(one.history.wall_of_t(sight.t_ns) - before) < 50 * MS for sight in seen)
        assert not one.seen(Step.FINISHED, Step.REPEAT)


def begun(one: Watched, by: str) -> int:
    """How many operations a replica has begun by now."""
    return len(set(one.effects.begun_by(by, before_ns=monotonic_ns())))


async def test_finished_comes_later_under_the_same_number(tmp_path: Path) -> None:
    async with watched(tmp_path) as one:
        records = [one.store.begin(n, by=f"search-{n % 2}") for n in range(7)]
        await until(lambda: begun(one, "search-0") == 4, within_s=3)
        assert begun(one, "search-1") == 3
        for n in (1, 6):
            records[n]["finished"] = time_ns()
        await until(lambda: len(one.seen(Step.FINISHED)) == 2, within_s=3)
        assert {(sight.seq, sight.op) for sight in one.seen(Step.FINISHED)} == {(1, OpId(0, 1)), (6, OpId(0, 6))}
        assert len(one.seen(Step.EFFECT)) == 7


async def test_only_what_may_change_is_read_again(tmp_path: Path) -> None:
    async with watched(tmp_path) as one:
        for n in range(9):
            one.store.begin(n)["finished"] = 0 if n < 6 else None
        await until(lambda: len(one.seen(Step.EFFECT)) == 9, within_s=3)
        one.store.asked.clear()
        await until(lambda: len(one.store.asked) >= 4, within_s=3)
        assert set(one.store.asked) == {6, 9}
        for record in one.store.records:
            record["finished"] = time_ns()
        await until(lambda: len(one.seen(Step.FINISHED)) == 9, within_s=3)
        await asyncio.sleep(0.3)
        one.store.asked.clear()
        await until(lambda: len(one.store.asked) >= 2, within_s=3)
        assert set(one.store.asked) == {9}


async def test_repeats_are_no_effects_and_nobodys_work(tmp_path: Path) -> None:
    async with watched(tmp_path) as one:
        one.store.begin(1)
        one.store.begin(1, repeat=True)
        await until(lambda: one.seen(Step.REPEAT), within_s=3)
        assert len(one.seen(Step.EFFECT)) == 1
        assert list(one.effects.begun_by("search-0", before_ns=monotonic_ns())) == [OpId(0, 1), OpId(0, 1)]
        assert begun(one, "search-0") == 1


async def test_records_of_nobody(tmp_path: Path) -> None:
    async with watched(tmp_path) as one:
        one.store.begin(0, marker="no marker here")
        one.store.begin(1, marker="zz9zz9z9-0-1")
        one.store.begin(2, marker=f"{NONCE}-0-1 {NONCE}-0-2")
        one.store.begin(3)
        await until(lambda: one.seen(Step.EFFECT), within_s=3)
        await asyncio.sleep(0.4)
        assert [sight.op for sight in one.seen()] == [OpId(0, 3)]
        (phantom,) = one.history.lines("phantom")
        assert (phantom["source"], phantom["text"]) == ("effects", "no marker here")
        assert [trouble["name"] for trouble in one.history.lines("trouble")] == ["ids unclear"] * 2


async def test_a_store_that_is_away_is_a_gap(tmp_path: Path) -> None:
    async with watched(tmp_path) as one:
        one.store.begin(1)
        await until(lambda: one.seen(Step.EFFECT), within_s=3)
        one.store.status = 503
        await until(lambda: one.history.gaps("effects"), within_s=3)
        one.store.status = 200
        await until(lambda: one.history.gaps("effects")[0][1] < 2**62, within_s=3)
        assert one.history.lines("gap")[0]["why"] == "status 503"


async def test_the_final_read_is_two_that_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effects, "FINAL_READS_APART_S", 0.2)
    async with watched(tmp_path) as one:
        one.store.begin(1)
        final = asyncio.create_task(one.effects.final())
        await asyncio.sleep(0.1)
        one.store.begin(2)
        await final
        (read,) = one.history.lines("read")
        assert (read["source"], read["complete"], read["count"]) == ("effects", True, 2)
        assert len(one.seen(Step.EFFECT)) == 2


@pytest.mark.parametrize("how", ["away", "shrunk", "another", "ever changing"])
async def test_a_final_read_that_is_not_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.setattr(effects, "FINAL_READS_APART_S", 0.1)
    monkeypatch.setattr(effects, "FINAL_WITHIN_S", 0.8)
    async with watched(tmp_path) as one:
        one.store.begin(1)
        one.store.begin(2)
        await until(lambda: len(one.seen(Step.EFFECT)) == 2, within_s=3)
        if how == "away":
            one.store.status = 500
        elif how == "shrunk":
            one.store.records.pop()
        elif how == "another":  # without an order of its own a listing may put new records first
            one.store.records.insert(0, one.store.records[1] | {"marker": f"note:{NONCE}-0-9"})
        final = asyncio.create_task(one.effects.final())
        while not final.done():
            if how == "ever changing":
                one.store.begin(len(one.store.records))
            await asyncio.sleep(0.03)
        assert not one.history.lines("read")[0]["complete"]


async def test_an_enumeration_without_pages_and_with_refs(tmp_path: Path) -> None:
    table = Table(url="{store.url}/executions?after=0", each="$.executions[*]", ref="$.id")
    async with watched(tmp_path, table) as one:
        one.store.page = 100
        one.store.begin(1, id="q-1")
        one.store.begin(2, id="q-2")
        await until(lambda: len(one.seen(Step.EFFECT)) == 2, within_s=3)
        await asyncio.sleep(0.6)
        assert [(sight.ref, sight.op) for sight in one.seen()] == [("q-1", None), ("q-2", None)]
        assert begun(one, "search-0") == 0


def test_other_enumerations_are_refused(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, name="runner", nonce=NONCE)
    with pytest.raises(UsageError):
        Effects(recorder, Table(op="$.note"), Direct({}))
    with pytest.raises(UsageError, match="is no http URL"):
        Effects(recorder, Table(url="https://127.0.0.1/{cursor}", each="$[*]"), Direct({}))
    with pytest.raises(UnknownName):
        Effects(recorder, TABLE, Direct({}))
    with pytest.raises(UnknownName):
        Effects(recorder, Table(command=("list", "{store.url}")), Direct({}))
    recorder.close()
