"""What the way through Toxiproxy costs: JetStream publishes a second and the p99 of round trips, against direct."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nats

from bench.figures import Figure, middle
from harness.history.recorder import Recorder
from harness.runtime.processes import Processes
from harness.system.loader import load_system

SECONDS = 2.0
IN_FLIGHT = 64
TRIPS = 500


def figures(*, rounds: int) -> list[Figure]:
    """Medians of so many rounds in which direct and proxied took turns."""
    with TemporaryDirectory() as temporary:
        found = asyncio.run(_measure(Path(temporary), rounds))
    rates = {way: middle([rate for rate, _ in values]) for way, values in found.items()}
    trips = {way: middle([p99 for _, p99 in values]) for way, values in found.items()}
    return [
        Figure("publishes through the proxy, of direct", round(rates["proxied"] / rates["direct"], 3), "ratio"),
        Figure("p99 of a round trip, direct", trips["direct"], "ms"),
        Figure("p99 of a round trip through the proxy", trips["proxied"], "ms"),
    ]


async def _measure(folder: Path, rounds: int) -> dict[str, list[tuple[float, float]]]:
    recorder = Recorder(folder / "history", name="runner", nonce="proxyben")
    runtime = Processes(load_system("bare"), folder=folder, recorder=recorder)
    found: dict[str, list[tuple[float, float]]] = {"direct": [], "proxied": []}

    async def nothing() -> None:
        client = await nats.connect(runtime.broker.direct())
        await client.jetstream().add_stream(name="BENCH", subjects=["bench"])
        await client.close()

    try:
        await runtime.open(nothing)
        ways = {"direct": runtime.broker.direct(), "proxied": runtime.links["load", "broker-0"].url}
        for _ in range(rounds):
            for way, url in ways.items():
                client = await nats.connect(url)
                found[way].append((await _rate(client.jetstream()), await _p99_ms(client)))
                await client.close()
    finally:
        await runtime.close()
        recorder.close()
    return found


async def _rate(stream: Any) -> float:
    count, end = 0, time.monotonic() + SECONDS

    async def one() -> None:
        nonlocal count
        while time.monotonic() < end:
            await stream.publish("bench", b"x" * 64)
            count += 1

    await asyncio.gather(*(one() for _ in range(IN_FLIGHT)))
    return count / SECONDS


async def _p99_ms(client: Any) -> float:
    trips = []
    for _ in range(TRIPS):
        began = time.perf_counter()
        await client.flush()
        trips.append((time.perf_counter() - began) * 1e3)
    return round(sorted(trips)[int(TRIPS * 0.99)], 3)
