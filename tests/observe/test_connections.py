"""Who closed what, and when: told by log, kernel and broker, held against the client's own clock.

Moments must be right to 10 ms beside what our own loop or the client's was late, to 100 ms more where the kernel is
asked.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic_ns
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.history.recorder import Recorder
from harness.observe import connections
from harness.observe._connz import Entry
from harness.observe._link_watch import LinkWatch
from harness.observe._proxy_log import Event
from harness.runtime import _nats

from .lab import LINK, MS, Client, Lab, client, held, lab, until

NOTICED_S = 1.6
"""Longer than two pings of the client, 0.3 s apart."""


@asynccontextmanager
async def connected(folder: Path) -> AsyncIterator[tuple[Lab, Client]]:
    async with client() as app, lab(folder) as opened:
        app.say(opened.runtime.links[LINK].url)
        await until(lambda: app.when("connected"), within_s=15)
        await until(lambda: opened.connection_lines(app.name, event="reached"), within_s=2)
        yield opened, app


def right(seen_ns: int, told_ns: int | None, opened: Lab, app: Client, *, beside_ms: float = 0) -> None:
    assert told_ns is not None
    off_ms = (seen_ns - told_ns) / MS
    print(f"off by {off_ms:.2f} ms; our own lag {opened.lag_ms():.1f}, the client's {app.lag_ms:.1f}")
    lag_ms = opened.lag_ms() + app.lag_ms
    assert -10 - lag_ms <= off_ms <= 10 + lag_ms + beside_ms


def closed(opened: Lab, app: Client, via: str = "proxy") -> dict[str, object]:
    (line,) = opened.connection_lines(app.name, event="closed", via=via)
    return line


async def back(opened: Lab, app: Client, after_ns: int) -> None:
    """The client is back, and the new connection is known: opened, then reached, right to 10 ms."""
    await until(lambda: app.when("reconnected", after_ns), within_s=10)
    name = next(what.split()[1] for t_ns, what in app.told if t_ns >= after_ns and what.startswith("reconnected"))
    await until(lambda: opened.connection_lines(name, event="reached"), within_s=3)
    (reached,) = opened.connection_lines(name, event="reached")
    (begun,) = opened.connection_lines(name, event="opened")
    assert begun["t_ns"] <= reached["t_ns"]
    # The client tells once it has shaken hands, the broker when it accepted.
    assert after_ns - 10 * MS <= reached["t_ns"] <= (app.when("reconnected", after_ns) or 0) + 10 * MS
    assert opened.connections.alive(LINK) == 1


async def test_a_life_from_end_to_end(tmp_path: Path) -> None:
    async with connected(tmp_path) as (opened, app):
        (begun,) = opened.connection_lines(app.name, event="opened")
        (reached,) = opened.connection_lines(app.name, event="reached")
        # The client's own loop is not watched while it connects: between the two is all that it can tell.
        assert (app.when("connecting") or 0) - 10 * MS <= begun["t_ns"] <= reached["t_ns"]
        assert reached["t_ns"] <= (app.when("connected") or 0) + (10 + opened.lag_ms()) * MS
        assert reached["cid"]
        assert opened.connections.alive(LINK) == 1
        app.say("close")
        await until(lambda: opened.connection_lines(app.name, event="closed", via="connz"), within_s=3)
        line = closed(opened, app)
        assert line["by"] == "client"
        right(int(str(line["t_ns"])), app.when("closing"), opened, app)
        assert closed(opened, app, "connz")["reason"] == "Client Closed"
        assert "by" not in closed(opened, app, "connz"), "the broker sees the proxy close, whoever did"
        assert opened.connections.alive(LINK) == 0
        await opened.connections.final()
        assert opened.lines("read")[0]["complete"]
        assert not opened.lines("trouble", "gap")


async def test_silent(tmp_path: Path) -> None:
    async with connected(tmp_path) as (opened, app):
        link = opened.runtime.links[LINK]
        effective = await link.cut("silent")
        await held(NOTICED_S)
        line = closed(opened, app)
        assert line["by"] == "client"
        right(int(str(line["t_ns"])), app.when("disconnected", effective), opened, app)
        healing = monotonic_ns()
        healed = await link.mend()
        await back(opened, app, healing)
        ended = [one for one in opened.connection_lines(event="closed", by="proxy") if one["t_ns"] >= healing]
        assert all(one["t_ns"] <= healed + 50 * MS for one in ended), "what was cut ends when it heals, by the proxy"


@pytest.mark.parametrize("way", ["both", "to"])
async def test_frozen(tmp_path: Path, way: str) -> None:
    """The log sleeps, or tells nothing while bytes are held; the kernel tells."""
    async with connected(tmp_path) as (opened, app):
        link = opened.runtime.links[LINK]
        effective = await link.cut("frozen", "both" if way == "both" else "to")
        await held(NOTICED_S)
        line = closed(opened, app, "close_wait")
        assert line["by"] == "client"
        right(int(str(line["t_ns"])), app.when("disconnected", effective), opened, app, beside_ms=100)
        assert opened.connections.alive(LINK) == (0 if way == "both" else opened.connections.alive(LINK))
        healing = monotonic_ns()
        await link.mend()
        await until(lambda: app.when("reconnected", healing), within_s=10)
        assert len(opened.connection_lines(app.name, via="close_wait")) == 1, "told once"


async def test_frozen_shortly_harms_nobody(tmp_path: Path) -> None:
    async with connected(tmp_path) as (opened, _):
        link = opened.runtime.links[LINK]
        await link.cut("frozen")
        await held(0.25)
        await link.mend()
        await held(0.5)
        assert not opened.connection_lines(event="closed")
        assert opened.connections.alive(LINK) == 1


async def test_refused(tmp_path: Path) -> None:
    async with connected(tmp_path) as (opened, app):
        link = opened.runtime.links[LINK]
        asked = monotonic_ns()
        await link.refuse()
        await until(lambda: app.when("disconnected", asked), within_s=3)
        await held(0.1)
        line = closed(opened, app)
        assert line["by"] == "proxy"
        right(int(str(line["t_ns"])), app.when("disconnected", asked), opened, app)
        healing = monotonic_ns()
        await link.open()
        await back(opened, app, healing)


async def test_the_broker_dies_and_returns(tmp_path: Path) -> None:
    async with connected(tmp_path) as (opened, app):
        broker, link = opened.runtime.broker, opened.runtime.links[LINK]
        dead = await broker.kill()
        await held(0.3)
        line = closed(opened, app)
        assert line["by"] == "upstream"
        right(int(str(line["t_ns"])), dead, opened, app)
        await broker.start()
        await broker.ready(within_s=10)
        healing = monotonic_ns()
        await link.open()
        await back(opened, app, healing)
        (gap,) = opened.history.gaps("connz")
        assert gap[0] < dead < gap[1]
        assert not opened.history.gaps("connections")
        assert not opened.lines("trouble")


async def test_the_broker_is_paused(tmp_path: Path) -> None:
    async with connected(tmp_path) as (opened, app):
        broker = opened.runtime.broker
        effective = await broker.pause()
        await held(NOTICED_S)
        line = closed(opened, app)
        assert line["by"] == "client"
        right(int(str(line["t_ns"])), app.when("disconnected", effective), opened, app)
        assert not [one for one in opened.connection_lines(event="reached") if one["t_ns"] > effective]
        resuming = monotonic_ns()
        await broker.resume()
        await until(lambda: app.when("reconnected", resuming), within_s=10)
        await until(
            lambda: [one for one in opened.connection_lines(event="reached") if one["t_ns"] >= resuming], within_s=2
        )
        assert not opened.lines("gap"), "the broker had it all once it went on"


async def test_a_proxy_that_was_replaced_closed_it(tmp_path: Path) -> None:
    async with connected(tmp_path) as (opened, app):
        await opened.runtime.links[LINK].replace()
        await until(lambda: opened.connection_lines(app.name, event="closed", via="proxy"), within_s=2)
        line = closed(opened, app)
        assert (line["by"], line["reason"]) == ("proxy", "replaced")
        assert not opened.connection_lines(app.name, via="close_wait")


async def test_a_way_round_the_proxy_is_a_trouble(tmp_path: Path) -> None:
    async with lab(tmp_path) as opened:
        broker = opened.runtime.broker
        port = int(broker.direct(what="port"))
        ours = await _nats.connect("127.0.0.1", port, name="nats-harness-x", login={}, within_s=2)
        theirs = await _nats.connect("127.0.0.1", port, name="rogue", login={}, within_s=2)
        await until(lambda: opened.lines("trouble"), within_s=4)
        await asyncio.sleep(0.3)
        (trouble,) = opened.lines("trouble")
        assert trouble["name"] == "bypass"
        assert "broker-0" in trouble["detail"]
        ours.drop()
        theirs.drop()


async def test_many_at_once_are_all_reached(tmp_path: Path) -> None:
    """Also those that are gone before anybody could look for their sockets."""
    async with lab(tmp_path) as opened:
        port = opened.runtime.links[LINK].port

        async def one(n: int) -> None:
            connection = await _nats.connect("127.0.0.1", port, name=f"app-{n}", login={}, within_s=5)
            await asyncio.sleep(0.3 if n % 2 else 0)
            connection.drop()

        async with asyncio.TaskGroup() as group:
            for n in range(20):
                group.create_task(one(n))
        await until(lambda: len(opened.connection_lines(event="closed", via="connz")) == 20, within_s=4)
        assert len({line["client"] for line in opened.connection_lines(event="reached")}) == 20
        assert {line["by"] for line in opened.connection_lines(event="closed", via="proxy")} == {"client"}
        await asyncio.sleep(1.5)
        assert not opened.lines("trouble")


def test_an_answer_that_took_long_is_no_time_in_which_a_line_could_come(tmp_path: Path) -> None:
    """The broker stood still while it was asked, and tells of clients that its backlog held."""
    recorder = Recorder(tmp_path, name="runner", nonce="7f3a9k2m")
    placed = SimpleNamespace(place=lambda *_, **__: None, spare=lambda *_: None)
    watch = connections._ConnzWatch(recorder, "broker-0", "http://nowhere", cast(Any, placed))
    entry = Entry("server", 18, "127.0.0.1:53910", monotonic_ns(), None, "", ours=False, used=True)
    for asked_ns in (monotonic_ns() - 2 * connections.DOUBT_NS, monotonic_ns()):
        watch._tell(entry, asked_ns)
    recorder.close()
    assert not [line for line in (tmp_path / "lines-runner.jsonl").read_text().splitlines() if "bypass" in line]


def test_of_many_that_close_at_once_none_takes_the_port_of_another(tmp_path: Path) -> None:
    """Else whose port it was is taken for a connection that lives on, and that one for a way past the proxies."""
    recorder = Recorder(tmp_path, name="runner", nonce="7f3a9k2m")
    link = SimpleNamespace(source="app-0", target="broker-0", host="127.0.0.1", port=1, proxy_pid=1)
    watch = LinkWatch(recorder, cast(Any, link), {}, bind=True)
    watch._record([Event("opened", "first:1", 10), Event("opened", "second:2", 20)])
    watch.bind("first:1", 4001, 10)
    watch._record(
        [
            Event("closed", "first:1", 30, by="proxy", upstream_port=4002),
            Event("closed", "second:2", 30, by="proxy", upstream_port=4001),
        ]
    )
    assert watch.unbound == {"second:2": 20}
    watch._record([Event("opened", "third:3", 40), Event("closed", "third:3", 50, by="client", upstream_port=4001)])
    assert watch.unbound == {"second:2": 20}, "a port that was left may come again"
    recorder.close()


def watched(recorder: Recorder, opened_ns: int, gone_ns: int | None) -> connections._ConnzWatch:
    """What watches the broker; over its one link a connection was opened, and perhaps closed."""
    link = SimpleNamespace(source="app-0", target="broker-0", host="127.0.0.1", port=1, proxy_pid=1)
    all_links = cast(Any, {("app-0", "broker-0"): link})
    watching = connections.Connections(recorder, all_links, {"broker-0": "http://nowhere"}, cast(Any, None))
    (watch,) = watching._watches
    watch._record([Event("opened", "127.0.0.1:1", opened_ns)])
    if gone_ns is not None:
        watch._record([Event("closed", "127.0.0.1:1", gone_ns, by="client")])
    return watching._connz["broker-0"]


@pytest.mark.parametrize(("gone_ms", "cid"), [(None, 12), (695, 8)])
def test_who_only_looked_whether_the_broker_listens_is_nobody_that_came_after(
    tmp_path: Path, gone_ms: int | None, cid: int
) -> None:
    """It ended before that one was opened; unless that has ended too, and its proxy's lines came late."""
    recorder = Recorder(tmp_path, name="runner", nonce="7f3a9k2m")
    began = monotonic_ns() - 5 * connections.DOUBT_NS
    connz = watched(recorder, began + 690 * MS, gone_ms and began + gone_ms * MS)
    looked = Entry("server", 8, "127.0.0.1:4001", began, began + MS, "Client Closed", ours=False, used=False)
    connz._tell(looked, began + 700 * MS)
    client = Entry("server", 12, "127.0.0.1:4002", began + 691 * MS, None, "", ours=False, used=True)
    connz._tell(client, began + 1200 * MS)
    recorder.close()
    lines = [json.loads(line) for line in (tmp_path / "lines-runner.jsonl").read_text().splitlines()]
    assert [line["cid"] for line in lines if line.get("event") == "reached"] == [cid]


@pytest.mark.parametrize(("gone_ms", "is_spare"), [(None, True), (950, True), (850, False)])
def test_a_broker_that_got_no_core_took_up_what_lived_by_then(
    tmp_path: Path, gone_ms: int | None, is_spare: bool
) -> None:
    """Only a client that no connection of a link can be has come past the proxies."""
    recorder = Recorder(tmp_path, name="runner", nonce="7f3a9k2m")
    began = monotonic_ns() - 5 * connections.DOUBT_NS
    connz = watched(recorder, began, gone_ms and began + gone_ms * MS)
    entry = Entry("server", 22, "127.0.0.1:4001", began + 1000 * MS, None, "", ours=False, used=True)
    connz._doubtful["server", 22] = began
    connz._tell(entry, monotonic_ns())
    recorder.close()
    lines = (tmp_path / "lines-runner.jsonl").read_text()
    assert ('"reached"' in lines, '"bypass"' in lines) == (is_spare, not is_spare)
