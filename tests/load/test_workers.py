"""Locust's own master and workers carrying one load."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import StartError
from harness.history.reader import History
from harness.history.rows import Outcome, Step
from harness.load._config import LoadConfig
from harness.load._steering import Crew, Message
from tests.load.lab import Broker, Lab, jetstream, load, stream, until

PROCESSES = 2


def gone(pids: list[int], act: Callable[[], object]) -> bool:
    """Whether all these processes end within 5 s of the act."""
    fds = [os.pidfd_open(pid) for pid in pids]
    act()
    try:
        for fd in fds:
            waiting = select.poll()
            waiting.register(fd, select.POLLIN)
            if not waiting.poll(5_000):
                return False
        return True
    finally:
        for fd in fds:
            os.close(fd)


async def test_two_processes_offer_what_one_would_and_their_histories_merge(tmp_path: Path, server: Broker) -> None:
    async with (
        stream(server),
        load(tmp_path, {"e": jetstream(server.url, rate=200)}, processes=PROCESSES, direct=server.url) as lab,
    ):
        assert len(set(lab.load.pids)) == 1 + PROCESSES
        await lab.load.start(times=2)
        await until(lambda: lab.live.counts().ok > 400, lab)
        await lab.load.stop()
        lab.live.update()
        await lab.load.final()
        history = lab.read()
        assert lab.live.counts().offered == history.count()
        process = lab.load._shares[0].locust._process
        assert process is not None
        assert str(await process.wait()) == "exit code 0"
        assert "Traceback" not in "\n".join(process.lines)
    operations = list(history.operations())
    for writer in range(PROCESSES):
        numbers = [one.id.n for one in operations if one.id.writer == writer]
        assert numbers == list(range(len(numbers)))
        assert len(numbers) > 180
    intended = sorted(one.intended_ns for one in operations)[:360]  # each process hears of the end by itself
    assert [moment - intended[0] for moment in intended] == [2_500_000 * k for k in range(len(intended))]
    assert {one.outcome for one in operations} == {Outcome.OK}
    read = Counter(sighting.op for sighting in history.sightings(Step.RESULT))
    assert read == Counter(one.id for one in operations)
    assert [line["count"] for line in history.lines("read")] == [len(operations)]
    assert not list(history.troubles())
    totals = [line["requests"] for line in history.lines("load") if line["event"] == "totals"]
    assert len(totals) == PROCESSES
    assert sum(totals) == len(operations)


async def test_a_consumer_of_ours_sees_what_every_process_published(tmp_path: Path, server: Broker) -> None:
    events = jetstream(server.url, stream="Q", consume=True)
    async with (
        stream(server, "Q", retention="workqueue"),
        load(tmp_path, {"e": events}, processes=PROCESSES, direct=server.url) as lab,
    ):
        await lab.load.start()
        await until(lambda: lab.live.counts().ok > 200, lab)
        await lab.load.stop()
        await until(lambda: not lab.live.open(), lab)
        await lab.load.final()
        history = lab.read()
    seen = {sighting.op for sighting in history.sightings(Step.RESULT)}
    assert seen == {one.id for one in history.operations()}


async def test_a_load_that_cannot_begin_says_why(tmp_path: Path) -> None:
    events = {**jetstream("nats://127.0.0.1:1"), "kind": "carrier-pigeon"}
    with pytest.raises(StartError, match=r"before it was configured[\s\S]*no kind of workload is called"):
        async with load(tmp_path, {"e": events}, processes=PROCESSES):
            pass


async def _under_way(lab: Lab) -> None:
    await lab.load.start()
    await until(lambda: lab.live.counts().ok > 100, lab)


@pytest.mark.parametrize("victim", ["master", "worker"])
async def test_where_one_process_is_killed_all_end_and_the_history_is_incomplete(
    tmp_path: Path, server: Broker, victim: str
) -> None:
    async with (
        stream(server),
        load(tmp_path, {"e": jetstream(server.url)}, processes=PROCESSES, direct=server.url) as lab,
    ):
        await _under_way(lab)
        pids = list(lab.load.pids)
        pid = pids[victim == "worker"]
        assert await asyncio.to_thread(gone, pids, lambda: os.kill(pid, signal.SIGKILL))
        said = "signal 9" if victim == "master" else rf"exit code 4[\s\S]*worker {pid} of the load ended \(signal 9\)"
        with pytest.raises(StartError, match=said):
            await lab.load.stop()
        lab.live.update()
        history = lab.read()
    assert history.count() == lab.live.counts().offered > 100
    assert {"history incomplete"} == {trouble["name"] for trouble in history.troubles()}


def test_a_killed_runner_takes_all_of_them_along(tmp_path: Path, server: Broker) -> None:
    program = textwrap.dedent(
        f"""
        import asyncio, json
        from pathlib import Path
        from tests.load.lab import jetstream, load

        async def main():
            workloads = {{"e": jetstream({server.url!r})}}
            async with load(Path({str(tmp_path)!r}), workloads, processes={PROCESSES}) as lab:
                await lab.load.start()
                print(json.dumps(list(lab.load.pids)), flush=True)
                await asyncio.sleep(60)

        asyncio.run(main())
        """
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as runner:
        assert runner.stdout is not None
        pids = json.loads(runner.stdout.readline())
        assert len(pids) == 1 + PROCESSES
        assert gone(pids, runner.kill)
    history = History.open(tmp_path / "history")
    assert {"history incomplete"} == {trouble["name"] for trouble in history.troubles()}


async def test_only_a_worker_that_shows_its_proof_is_told_anything(tmp_path: Path) -> None:
    """Anybody on the machine can connect to the master's port, and the configuration holds secrets."""
    config = LoadConfig("7f3a9k2m", 4, "load-4", str(tmp_path), {}, secrets=["secret"], most_in_flight=100).to_json()
    commands: list[Message] = [{"do": "configure", "config": config}, {"do": "start", "times": 2.0}, {"do": "final"}]
    words = {"configure": "configured", "connect": "connected", "start": "started", "final": "finished"}
    told: list[str] = []
    sent: list[tuple[Message, str]] = []

    class Runner:
        async def next(self) -> Message:
            return commands.pop(0)

        def tell(self, word: str, **more: object) -> None:
            told.append(word)

        async def close(self) -> None:
            told.append("closed")

    def send(message: Message, worker: str) -> None:
        sent.append((message, worker))
        crew.received("stranger", {"is": words[message["do"]], "proof": ""})
        crew.received(worker, {"is": words[message["do"]], "proof": "proof"})

    children = [await asyncio.create_subprocess_exec("sleep", "60") for _ in range(PROCESSES)]
    try:
        crew = Crew(send, [child.pid for child in children], "proof")
        crew.received("stranger", {"is": "ready"})
        for worker in ("b", "a"):
            crew.received(worker, {"is": "ready", "proof": "proof"})
        await crew.serve(Runner())
    finally:
        for child in children:
            child.kill()
            await child.wait()
    assert told == ["ready", "configured", "started", "finished", "closed"]
    assert Counter(worker for _, worker in sent) == {"a": 4, "b": 4}
    configs = [LoadConfig.from_json(message["config"]) for message, _ in sent if message["do"] == "configure"]
    assert [(one.writer, one.name) for one in configs] == [(4, "load-4"), (5, "load-5")]
    assert [(one.part, one.parts) for one in configs] == [(0, 2), (1, 2)]
    assert {one.most_in_flight for one in configs} == {50}
    starts = [message for message, _ in sent if message["do"] == "start"]
    assert starts[0] == starts[1]
    assert starts[0]["times"] == 2.0
