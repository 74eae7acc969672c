"""examples/orders by itself, without the harness: its services as processes, a real broker, and what it promises."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import nats
import pytest

from harness.system.loader import load_system
from tests.stopping import stand_still

EXAMPLE = Path(__file__).parents[2] / "examples" / "orders"
NAMES = ("broker", "depot", "packer-0", "packer-1", "shop")
NATS_SERVER = Path(sys.executable).with_name("nats-server")


def free_port() -> int:
    """A port that nobody listens on, below the ephemeral ones, so that it is still free when a service comes back."""
    while True:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port := random.randrange(21_000, 29_000)))
            except OSError:
                continue
            return port


@dataclass
class Stack:
    """The whole example as processes; what they print goes to files in `folder`."""

    folder: Path
    ports: dict[str, int] = field(default_factory=lambda: {name: free_port() for name in NAMES})
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    @property
    def broker_url(self) -> str:
        return f"nats://127.0.0.1:{self.ports['broker']}"

    def command(self, name: str) -> list[str]:
        port = str(self.ports[name])
        broker = f'broker = {{ url = "{self.broker_url}", ping = {{ every_s = 1.0, outstanding = 2 }} }}\n'
        if name == "broker":
            return [str(NATS_SERVER), "-a", "127.0.0.1", "-p", port, "-js", "-sd", str(self.folder / "jetstream")]
        settings = self.folder / f"{name}.toml"
        if name == "depot":
            own = ["--port", port, "--database", str(self.folder / "depot.sqlite3")]
        elif name == "shop":
            settings.write_text(f'taken = "{self.folder}/taken.sqlite3"\n{broker}')
            own = ["--port", port, "--depot", self.url("depot"), "--settings", str(settings)]
        else:
            settings.write_text(f'name = "{name}"\nport = {port}\nhands = 32\nack_wait_s = 3.0\n{broker}')
            own = [str(settings)]
        return [sys.executable, "-m", f"orders.{name.partition('-')[0]}", *own]

    def start(self, *names: str) -> None:
        for name in names:
            env = {"PATH": os.environ["PATH"], "DEPOT": self.url("depot")}
            with (self.folder / f"{name}.log").open("ab") as log:
                self.running[name] = subprocess.Popen(self.command(name), cwd=EXAMPLE, env=env, stdout=log, stderr=log)

    def send(self, name: str, number: signal.Signals) -> None:
        self.running[name].send_signal(number)

    def end(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """End one process; its exit code."""
        self.send(name, number)
        return self.running[name].wait(timeout=30)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    it = Stack(tmp_path_factory.mktemp("orders"))
    it.start(*NAMES)
    yield it
    for process in it.running.values():
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


@pytest.fixture
async def http(stack: Stack) -> AsyncIterator[aiohttp.ClientSession]:
    """A client, once all services are ready."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        for name, path in {"shop": "open", "depot": "journal", "packer-0": "bench", "packer-1": "bench"}.items():
            await until(partial(answers, session, f"{stack.url(name)}/{path}"), 200, within_s=60)
        yield session


async def until(look: Callable[[], Awaitable[object]], wanted: object, within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while (seen := await look()) != wanted:
        assert time.monotonic() < deadline, f"wanted {wanted!r} within {within_s} s, last saw {seen!r}"
        await asyncio.sleep(0.05)


async def answers(http: aiohttp.ClientSession, url: str) -> int | str:
    try:
        async with http.get(url) as answer:
            return answer.status
    except aiohttp.ClientConnectionError as error:
        return type(error).__name__


async def order(http: aiohttp.ClientSession, stack: Stack, remark: str) -> str | None:
    """Place an order; its number, or None when the shop refuses. Anything else is an error."""
    body = {"buyer": {"remark": remark}, "articles": ["tea"]}
    async with http.post(f"{stack.url('shop')}/v1/orders", json=body) as answer:
        assert answer.status in {202, 503}
        return str((await answer.json())["order"]["number"]) if answer.status == 202 else None


async def progress(http: aiohttp.ClientSession, stack: Stack, number: str) -> dict[str, Any]:
    async with http.get(f"{stack.url('shop')}/v1/orders/{number}") as answer:
        assert answer.status == 200
        return dict((await answer.json())["order"])


async def shipped(http: aiohttp.ClientSession, stack: Stack, numbers: dict[str, str]) -> None:
    """Wait until each of `numbers` (number to remark) is shipped, and with its own remark."""

    async def open_orders() -> int:
        orders = [await progress(http, stack, number) for number in numbers]
        assert all(it["remark"] == numbers[it["number"]] for it in orders if it["progress"] != "taken")
        return sum(it["progress"] != "shipped" for it in orders)

    await until(open_orders, 0)


async def journal(http: aiohttp.ClientSession, stack: Stack) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    since = 0
    while True:
        async with http.get(f"{stack.url('depot')}/journal?since={since}") as answer:
            page = (await answer.json())["journal"]
        if not page["entries"]:
            return entries
        entries += page["entries"]
        since = page["since"]


async def test_nothing_accepted_is_lost_when_the_broker_dies(stack: Stack, http: aiohttp.ClientSession) -> None:
    taken: dict[str, str] = {}
    refused = []
    slowest_s = 0.0

    async def one(n: int) -> None:
        nonlocal slowest_s
        start = time.monotonic()
        if number := await order(http, stack, f"crash-{n}"):
            taken[number] = f"crash-{n}"
        else:
            refused.append(f"crash-{n}")
        slowest_s = max(slowest_s, time.monotonic() - start)

    async with asyncio.TaskGroup() as group:
        for n in range(120):
            if n == 30:
                stack.end("broker")
            if n == 75:
                stack.start("broker")
            group.create_task(one(n))
            await asyncio.sleep(1 / 30)

    assert refused
    assert slowest_s < 5, "nobody waits for a broker that is away"
    await shipped(http, stack, taken)
    packed = Counter(it["what"]["remark"] for it in await journal(http, stack) if not it["again"])
    assert {packed[remark] for remark in taken.values()} == {1}
    assert {packed[remark] for remark in refused} <= {0, 1}


async def test_orders_of_a_dead_packer_are_shipped_once(stack: Stack, http: aiohttp.ClientSession) -> None:
    client = await nats.connect(stack.broker_url)

    async def consumer() -> tuple[int | None, int | None]:
        info = await client.jetstream().consumer_info("SHOP_ORDERS", "packers")
        return info.num_waiting, info.num_ack_pending

    async def in_hand() -> int | None:
        return (await consumer())[1]

    await until(consumer, (2, 0))  # both packers wait for orders
    stand_still(stack.running["depot"].pid)  # it has the packers' requests, and answers none
    numbers = [await order(http, stack, f"death-{n}") for n in range(12)]
    await until(in_hand, len(numbers))
    await client.close()
    assert stack.end("packer-0") == -signal.SIGKILL
    stack.send("depot", signal.SIGCONT)

    await shipped(http, stack, {number: f"death-{n}" for n, number in enumerate(numbers) if number})
    entries = [it for it in await journal(http, stack) if it["what"]["number"] in numbers]
    assert Counter(it["what"]["number"] for it in entries if not it["again"]) == Counter(numbers)
    assert any(it["who"]["delivery"] > 1 for it in entries), "packer-0 had no order in hand"
    stack.start("packer-0")


async def test_a_restarted_shop_knows_its_orders(stack: Stack, http: aiohttp.ClientSession) -> None:
    for packer in ("packer-0", "packer-1"):
        assert stack.end(packer, signal.SIGTERM) == 0
    number = await order(http, stack, "patience")
    assert number
    assert stack.end("shop", signal.SIGTERM) == 0
    stack.start("shop")
    await until(lambda: answers(http, f"{stack.url('shop')}/open"), 200)
    assert await progress(http, stack, number) == {"number": number, "progress": "taken"}
    stack.start("packer-0", "packer-1")
    await shipped(http, stack, {number: "patience"})


async def test_what_the_shop_refuses(stack: Stack, http: aiohttp.ClientSession) -> None:
    url = f"{stack.url('shop')}/v1/orders"
    bad: list[object] = [{}, [], {"buyer": {}, "articles": ["tea"]}, {"buyer": {"remark": "r"}, "articles": []}]
    for body in bad:
        async with http.post(url, json=body) as answer:
            assert (answer.status, (await answer.json())["type"]) == (400, "urn:orders:not-an-order")
    assert await answers(http, f"{url}/nobody-knows-it") == 404

    async with http.post(url, json={"buyer": {"remark": "r"}, "articles": ["moonshine"]}) as answer:
        number = (await answer.json())["order"]["number"]

    async def word() -> str:
        return str((await progress(http, stack, number))["progress"])

    await until(word, "rejected")

    stand_still(stack.running["broker"].pid)
    async with http.post(url, json={"buyer": {"remark": "r"}, "articles": ["tea"]}) as answer:
        stack.send("broker", signal.SIGCONT)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        assert (await answer.json())["type"] == "urn:orders:broker-away"


async def test_the_depot_lists_repeats_apart(stack: Stack, http: aiohttp.ClientSession) -> None:
    parcel = f"{stack.url('depot')}/parcels/by-hand"
    lines = []
    for delivery in ("1", "2"):
        headers = {"Packed-By": f"hand-{delivery}", "Delivery": delivery}
        async with http.put(parcel, json={"remark": "r", "articles": ["tea"]}, headers=headers) as answer:
            packed = await answer.json()
            assert packed["state"] == "packed"
            lines.append(packed["line"])
    async with http.post(f"{parcel}/handover", json={"line": lines[1]}) as answer:
        assert (await answer.json())["state"] == "shipped"
    mine = [it for it in await journal(http, stack) if it["what"]["number"] == "by-hand"]
    assert [(it["line"], it["who"]["packer"], it["again"], it["when"]["ended"] is None) for it in mine] == [
        (lines[0], "hand-1", False, True),
        (lines[1], "hand-2", True, False),
    ]


def test_the_system_file_describes_it_all() -> None:
    system = load_system(str(EXAMPLE / "orders.toml"))
    assert system.entry() == "shop"
    assert system.workers() == ["packer"]
    assert {(link.source, link.target) for link in system.links()} == {
        ("load", "shop-0"),
        ("shop-0", "broker-0"),
        ("shop-0", "depot-0"),
        ("packer-0", "broker-0"),
        ("packer-0", "depot-0"),
        ("packer-1", "broker-0"),
        ("packer-1", "depot-0"),
    }
