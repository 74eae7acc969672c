"""The probe's process, across real cuts: what its records show is what was done, and when."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic, monotonic_ns

import pytest

from harness.errors import HarnessError
from harness.history import probes
from harness.history.probes import Way
from harness.observe.probe import Probe
from harness.runtime.contract import How, LinkKey
from harness.runtime.contract import Way as Direction

from .lab import LINK, MS, NONCE, Act, Lab, client, held, lab, until

EDGE_NS = 50 * MS
"""Records sent so shortly before a cut, or its end, may still be on their way."""
WAYS: tuple[Way, Way] = ("to", "from")
CUTS: list[tuple[How, Direction, tuple[Way, ...]]] = [
    ("silent", "both", WAYS),
    ("frozen", "both", WAYS),
    ("frozen", "to", ("to",)),
    ("frozen", "from", ("from",)),
]
WEB = ("app-0", "web-0")
both = pytest.mark.parametrize("kind", ["processes", pytest.param("containers", marks=pytest.mark.engine)])
"""In containers the probe runs in the hub."""


SYSTEM = """
[system]
name = "web"
[broker]
version = "2.12.8"
[services.web]
role = "dependency"
command = ["{python}", "WEB", "{port}"]
ports = { http = 3000 }
ready = "/"
[services.app]
role = "entry"
command = ["sleep", "1000"]
ports = { http = 3001 }
env = { WEB_URL = "{web.url}" }
[workloads.messages]
kind = "jetstream"
rate = 1
publish = { url = "{broker.url}", subject = "bare.work" }
stream = "BARE"
"""


def written(folder: Path) -> str:
    """The file of a system with a link between services."""
    path = folder / "system.toml"
    path.write_text(SYSTEM.replace('WEB"', f'{Path(__file__).with_name("web.py")}"'))
    return str(path)


@asynccontextmanager
async def probing(folder: Path, system: str = "bare", kind: str = "processes") -> AsyncIterator[tuple[Lab, Probe]]:
    async with (
        lab(folder, system, kind) as opened,
        Probe(opened.runtime, folder=opened.folder / "history", nonce=NONCE) as probe,
    ):
        yield opened, probe


def share(opened: Lab, way: Way, from_ns: int, to_ns: int, link: tuple[str, str] = LINK) -> float:
    """How much of what was sent in that time, its edges left out, arrived in it; at least ten records were sent."""
    sent = [
        record.got_ns is not None and record.got_ns <= to_ns
        for record in probes.records(opened.history, 1, link, way)
        if from_ns + EDGE_NS <= record.sent_ns <= to_ns - EDGE_NS
    ]
    assert len(sent) >= 10, (way, len(sent))
    return sum(sent) / len(sent)


@both
async def test_a_whole_link(tmp_path: Path, kind: str) -> None:
    async with probing(tmp_path, kind=kind) as (opened, probe):
        asked, began = monotonic(), monotonic_ns()
        await probe.watch(1, LINK)
        assert monotonic() - asked < 1
        assert all(probes.seen(opened.history, 1, LINK, way, 0, monotonic_ns())[1] >= 10 for way in ("to", "from"))
        watched, ended = monotonic_ns(), await held(0.5)
        watched, ended = monotonic_ns(), await held(0.5)

        def later() -> set[Way]:
            """The ways in which something sent since then has arrived, and so all before it: TCP keeps its order."""
            records = probes.records(opened.history, 1, LINK, *WAYS)
            return {record.way for record in records if record.sent_ns > ended and record.got_ns is not None}

        await until(lambda: later() == set(WAYS), within_s=5)
        await probe.stop(1)
        for way in WAYS:
            records = probes.records(opened.history, 1, LINK, way)
            sent = [record.got_ns for record in records if watched <= record.sent_ns <= ended]
            assert len(sent) >= 20
            assert None not in sent
        rtt_ms, _ = probes.median_rtt_ms(opened.history, 1, LINK, began, ended)
        assert 0 < rtt_ms < 50
        assert probes.seen(opened.history, 1, LINK, "fresh", began, ended)[1] >= 3
        assert opened.connection_lines(probe=True, event="opened"), "its connections are known by their address"
        assert not opened.connection_lines(event="opened")
        assert opened.connections.alive(LINK) == 0
        await asyncio.sleep(1.5)
        assert not opened.lines("trouble")


@pytest.mark.parametrize(("how", "direction", "shut"), CUTS)
@both
async def test_cuts(tmp_path: Path, kind: str, how: How, direction: Direction, shut: tuple[Way, ...]) -> None:
    async with probing(tmp_path, kind=kind) as (opened, probe):
        link = opened.runtime.links[LINK]
        await probe.watch(1, LINK)
        effective = await link.cut(how, direction)
        healing = await held(0.6)
        healed = await link.mend()
        ending = await held(0.5)
        await probe.stop(1)
        for way in WAYS:
            crossed = share(opened, way, effective, healing)
            assert crossed == 0 if way in shut else crossed > 0.5, way
        back = probes.first_answer_after(opened.history, 1, LINK, healing, shut[0])
        assert back is not None
        print(f"{how} {direction}: back {(back - healed) / MS:.1f} ms after healing")
        if opened.lines("trouble"):
            return  # a proxy that had to be replaced ended the old connections
        records = list(probes.records(opened.history, 1, LINK, *WAYS))
        (old,) = {record.old for record in records if record.got_ns == back}
        assert old == (how == "frozen"), "what a freeze held arrives on the old connection; silence ends it"
        if how == "frozen":
            lost = [record for record in records if record.error and "not connected yet" not in record.error]
            assert all(record.sent_ns > ending - 300 * MS for record in lost), lost


@both
async def test_refused_and_reset_are_told(tmp_path: Path, kind: str) -> None:
    async with probing(tmp_path, kind=kind) as (opened, probe):
        link = opened.runtime.links[LINK]
        await probe.watch(1, LINK)
        effective = await link.refuse()
        healing = await held(0.5)
        healed = await link.open()
        await held(0.5)
        await probe.stop(1)
        assert share(opened, "to", effective, healing) == 0
        fresh = probes.errors(opened.history, 1, LINK, "fresh", effective, healing)
        assert set(fresh) == {"ECONNREFUSED"}
        assert "through: ECONNREFUSED" in probes.errors(opened.history, 1, LINK, "to", effective, healing)
        back = probes.first_answer_after(opened.history, 1, LINK, healed, "to")
        assert back is not None
        assert back - healed < 500 * MS


async def test_latency_is_measured(tmp_path: Path) -> None:
    async with probing(tmp_path) as (opened, probe):
        link = opened.runtime.links[LINK]
        await probe.watch(1, LINK)
        asked = monotonic_ns()
        effective = await link.slow(latency_ms=60)
        healing = await held(0.6)
        await link.mend()
        await probe.stop(1)
        before, n = probes.median_rtt_ms(opened.history, 1, LINK, 0, asked - 5 * MS)
        under, _ = probes.median_rtt_ms(opened.history, 1, LINK, effective, healing)
        assert n >= 8
        assert before < 60
        assert 110 < under - before < 200


@pytest.mark.parametrize(("system", "key"), [("bare", LINK), ("web", WEB)])
async def test_no_fresh_connection_leaves_while_an_answer_is_on_its_way(
    tmp_path: Path, system: str, key: LinkKey
) -> None:
    """A proxy that has a piece for a client that is gone may hang when its toxic is removed."""
    async with probing(tmp_path, written(tmp_path) if system == "web" else system) as (opened, probe):
        link, said = opened.runtime.links[key], list[str]()
        link.subscribe(lambda _, line: said.append(str(line.get("message"))))
        await link.impair("slicer", {"average_size": 8, "size_variation": 0, "delay": 10_000}, "from")
        await probe.watch(1, key, wait=False)

        def fresh() -> int:
            return sum(record.got_ns is not None for record in probes.records(opened.history, 1, key, "fresh"))

        await until(lambda: fresh() >= 3, within_s=10)
        await link.mend()
        assert "Could not write to destination" not in said
        await probe.stop(1)  # who is cut short by that, leaves
        assert not opened.history.lines("trouble")


@both
async def test_a_broker_that_dies_and_returns(tmp_path: Path, kind: str) -> None:
    async with probing(tmp_path, kind=kind) as (opened, probe):
        broker, link = opened.runtime.broker, opened.runtime.links[LINK]
        await probe.watch(1, LINK)
        dead = await broker.kill()
        healing = await held(0.5)
        await broker.start()
        await broker.ready(within_s=10)
        healed = await link.open()
        await held(0.6)
        await probe.stop(1)
        assert share(opened, "to", dead, healing) == 0
        assert share(opened, "from", dead, healing) == 0
        ways: tuple[Way, ...] = (*WAYS, "fresh")
        for way in ways:
            assert probes.first_answer_after(opened.history, 1, LINK, healed, way) is not None, way


async def test_a_link_that_is_not_well_to_begin_with(tmp_path: Path) -> None:
    async with probing(tmp_path) as (opened, probe):
        await opened.runtime.links[LINK].refuse()
        asked = monotonic()
        await probe.watch(1, LINK)
        assert 1.5 < monotonic() - asked < 3
        await probe.watch(2, LINK)
        await probe.stop(1)
        await probe.stop(2)
        errors = probes.errors(opened.history, 2, LINK, "fresh", 0, monotonic_ns())
        assert errors.pop("ECONNREFUSED") >= 5
        assert set(errors) <= {"unanswered"}, "the one under way at the stop"


async def test_http_is_asked_round(tmp_path: Path) -> None:
    async with probing(tmp_path, written(tmp_path)) as (opened, probe):
        link, web = opened.runtime.links[WEB], opened.runtime.nodes["web-0"]
        await probe.watch(1, WEB)
        acts: list[tuple[Act, Act]] = [
            (lambda: link.cut("frozen"), link.mend),
            (lambda: link.cut("silent"), link.mend),
            (web.pause, web.resume),
        ]
        for cut, heal in acts:
            effective = await cut()
            healing = await held(0.5)
            await heal()
            await held(0.6)
            assert share(opened, "round", effective, healing, WEB) == 0
            back = probes.first_answer_after(opened.history, 1, WEB, healing, "round")
            assert back is not None
            assert probes.seen(opened.history, 1, WEB, "fresh", effective, healing)[1] == 0
        await probe.stop(1)
        assert probes.median_rtt_ms(opened.history, 1, WEB, 0, monotonic_ns())[1] > 20
        closes = {line["by"] for line in opened.connection_lines(probe=True, event="closed", via="proxy")}
        assert "proxy" in closes


@both
async def test_it_ends_with_the_runner_and_leaves_its_records(tmp_path: Path, kind: str) -> None:
    async with lab(tmp_path, kind=kind) as opened:
        probe = Probe(opened.runtime, folder=opened.folder / "history", nonce=NONCE)
        await probe.start()
        assert probe.pid is not None
        await probe.watch(1, LINK)
        await opened.runtime.links[LINK].cut("silent")
        await held(0.2)
        pid = probe.pid
        await probe.close()
        await probe.close()
        await until(lambda: not os.path.exists(f"/proc/{pid}"), within_s=5)  # in a container others reap it
        assert [r for r in probes.records(opened.history, 1, LINK, "to") if r.error == "unanswered"]


@both
async def test_a_probe_that_died_is_told(tmp_path: Path, kind: str) -> None:
    async with probing(tmp_path, kind=kind) as (_, probe):
        assert probe.pid is not None
        os.kill(probe.pid, 9)
        with pytest.raises(HarnessError, match="died"):
            await probe.watch(1, LINK)


async def test_noise_tells_lag_and_cores(tmp_path: Path) -> None:
    from harness.observe.noise import Noise

    async with lab(tmp_path) as opened:
        opened.watch(Noise(opened.recorder, lambda: {"runner": [os.getpid()], "gone": [2**22 + 1]}, what="test"))
        await asyncio.sleep(0.3)
        began = monotonic()
        while monotonic() - began < 0.3:
            pass
        await until(lambda: [line for line in opened.lines("noise") if line["what"] == "test"], within_s=3)
        line = next(line for line in opened.lines("noise") if line["what"] == "test")
        assert 250 < line["lag_max_ms"] < 1000
        assert line["lag_p99_ms"] > 200, "a stall counts for all that came during it"
        assert line["cpu"]["runner"] > 0.02
        assert line["cpu"]["gone"] == 0
        assert line["from_ns"] < line["t_ns"]


async def test_the_brokers_own_figures(tmp_path: Path) -> None:
    from harness.observe.broker import Broker

    async with lab(tmp_path) as opened:
        broker = opened.runtime.broker
        source = Broker(opened.recorder, {"broker-0": broker.monitor_url})
        opened.watch(source)
        await until(lambda: opened.lines("broker"), within_s=3)
        line = opened.lines("broker")[0]
        assert (line["node"], line["version"]) == ("broker-0", "2.12.8")
        assert line["streams"] == {}
        await source.final()
        assert opened.lines("read")[-1]["complete"]
        await broker.kill()
        await until(lambda: opened.history.gaps("broker"), within_s=4)


@pytest.mark.parametrize("how", ["frozen", "paused"])
async def test_a_client_is_told_apart_from_the_probe(tmp_path: Path, how: str) -> None:
    """When the way is open again all that waited arrives at the broker at once: the probe's and the client's."""
    async with client() as app, probing(tmp_path) as (opened, probe):
        link, broker = opened.runtime.links[LINK], opened.runtime.broker
        app.say(link.url)
        await until(lambda: app.when("connected"), within_s=15)
        await probe.watch(1, LINK)
        await (link.cut("frozen") if how == "frozen" else broker.pause())
        await held(3.2)
        healing = monotonic_ns()
        await (link.mend() if how == "frozen" else broker.resume())
        await until(lambda: app.when("reconnected", healing), within_s=10)
        name = next(what.split()[1] for t_ns, what in app.told if t_ns >= healing and what.startswith("reconnected"))
        await held(1.5)
        await probe.stop(1)
        (reached,) = opened.connection_lines(name, event="reached")
        assert healing <= reached["t_ns"] <= (app.when("reconnected", healing) or 0) + (10 + opened.lag_ms()) * MS
        assert opened.connections.alive(LINK) == 1
        assert not opened.lines("trouble")
