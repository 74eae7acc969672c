"""What a load balancer sees: of replicas that answer, refuse, hang and come back, asked for real."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.history.reader import History
from harness.history.recorder import Recorder
from harness.observe import _http, health
from harness.observe.health import Health
from tests.listening import listening

from .lab import NONCE, until

TARGET = ("web-0", "ready")


@dataclass
class Replica:
    """What a replica answers; 0: nothing, for as long as it is asked."""

    status: int = 200
    port: int = 0
    asked: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        if not self.status:
            await reader.read()
        else:
            writer.write(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % self.status)


@dataclass
class Watched:
    replica: Replica
    health: Health
    folder: Path

    @property
    def lines(self) -> list[dict[str, Any]]:
        return History.open(self.folder).lines("health")

    async def seen(self, answer: str, *, within_s: float = 3) -> dict[str, Any]:
        """The line that tells of this answer, which has to be the last one."""
        await until(lambda: any(line["answer"] == answer for line in self.lines[-1:]), within_s=within_s)
        return self.lines[-1]


@asynccontextmanager
async def watched(folder: Path) -> AsyncIterator[Watched]:
    recorder, replica = Recorder(folder, name="runner", nonce=NONCE), Replica()
    async with listening(replica.serve) as replica.port, asyncio.TaskGroup() as group:
        observer = Health(recorder, {TARGET: f"http://127.0.0.1:{replica.port}/readyz"})
        watching = group.create_task(observer.watch())
        yield Watched(replica, observer, folder)
        watching.cancel()
    recorder.close()


async def test_a_change_is_told_when_it_comes_and_else_once_a_second(tmp_path: Path) -> None:
    async with watched(tmp_path) as one:
        assert (await one.seen("200"))["green"]
        asked = one.replica.asked
        await until(lambda: one.replica.asked >= asked + 25, within_s=6)
        assert 2 <= len(one.lines) <= 5
        one.replica.status = 503
        red = await one.seen("503")
        one.replica.status = 204
        green = await one.seen("204")
    assert (red["green"], green["green"]) == (False, True)
    assert (red["node"], red["what"]) == TARGET
    assert red["from_ns"] < red["t_ns"] < green["from_ns"] < green["t_ns"]


@pytest.mark.parametrize("status", [302, 404, 500])
async def test_what_is_not_2xx_is_not_green(tmp_path: Path, status: int) -> None:
    async with watched(tmp_path) as one:
        one.replica.status = status
        assert not (await one.seen(str(status)))["green"]


async def test_a_replica_that_hangs_is_red_after_its_deadline_and_was_read(tmp_path: Path) -> None:
    async with watched(tmp_path) as one:
        await one.seen("200")
        one.replica.status = 0
        line = await one.seen("timeout")
        await one.health.final()
    assert not line["green"]
    assert 0.9e9 < line["t_ns"] - line["from_ns"] < 2e9
    history = History.open(tmp_path)
    assert not history.gaps("health")
    (read,) = history.lines("read")
    assert (read["source"], read["complete"]) == ("health", True)


async def test_nobody_there_is_an_answer(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, name="runner", nonce=NONCE)
    observer = Health(recorder, {TARGET: "http://127.0.0.1:9/readyz"})
    watching = asyncio.create_task(observer.watch())
    await until(lambda: History.open(tmp_path).lines("health"), within_s=3)
    watching.cancel()
    await observer.final()
    recorder.close()
    history = History.open(tmp_path)
    assert {(line["answer"], line["green"]) for line in history.lines("health")} == {("ECONNREFUSED", False)}
    assert not history.gaps("health")


async def test_what_fails_on_our_side_is_a_gap_and_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(url: str, **_: Any) -> _http.Answer:
        raise OSError(errno.EMFILE, "too many open files")

    async with watched(tmp_path) as one:
        await one.seen("200")
        with monkeypatch.context() as patched:
            patched.setattr(_http, "get", full)
            await until(lambda: History.open(tmp_path).lines("gap"), within_s=3)
            await one.health.final()
        await until(lambda: len(History.open(tmp_path).lines("gap")) == 2, within_s=3)
    history = History.open(tmp_path)
    opened, closed = history.lines("gap")
    assert (opened["why"], opened["to_ns"]) == ("web-0: EMFILE", None)
    assert closed["to_ns"] > opened["from_ns"]
    assert not history.lines("read")[0]["complete"]


async def test_a_loop_that_stood_still_is_a_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "MISSED_AFTER_S", 0.02)  # so that each pause between two looks is one
    async with watched(tmp_path) as one:
        await one.seen("200")
        await until(lambda: len(History.open(tmp_path).lines("gap")) >= 2, within_s=3)
    assert {line["why"] for line in History.open(tmp_path).lines("gap")} == {"our own loop stood still"}
