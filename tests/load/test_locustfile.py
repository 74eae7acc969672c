"""A team's own locustfile under the harness, against a real service."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness.errors import StartError
from harness.history.reader import History
from harness.history.rows import Outcome, Step
from harness.load._config import REF
from tests.load.lab import http, load, stub, until
from tests.load.shop.web import FORGETS_EACH

SHOP = Path(__file__).with_name("shop")
FILE = SHOP / "locustfile.py"
NOBODY = "http://127.0.0.1:1/"


@contextmanager
def shop() -> Iterator[str]:
    process = subprocess.Popen([sys.executable, "-m", "tests.load.shop.web"], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def workload(url: str, file: Path = FILE, **more: Any) -> dict[str, Any]:
    poll = {"url": f"{url}/orders/{REF}", "every_s": 0.1, "done": {"$.state": ["done"]}}
    return {
        "kind": "locust",
        "file": str(file),
        "folder": str(file.parent),
        "users": 4,
        "spawn_rate": 100,
        "answers_s": 2,
        "host": url,
        "env": {"SHOP_NOBODY": NOBODY, "SHOP_GREETING": "hello"},
        "refused": [503],
        "poll": {**poll, "proof": {"$.greeting": "hello", "$.goods": "apples"}},
        **more,
    }


def locustfile(folder: Path, text: str) -> Path:
    (folder / "theirs").mkdir()
    file = folder / "theirs" / "locustfile.py"
    file.write_text(text)
    return file


def outcomes(history: History, workload: str) -> Counter[tuple[str, str]]:
    return Counter((one.outcome, one.error) for one in history.operations() if one.workload == workload)


async def test_every_request_is_an_operation_and_those_with_an_id_are_followed(tmp_path: Path) -> None:
    (tmp_path / "locust.conf").write_text("users = 0\n")  # the scenario's folder is the harness' own
    with shop() as url:
        async with load(tmp_path, {"shop": workload(url)}, locustfiles={"shop": FILE}) as lab:
            await lab.load.start()
            await until(lambda: lab.live.offered > 400, lab)
            await lab.load.stop()
            lab.live.update()
            known = lab.live.offered
            await lab.load.final()
            history, totals = lab.read(), lab.totals()
    assert history.count() == known == totals["requests"]
    assert not list(history.troubles())
    assert outcomes(history, "shop").keys() == {
        ("ok", ""),
        ("fail", "status 503"),
        ("unknown", "status 500"),
        ("unknown", "timeout"),
        ("unknown", "failed by the locustfile"),
        ("fail", "connection refused"),
    }
    orders = [one for one in history.operations() if one.workload == "shop.op"]
    assert {one.outcome for one in orders} == {Outcome.OK}
    assert len({one.ref for one in orders}) == len(orders) > 100
    assert all(one.end_ns is not None and 0 <= one.end_ns - one.start_ns < 2e9 for one in orders)
    seen = {(sighting.op, sighting.step) for sighting in history.sightings() if sighting.terminal}
    open_ = {sighting.op for sighting in history.sightings() if sighting.step is Step.PENDING}
    forgotten = {one.id for one in orders if (one.id, Step.RESULT) not in seen}
    assert len(forgotten) == len(orders) // FORGETS_EACH
    assert forgotten <= open_


async def test_it_starts_and_stops_in_turns_and_times_multiplies_its_users(tmp_path: Path) -> None:
    with shop() as url:
        async with load(tmp_path, {"shop": workload(url)}, locustfiles={"shop": FILE}) as lab:
            for times in (1, 2.5):
                wanted = lab.live.offered + 50
                await lab.load.start(times)
                await until(lambda: lab.live.offered > wanted, lab)  # noqa: B023 (it is over with the turn)
                await lab.load.stop()
                lab.live.update()
            await lab.load.final()
            history = lab.read()
    started = [line for line in history.lines("load") if line["event"] == "started"]
    assert [line["users"] for line in started] == [4, 10]
    between = next(line["t_ns"] for line in history.lines("load") if line["event"] == "stopped")
    ends = [one.end_ns or 0 for one in history.operations()]  # its start is what the file says
    assert not [end_ns for end_ns in ends if between < end_ns < started[1]["t_ns"]]


async def test_a_locustfile_that_is_not_named_stands_still(tmp_path: Path) -> None:
    with shop() as url, stub() as other:
        workloads = {"shop": workload(url), "plain": http(other, "done")}
        async with load(tmp_path, workloads, locustfiles={"shop": FILE}) as lab:
            await lab.load.start(workloads=["plain"])
            await until(lambda: lab.live.counts().ok > 10, lab)
            await lab.load.stop()
            await lab.load.final()
            history = lab.read()
    assert history.workloads() == ["plain"]
    assert [line["event"] for line in history.lines("load")].count("started") == 1
    assert not list(history.troubles())


SHAPED = """
from locust import LoadTestShape, User, constant, task

class Nobody(User):
    wait_time = constant(0.01)
    @task
    def do(self):
        self.environment.events.request.fire(
            request_type="x", name=str(id(self)), response_time=1, response_length=0, exception=None, context={}
        )

class Two(LoadTestShape):
    def tick(self):
        return (2, 100) if self.get_run_time() < 2 else None
"""


async def test_its_own_shape_counts_and_its_end_is_no_end_of_the_history(tmp_path: Path) -> None:
    table = workload(NOBODY, locustfile(tmp_path, SHAPED), poll=None)
    async with load(tmp_path, {"shaped": table}, locustfiles={"shaped": Path(table["file"])}) as lab:
        await lab.load.start()
        await until(lambda: lab.live.offered > 50, lab)
        offered, since = 0, 0
        while since < 3:  # the shape ends by itself, within 2 s and a tick
            await asyncio.sleep(0.5)
            lab.live.update()
            since = since + 1 if lab.live.offered == offered else 0
            offered = lab.live.offered
        assert lab.load.alive
        await lab.load.stop()
        await lab.load.final()
        history = lab.read()
    assert len(lab.totals()["by_name"]) == 2
    assert history.count() == offered
    assert not list(history.troubles())


STUCK = """
import gevent
from locust import User, task

class Stuck(User):
    @task
    def do(self):
        self.environment.events.request.fire(
            request_type="x", name="x", response_time=1, response_length=0, exception=None, context={}
        )
        gevent.sleep(60)
"""


async def test_users_that_had_to_be_ended_in_a_task_leave_the_history_incomplete(tmp_path: Path) -> None:
    table = workload(NOBODY, locustfile(tmp_path, STUCK), poll=None, answers_s=0.2)
    async with load(tmp_path, {"stuck": table}, locustfiles={"stuck": Path(table["file"])}) as lab:
        await lab.load.start()
        await until(lambda: lab.live.offered == 4, lab)
        await lab.load.stop()
        await lab.load.final()
    assert [trouble["name"] for trouble in lab.read().troubles()] == ["history incomplete"]


HOST = 'from locust import HttpUser\nclass Far(HttpUser):\n    host = "http://shop.example.org"\n'
FAR = """
from locust import HttpUser, task

class Far(HttpUser):
    @task
    def go(self):
        self.environment.events.request.fire(
            request_type="GET", name="x", response_time=1, response_length=0, exception=None, context={},
            url="http://shop.example.org/x",
        )
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HOST, "load is offered on this machine only, and 'http://shop.example.org' is not its loopback"),
        ("1 / 0\n", "ZeroDivisionError"),
    ],
)
async def test_a_locustfile_that_cannot_be_used_says_why(tmp_path: Path, text: str, said: str) -> None:
    table = {**workload(NOBODY, locustfile(tmp_path, text)), "host": None}
    with pytest.raises(StartError, match=f"before it was configured[\\s\\S]*{said}"):
        async with load(tmp_path, {"bad": table}, locustfiles={"bad": Path(table["file"])}):
            pass


async def test_a_request_to_another_machine_ends_it(tmp_path: Path) -> None:
    table = workload(NOBODY, locustfile(tmp_path, FAR))
    async with load(tmp_path, {"far": table}, locustfiles={"far": Path(table["file"])}) as lab:
        await lab.load.start()
        await until(lambda: not lab.load.alive, lab)
        with pytest.raises(StartError, match=r"exit code 6[\s\S]*which is not on this machine's loopback"):
            await lab.load.stop()
        names = {trouble["name"] for trouble in lab.read().troubles()}
    assert names == {"bypass", "history incomplete"}
    assert lab.read().count() == 0
