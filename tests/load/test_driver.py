from __future__ import annotations

import asyncio
import os
import resource
import select
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from harness.errors import StartError, UnknownName, UsageError
from harness.history.rows import Outcome
from harness.load._config import OP, REF
from harness.load.driver import LoadConfig, config_of, followed
from harness.system.loader import load_system
from tests.load.lab import NAME, NONCE, http, jetstream, load, stub

SYSTEM = """
[system]
name = "shop"
[broker]
version = "2.12.8"
[services.web]
role = "entry"
command = ["{python}", "-m", "web", "--port", "{port}"]
ports = { http = 3000 }
env = { NATS_URL = "{broker.url}" }
[[prepare]]
request = { method = "POST", url = "{web.url}/login" }
keep = { token = "$.token" }
[workloads.orders]
kind = "http-async"
rate = 30
answers_s = 1.5
[workloads.orders.submit]
method = "POST"
url = "{web.url}/orders"
json = { note = "{{x}} marker:{op}", list = ["{token}"], number = 1 }
headers = { Authorization = "Bearer {token}" }
accepted = [202]
ref = "$.id"
[workloads.orders.poll]
url = "{web.url}/orders/{ref}"
done = { "$.status" = ["complete"] }
proof = { "$.note" = "marker:{op}" }
[workloads.events]
kind = "jetstream"
rate = 5
publish = { url = "{broker.url}", subject = "orders.new" }
stream = "ORDERS"
"""
LINKS = {"web.url": "http://127.0.0.1:3001", "broker.url": "nats://127.0.0.1:4223", "token": "secret"}


def config(tmp_path: Path, values: dict[str, str], **more: Any) -> LoadConfig:
    path = tmp_path / "shop.toml"
    path.write_text(SYSTEM)
    return config_of(
        load_system(path), nonce=NONCE, writer=0, name=NAME, history=tmp_path / "history", values=values, **more
    )


def test_a_configuration_is_rendered_but_for_what_each_operation_fills_in(tmp_path: Path) -> None:
    orders = config(tmp_path, LINKS).workloads["orders"]
    assert (orders["kind"], orders["rate"], orders["answers_s"]) == ("http-async", 30, 1.5)
    assert orders["submit"]["url"] == "http://127.0.0.1:3001/orders"
    assert orders["submit"]["json"] == {"note": f"{{x}} marker:{OP}", "list": ["secret"], "number": 1}
    assert orders["submit"]["headers"] == {"Authorization": "Bearer secret"}
    assert orders["poll"]["url"] == f"http://127.0.0.1:3001/orders/{REF}"
    assert orders["poll"]["proof"] == {"$.note": f"marker:{OP}"}


def test_a_configuration_survives_its_journey(tmp_path: Path) -> None:
    made = config(tmp_path, LINKS, workloads=["events"], direct="nats://127.0.0.1:4222", secrets=["secret"])
    assert list(made.workloads) == ["events"]
    assert LoadConfig.from_json(made.to_json()) == made


def test_a_placeholder_without_a_value_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="token"):
        config(tmp_path, {key: value for key, value in LINKS.items() if key != "token"})


@pytest.mark.parametrize("host", ["example.org", "10.0.0.1", "127.0.0.1.example.org", "[2001:db8::1]", "0.0.0.0"])
def test_other_machines_are_refused(tmp_path: Path, host: str) -> None:
    with pytest.raises(UsageError, match=r"workloads\.orders\.submit\.url: load is offered on this machine only"):
        config(tmp_path, {**LINKS, "web.url": f"http://{host}:80"})
    with pytest.raises(UsageError, match="broker: load is offered on this machine only"):
        config(tmp_path, LINKS, direct=f"nats://{host}:4222")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.2", "[::1]"])
def test_the_loopback_has_many_names(tmp_path: Path, host: str) -> None:
    config(tmp_path, {**LINKS, "web.url": f"http://{host}:80"})


def test_what_only_the_final_read_can_tell_is_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "shop.toml"
    path.write_text(SYSTEM)
    assert followed(load_system(path)) == ["orders"]
    path.write_text(SYSTEM + "consume = true\n")
    assert followed(load_system(path)) == ["orders", "events"]


async def test_a_load_that_cannot_begin_says_why(tmp_path: Path) -> None:
    events = {**jetstream("nats://127.0.0.1:1"), "kind": "carrier-pigeon"}
    with pytest.raises(
        StartError, match=r"before it was configured[\s\S]*no kind of workload is called 'carrier-pigeon'"
    ):
        async with load(tmp_path, {"events": events}):
            pass


async def test_without_its_runner_it_ends_at_once_and_loses_nothing(tmp_path: Path) -> None:
    with stub() as url:
        async with load(tmp_path, {"orders": http(url, "done", rate=100)}) as lab:
            await lab.load.start()
            await asyncio.sleep(0.5)
            locust = lab.load._shares[0].locust
            assert locust._writer is not None
            assert locust._process is not None
            gone_ns = time.monotonic_ns()
            locust._writer.close()  # as the kernel would, had we died
            async with asyncio.timeout(5):
                assert str(await locust._process.wait()) == "exit code 3"
            ended_ns = time.monotonic_ns()
            history = lab.read()
            assert all(one.start_ns < ended_ns for one in history.operations())
            assert max(one.start_ns for one in history.operations()) > gone_ns - 100_000_000
            assert "history incomplete" in {line["name"] for line in history.troubles()}
            assert not lab.load.alive


def test_a_killed_runner_takes_its_load_along(tmp_path: Path) -> None:
    program = textwrap.dedent(
        f"""
        import asyncio
        from pathlib import Path
        from tests.load.lab import jetstream, load

        async def main():
            async with load(Path({str(tmp_path)!r}), {{"e": jetstream("nats://127.0.0.1:9")}}) as lab:
                print(lab.load.pids[0], flush=True)
                await asyncio.sleep(60)

        asyncio.run(main())
        """
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as runner:
        assert runner.stdout is not None
        pidfd = os.pidfd_open(int(runner.stdout.readline()))
        runner.kill()
    ended = select.poll()
    ended.register(pidfd, select.POLLIN)
    try:
        assert ended.poll(5_000)
    finally:
        os.close(pidfd)


async def test_what_cannot_be_recorded_is_not_sent(tmp_path: Path) -> None:
    with stub() as url:
        async with load(tmp_path, {"orders": http(url, "done", rate=200)}) as lab:
            resource.prlimit(lab.load.pids[0], resource.RLIMIT_FSIZE, (64 * 101, 64 * 101))  # as a full disk would be
            await lab.load.start()
            await asyncio.sleep(1.5)
            await lab.load.stop()
            await lab.load.final()
            history = lab.read()
    found = list(history.operations())
    assert len(found) == 100
    assert {one.outcome for one in found} == {Outcome.OK}
    assert "history incomplete" in {line["name"] for line in history.troubles()}
