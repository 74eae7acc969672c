"""What the load costs and how punctual it is, beside bare nats-py on the same machine at the same time.

    python -m bench.load            all figures as JSON

Absolute figures drift with the machine; ratios are of runs that took turns.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from bench.figures import Figure, middle

IN_FLIGHT = 64
WARM_UP_S = 0.5
NONCE = "be7chma2"


def publish_rates(*, rounds: int = 5, seconds: float = 3) -> dict[str, Any]:
    """JetStream publishes a second, 64 in flight: bare nats-py, and Locust with everything recorded; taking turns.

    `bare` is js.publish in 64 tasks, `bare_async` js.publish_async with 64 in flight, each with our payload and header.
    Shares are of medians; by processor time a publish they hold on a busy machine too.
    """
    found: dict[str, list[list[float]]] = {"bare": [], "bare_async": [], "load": []}
    with broker() as (url, _):
        for _ in range(rounds):
            for how in ("bare", "bare_async"):
                found[how].append(json.loads(_ourselves(how, url, str(seconds))))
            found["load"].append(asyncio.run(load_rate(url, seconds)))
    rates = {how: median(rate for rate, _ in rounds) for how, rounds in found.items()}
    cpu_us = {how: median(cpu for _, cpu in rounds) for how, rounds in found.items()}
    return {
        "per_s": {how: [round(rate) for rate, _ in rounds] for how, rounds in found.items()},
        "median_per_s": {how: round(rate) for how, rate in rates.items()},
        "median_cpu_us": {how: round(cpu, 1) for how, cpu in cpu_us.items()},
        "share_of_bare": round(rates["load"] / rates["bare"], 3),
        "share_of_bare_async": round(rates["load"] / rates["bare_async"], 3),
        "share_of_bare_by_cpu": round(cpu_us["bare"] / cpu_us["load"], 3),
    }


def jetstream_slip(*, rate: float = 2000, seconds: float = 5) -> dict[str, float]:
    """How late arrivals are offered, in ms, at so many publishes a second."""
    with broker() as (url, _):
        return asyncio.run(_slip({"events": _jetstream(url, rate)}, seconds))


def http_slip(*, rate: float = 300, seconds: float = 5) -> dict[str, float]:
    """The same at so many HTTP operations a second, each answered with 202 at once and polled until complete."""
    with _stub() as url:
        return asyncio.run(_slip({"orders": _http(url, rate)}, seconds))


def start_s() -> float:
    """Seconds from starting the load's process until it can be told what to offer."""

    async def measure() -> float:
        from_s = time.perf_counter()
        async with _load({}):
            return time.perf_counter() - from_s

    return round(asyncio.run(measure()), 2)


def figures(*, rounds: int = 5) -> list[Figure]:
    """All of them, medians of so many rounds."""
    rates = publish_rates(rounds=rounds)
    slips = {
        "2,000 publishes/s": [jetstream_slip() for _ in range(rounds)],
        "300 HTTP operations/s": [http_slip() for _ in range(rounds)],
    }
    return [
        Figure("publishes under Locust, of bare js.publish", rates["share_of_bare"], "ratio", "at least", 0.7),
        Figure("  of bare js.publish_async", rates["share_of_bare_async"], "ratio"),
        Figure("  publishes a second under Locust", rates["median_per_s"]["load"], "1/s"),
        *(
            Figure(f"arrivals' slip at {what}, p99", middle([one["p99"] for one in found], 2), "ms", "at most", 5.0)
            for what, found in slips.items()
        ),
        Figure("the load's process until it can be told what to offer", start_s(), "s"),
    ]


async def load_rate(url: str, seconds: float, *, processes: int = 1, in_flight: int = IN_FLIGHT) -> list[float]:
    """Publishes a second under Locust, recorded, and microseconds of its processor time for each."""
    from harness.history.reader import History
    from harness.load.live import LiveView

    events = _jetstream(url, 1_000_000)
    async with _load({"events": events}, processes=processes, most_in_flight=in_flight) as (load, history):
        start_ns = await load.start() + int(WARM_UP_S * 1e9)
        await asyncio.sleep(WARM_UP_S + seconds)
        end_ns = time.monotonic_ns()
        await load.stop()
        live = LiveView(history, writers=range(processes))
        live.update()
        noise = [line for line in History.open(history).lines("noise") if start_ns < line["t_ns"] < end_ns]
        rate = live.ended(start_ns, end_ns).ok / ((end_ns - start_ns) / 1e9)
        cpu_us = sum(line["cpu"]["load"] for line in noise) / sum(line["arrivals"] for line in noise) * 1e6
        return [rate, cpu_us]


async def _slip(workloads: Mapping[str, Mapping[str, Any]], seconds: float) -> dict[str, float]:
    from harness.history.reader import History

    async with _load(workloads) as (load, folder):
        from_ns = await load.start() + int(WARM_UP_S * 1e9)
        await asyncio.sleep(WARM_UP_S + seconds)
        await load.stop()
        found = [one for one in History.open(folder).operations() if one.intended_ns >= from_ns]
        cores = median(line["cpu"]["load"] for line in History.open(folder).lines("noise")[1:])
    slips = sorted((one.start_ns - one.intended_ns) / 1e6 for one in found)
    shares = {"p50": 0.5, "p99": 0.99, "max": 1.0}
    figures = {name: round(slips[min(len(slips) - 1, int(len(slips) * share))], 2) for name, share in shares.items()}
    return {**figures, "operations": len(found), "ok": sum(one.outcome == "ok" for one in found), "cores": cores}


@asynccontextmanager
async def _load(
    workloads: Mapping[str, Mapping[str, Any]], *, processes: int = 1, **config: Any
) -> AsyncIterator[tuple[Any, Path]]:
    from harness.load.driver import Load, LoadConfig
    from harness.runtime._child import Child
    from harness.runtime.journal import Journal

    with TemporaryDirectory() as folder:
        os.environ["NATS_HARNESS_STATE"] = folder
        journal, history = Journal.create("bench"), Path(folder) / "history"

        def spawn(name: str, argv: Any, env: Any, cwd: Path, fds: Any) -> Child:
            return Child(name, argv, env=env, cwd=cwd, journal=journal, on_line=lambda _t, _text: None, fds=fds)

        kinds = [workload["kind"] for workload in workloads.values()]
        load = Load(Path(folder), spawn=spawn, processes=processes, kinds=kinds)
        try:
            await load.open()
            said = {"nonce": NONCE, "writer": 0, "name": "load-0", "history": str(history), "workloads": workloads}
            await load.configure(LoadConfig(**{**said, **config}))
            yield load, history
        finally:
            await load.close()
            journal.close()


def _jetstream(url: str, rate: float) -> dict[str, Any]:
    publish = {"url": url, "subject": "bench.work"}
    return {"kind": "jetstream", "rate": rate, "answers_s": 5, "publish": publish, "stream": "BENCH"}


def _http(url: str, rate: float) -> dict[str, Any]:
    from harness.load._config import OP, REF

    submit = {"method": "POST", "url": f"{url}/work", "json": {"note": OP}, "accepted": [202], "ref": "$.id"}
    poll = {"url": f"{url}/work/{REF}", "every_s": 0.2, "done": {"$.status": ["complete"]}}
    return {"kind": "http-async", "rate": rate, "answers_s": 2, "submit": submit, "poll": poll}


# ---- the other processes ------------------------------------------------------------------------------------------


def _ourselves(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "bench.load", *arguments], check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout.strip()


@contextmanager
def broker() -> Iterator[tuple[str, int]]:
    """A broker with a stream in memory and room for garbage, since what is compared is the client's side.

    Gives its address and pid.
    """
    server = Path(sys.executable).with_name("nats-server")
    with TemporaryDirectory() as folder:
        argv = [str(server), "-a", "127.0.0.1", "-p", "-1", "-js", "-sd", folder, "--ports_file_dir", folder]
        with subprocess.Popen(argv, stderr=subprocess.DEVNULL, env={**os.environ, "GOGC": "400"}) as process:
            try:
                while not (told := [path.read_text() for path in Path(folder).glob("*.ports")]) or not told[0]:
                    time.sleep(0.01)
                url = json.loads(told[0])["nats"][0]
                _ourselves("stream", url)
                yield url, process.pid
            finally:
                process.kill()


@contextmanager
def _stub() -> Iterator[str]:
    with subprocess.Popen([sys.executable, "-m", "bench.load", "stub"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


async def make_stream(url: str) -> None:
    """What is published to."""
    import nats

    client = await nats.connect(url)
    await client.jetstream().add_stream(name="BENCH", subjects=["bench.>"], storage="memory")
    await client.close()


async def bare(url: str, seconds: float) -> None:
    """js.publish in 64 tasks; prints acknowledgements a second."""
    import nats

    client = await nats.connect(url)
    context, acknowledged = client.jetstream(), 0
    from_s, cpu_s = time.perf_counter() + WARM_UP_S, time.process_time()
    end_s = from_s + seconds

    async def publisher(first: int) -> None:
        nonlocal acknowledged
        n = first
        while (now_s := time.perf_counter()) < end_s:
            marker = f"{NONCE}-0-{n}"
            await context.publish("bench.work", b'{"op":"%s"}' % marker.encode(), headers={"Harness-Op": marker})
            acknowledged += now_s >= from_s
            n += IN_FLIGHT

    await asyncio.gather(*(publisher(first) for first in range(IN_FLIGHT)))
    _say(acknowledged, seconds, cpu_s)
    await client.close()


async def bare_async(url: str, seconds: float) -> None:
    """js.publish_async, 64 in flight; prints acknowledgements a second."""
    import nats

    client = await nats.connect(url)
    context, acknowledged, n = client.jetstream(), 0, 0
    room = asyncio.Semaphore(IN_FLIGHT)
    from_s, cpu_s = time.perf_counter() + WARM_UP_S, time.process_time()

    def done(future: asyncio.Future[Any]) -> None:
        nonlocal acknowledged
        acknowledged += time.perf_counter() >= from_s and future.result().seq > 0
        room.release()

    while time.perf_counter() < from_s + seconds:
        await room.acquire()
        marker = f"{NONCE}-0-{n}"
        payload = b'{"op":"%s"}' % marker.encode()
        future = await context.publish_async("bench.work", payload, headers={"Harness-Op": marker})
        future.add_done_callback(done)
        n += 1
    _say(acknowledged, seconds, cpu_s)
    await client.close()


def _say(acknowledged: int, seconds: float, cpu_s: float) -> None:
    share = seconds / (seconds + WARM_UP_S)
    print(json.dumps([acknowledged / seconds, (time.process_time() - cpu_s) * share / acknowledged * 1e6]))


async def stub() -> None:
    """Answers every submit with 202 and every poll with complete; prints its address."""
    from aiohttp import web

    async def submit(request: web.Request) -> web.Response:
        return web.json_response({"id": (await request.json())["note"]}, status=202)

    async def poll(_: web.Request) -> web.Response:
        return web.json_response({"status": "complete"})

    app = web.Application()
    app.router.add_post("/work", submit)
    app.router.add_get("/work/{ref}", poll)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


def main(arguments: list[str]) -> None:
    """The figures, or one of the other processes."""
    match arguments:
        case ["bare", url, seconds]:
            asyncio.run(bare(url, float(seconds)))
        case ["bare_async", url, seconds]:
            asyncio.run(bare_async(url, float(seconds)))
        case ["stream", url]:
            asyncio.run(make_stream(url))
        case ["stub"]:
            asyncio.run(stub())
        case _:
            print(
                json.dumps(
                    [figure.as_json() for figure in figures(rounds=int(arguments[0]) if arguments else 5)], indent=1
                )
            )


if __name__ == "__main__":
    main(sys.argv[1:])
