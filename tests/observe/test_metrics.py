"""The metrics observer before a real server: what it keeps, and what it makes of one that does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, generate_latest

from harness.history.reader import History
from harness.history.recorder import Recorder
from harness.observe import metrics
from harness.observe.metrics import Metrics, Target, read
from tests.listening import close

from .lab import NONCE, until

NAMES = {"lost": "lost_total", "returned": "returned_total"}


class Service:
    """Tells its metrics, or answers what a test puts in their place."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.lost = Counter("lost", "Lost", ["to"], registry=self.registry)
        self.answer: Callable[[], web.Response] | None = None
        self.scrapes, self.holds = 0, False
        self.released = asyncio.Event()

    async def tell(self, _: web.Request) -> web.Response:
        self.scrapes += 1
        if self.holds:
            await self.released.wait()
        if self.answer is not None:
            return self.answer()
        return web.Response(body=generate_latest(self.registry), content_type="text/plain")


@asynccontextmanager
async def served() -> AsyncIterator[tuple[Service, str, Callable[[], Awaitable[None]]]]:
    service, app = Service(), web.Application()
    app.router.add_get("/metrics", service.tell)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    server = runner.server
    assert server is not None
    listens = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    port = listens.sockets[0].getsockname()[1]

    async def end() -> None:
        service.released.set()
        if listens.is_serving():
            await close(listens)
            await runner.cleanup()

    yield service, f"http://127.0.0.1:{port}/metrics", end
    await end()
    await until(lambda: len(asyncio.all_tasks()) == 1 and not server.connections, within_s=5)


@asynccontextmanager
async def scraping(
    folder: Path, url: str, monkeypatch: pytest.MonkeyPatch, alive: Callable[[], bool] = lambda: True
) -> AsyncIterator[Callable[..., list[dict[str, Any]]]]:
    """An observer of one replica at work, every 20 ms; what it recorded."""
    monkeypatch.setattr(metrics, "SCRAPES_EVERY_S", 0.02)
    recorder = Recorder(folder, name="runner", nonce=NONCE)
    observer = Metrics(recorder, [Target("web-0", url, NAMES, alive)])
    watching = asyncio.create_task(observer.watch())
    try:
        yield lambda *kinds: History.open(folder).lines(*kinds or ("metrics",))
        await observer.final()
    finally:
        watching.cancel()
        recorder.close()


async def test_values_are_kept_at_first_and_when_they_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with served() as (service, url, _), scraping(tmp_path, url, monkeypatch) as lines:
        await until(lambda: service.scrapes > 3, within_s=5)
        assert [line["values"] for line in lines()] == [{"lost": None, "returned": None}]
        service.lost.labels("a").inc()
        service.lost.labels("b").inc(2)
        await until(lambda: len(lines()) > 1, within_s=5)
        assert lines()[-1]["values"] == {"lost": 3.0, "returned": None}
        assert all(line["from_ns"] <= line["t_ns"] for line in lines())
    assert [(line["source"], line["complete"]) for line in lines("read")] == [("metrics", True)]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (lambda: web.Response(status=404), "status 404"),
        (lambda: web.Response(body=b"<html>{</html>"), ""),
    ],
)
async def test_every_scrape_that_fails_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Callable[[], web.Response], why: str
) -> None:
    async with served() as (service, url, _), scraping(tmp_path, url, monkeypatch) as lines:
        service.answer = answer
        await until(lambda: len(lines()) > 2, within_s=5)
        assert all(why in line["error"] and line["error"] for line in lines()[-2:])
    assert [line["complete"] for line in lines("read")] == [False]


async def test_nobody_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the replica has a process that is its failure; without one it is a gap, until it answers again."""
    runs = True
    async with served() as (service, url, end):
        async with scraping(tmp_path, url, monkeypatch, lambda: runs) as lines:
            await until(lambda: service.scrapes, within_s=5)
            await end()
            await until(lambda: lines()[-1].get("error"), within_s=5)
            runs = False
            await until(lambda: lines("gap"), within_s=5)
        gaps = History.open(tmp_path).gaps("metrics web-0")
    assert len(gaps) == 1


async def test_an_answer_that_does_not_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "ANSWERS_WITHIN_S", 0.1)

    async with served() as (service, url, _), scraping(tmp_path, url, monkeypatch) as lines:
        service.holds = True
        await until(lambda: lines()[-1:] and lines()[-1].get("error"), within_s=5)
        assert lines()[-1]["error"] == "no answer in time"


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", {"lost": None, "returned": None}),
        ('lost_total{a="b\\"}"} 2\nlost_total 1\nother 5\n', {"lost": 3.0, "returned": None}),
        (
            "# TYPE lost_total counter\nlost_total 1 1700000000000\nreturned_total NaN\n",
            {"lost": 1.0, "returned": None},
        ),
        ("lost 7\nlost_total_ 8\n", {"lost": None, "returned": None}),
    ],
)
def test_reading(text: str, values: dict[str, float | None]) -> None:
    assert read(text, NAMES) == values


def test_what_is_no_metrics_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"."):
        read("lost_total one\n", NAMES)
