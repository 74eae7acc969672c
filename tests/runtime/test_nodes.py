"""Nodes: what is done to them, and what is told of them."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from harness.errors import HarnessError, Missing, StartError, UnknownName
from harness.runtime import _proc, binaries
from harness.runtime._http import request
from harness.runtime._node import ProcessNode
from harness.runtime._ready import by_command, by_log, by_port
from harness.runtime.processes import Processes

from .conftest import Opener
from .world import BROKER_ALONE, Lines, Wire

SERVICE = """
[system]
name = "one"
[broker]
[streams.A]
subjects = ["a.>"]
[services.store]
role = "dependency"
command = ["{{python}}", "service.py", "{{port}}"]
ports = {{ http = 80 }}
{more}
[workloads.messages]
kind = "jetstream"
rate = 10
publish = {{ url = "{{broker.url}}", subject = "a.b" }}
stream = "A"
"""


def service(more: str) -> str:
    return SERVICE.format(more=more)


def pids(lines: Lines) -> list[int]:
    return [int(str(line["pid"])) for line in lines.of("node", event="started")]


async def test_kill_is_seen_and_its_links_refuse_until_they_are_opened(alone: Processes, lines: Lines) -> None:
    broker, link = alone.broker, alone.links["load", "broker-0"]
    wire = await Wire.dial(link.port)
    asked = time.monotonic_ns()
    killed = await broker.kill()
    assert asked < killed <= time.monotonic_ns()
    assert not broker.alive
    assert broker.pid is None
    assert link.refusing
    (line,) = lines.of("node", event="exited")
    assert (line["t_ns"], line["signal"], line["expected"]) == (killed, 9, True)
    assert await wire.ended()
    with pytest.raises(ConnectionRefusedError):
        await Wire.dial(link.port)
    (broker.storage / "survives").touch()
    await broker.start()
    await broker.ready(within_s=10)
    assert (broker.storage / "survives").exists()
    with pytest.raises(ConnectionRefusedError):
        await Wire.dial(link.port)
    await link.open()
    fresh = await Wire.dial(link.port)
    await fresh.close()
    await wire.close()
    up = ["started", "listening", "ready"]
    assert [line["event"] for line in lines.of("node")] == [*up, "exited", *up]


async def test_kill_of_what_is_dead_tells_when_it_died(alone: Processes) -> None:
    assert await alone.broker.kill() == await alone.broker.kill()


async def test_pause_stops_every_task_and_keeps_connections(alone: Processes, lines: Lines) -> None:
    broker = alone.broker
    assert broker.pid is not None
    wire = await Wire.dial(int(broker.direct(what="port")))
    await broker.pause()
    assert _proc.task_states(broker.pid) == "T"
    assert broker.alive
    wire.ping()
    assert not await wire.pong(0.2)
    await broker.resume()
    assert "T" not in _proc.task_states(broker.pid)
    assert await wire.pong()
    await wire.close()
    assert [line["event"] for line in lines.of("node")][-2:] == ["paused", "resumed"]
    await broker.pause()
    await broker.kill()
    with pytest.raises(HarnessError, match="dead"):
        await broker.pause()


async def test_terminate_asks_and_tells_the_exit_code(opened: Opener, lines: Lines) -> None:
    runtime = await opened(service('ready = "/"'))
    asked = time.monotonic_ns()
    t_ns, code = await runtime.nodes["store-0"].terminate(grace_s=5)
    assert asked < t_ns < asked + 4e9
    assert code == 3
    assert lines.of("node", event="exited", code=3, expected=True)


async def test_terminate_kills_what_outlives_its_grace(opened: Opener) -> None:
    runtime = await opened(service('ready = "/"\nenv = { BEHAVE = "stubborn" }'))
    started = time.monotonic()
    _, code = await runtime.nodes["store-0"].terminate(grace_s=0.2)
    assert code == -signal.SIGKILL
    assert 0.2 <= time.monotonic() - started < 2


async def test_its_own_stop_signal_is_sent(opened: Opener) -> None:
    runtime = await opened(service('ready = "/"\nstop = { signal = "USR1" }'))
    _, code = await runtime.nodes["store-0"].terminate(grace_s=5)
    assert code == -signal.SIGUSR1


async def grandchild(lines: Lines) -> int:
    while not (told := [line for line in lines.of("output") if str(line["text"]).startswith("forked")]):
        await asyncio.sleep(0.01)
    return int(str(told[-1]["text"]).split()[1])


@pytest.mark.parametrize("how", ["kill", "terminate", "close"])
async def test_grandchildren_go_too(opened: Opener, lines: Lines, how: str) -> None:
    runtime = await opened(service('ready = "/"\nenv = { BEHAVE = "fork" }'))
    node, pid = runtime.nodes["store-0"], await grandchild(lines)
    found = _proc.identity(pid)
    assert found is not None
    await node.pause()
    assert _proc.task_states(pid) == "T"
    await node.resume()
    assert _proc.alive(found)
    await {"kill": node.kill, "terminate": lambda: node.terminate(grace_s=5), "close": runtime.close}[how]()
    assert not _proc.alive(found)


async def test_an_end_that_nobody_asked_for_is_told_and_its_links_refuse(alone: Processes, lines: Lines) -> None:
    broker, link = alone.broker, alone.links["load", "broker-0"]
    assert broker.pid is not None
    os.kill(broker.pid, signal.SIGKILL)
    async with asyncio.timeout(5):
        while broker.alive:
            await asyncio.sleep(0.01)
    await broker.settle()
    assert lines.of("node", event="exited", signal=9, expected=False)
    assert link.refusing


async def test_a_service_that_dies_at_start_is_told_with_its_last_lines(opened: Opener, lines: Lines) -> None:
    with pytest.raises(StartError, match=r"store-0: died at start: exit code 7[\s\S]*no such luck"):
        await opened(service('ready = "/"\nenv = { BEHAVE = "die" }'))
    assert not any(map(_proc.runs, pids(lines)))


@pytest.mark.parametrize(("behave", "seen"), [("deaf", "nobody listens"), ("sick", "answered 503")])
async def test_a_service_that_is_not_ready_in_time_is_told(opened: Opener, behave: str, seen: str) -> None:
    with pytest.raises(StartError, match=rf"store-0: was not ready in 0.7 s; last seen: [\s\S]*{seen}"):
        await opened(service(f'ready = "/"\nenv = {{ BEHAVE = "{behave}" }}'), ready_within_s=0.7)


async def test_a_command_that_does_not_exist_is_told(opened: Opener) -> None:
    with pytest.raises(StartError, match="'no-such-command' cannot be run: No such file"):
        await opened(service("").replace('"{python}"', '"no-such-command"'))


@pytest.mark.parametrize("ready", ['"/ready"', '"{store.url}/x"'])
async def test_ready_by_a_path_or_an_address(opened: Opener, lines: Lines, ready: str) -> None:
    await opened(service(f"ready = {ready}"))
    assert lines.of("node", node="store-0", event="ready")


async def test_the_other_ways_of_being_ready(tmp_path: Path) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        assert await by_port(port)() == f"nobody listens on 127.0.0.1:{port}"
        server.listen()
        assert await by_port(port)() == ""
    assert await by_log("^hello [0-9]+$", lambda: ["a", "hello 7"])() == ""
    assert await by_log("^hello [0-9]+$", lambda: ["hello x"])() == "no line matches '^hello [0-9]+$'"
    expected = {
        "true": "",
        "false": "false exited with 1",
        "no-such": "no-such cannot be run: No such file or directory",
    }
    for command, seen in expected.items():
        assert await by_command([command], env={"PATH": os.environ["PATH"]}, cwd=tmp_path)() == seen


async def test_direct_addresses(alone: Processes) -> None:
    broker = alone.broker
    port = broker.direct("client", "port")
    assert broker.direct() == f"nats://127.0.0.1:{port}"
    assert broker.direct(what="host") == "127.0.0.1"
    assert broker.monitor_url == f"http://127.0.0.1:{broker.direct('monitor', 'port')}"
    with pytest.raises(UnknownName):
        broker.direct("cluster")


async def varz(node: ProcessNode) -> bytes:
    return (await request("GET", int(node.direct("monitor", "port")), "/varz", within_s=5))[1]


async def test_the_broker_restarts_with_another_version(opened: Opener) -> None:
    other = "2.11.4"
    try:
        binaries.nats_server(other)
    except Missing:
        pytest.skip("no other version can be had here")
    runtime = await opened(BROKER_ALONE.format(broker=""))
    await runtime.broker.terminate(grace_s=5)
    await runtime.broker.start(version=other)
    await runtime.broker.ready(within_s=10)
    assert f'"version": "{other}"'.encode() in await varz(runtime.broker)


async def test_the_broker_takes_our_observer_and_anybody(alone: Processes, lines: Lines) -> None:
    broker = alone.broker
    port = int(broker.direct(what="port"))
    anybody = await Wire.dial(port)
    observer = await Wire.dial(port, f'{{"verbose":false,"user":"{broker.sys_user}","pass":"{broker.sys_password}"}}')
    assert lines.secrets == [broker.sys_password]
    for wire in (anybody, observer):
        await wire.close()


INCLUDING = BROKER_ALONE.format(broker='version = "2.12.8"\ninclude = "their.conf"')
INCLUDES = {
    "max_payload: 2MB\nlisten: 0.0.0.0:4222": "",
    "authorization { users: [ { user: app, password: pw } ] }": '"user":"app","pass":"pw"',
    "authorization { user: app, password: pw }": '"user":"app","pass":"pw"',
    "authorization { token: secret }": '"auth_token":"secret"',
    (
        "accounts { APP { users: [ { user: app, password: pw } ] }"
        ", $SYS { users: [ { user: nats-harness, password: $NATS_HARNESS_PASSWORD } ] } }"
    ): '"user":"app","pass":"pw"',
}


@pytest.mark.parametrize("include", INCLUDES)
async def test_an_included_configuration_keeps_its_users(opened: Opener, tmp_path: Path, include: str) -> None:
    (tmp_path / "system").mkdir()
    (tmp_path / "system" / "their.conf").write_text(include)
    runtime = await opened(INCLUDING)
    broker = runtime.broker
    wire = await Wire.dial(
        int(broker.direct(what="port")), f'{{"verbose":false{"," * bool(INCLUDES[include])}{INCLUDES[include]}}}'
    )
    await wire.close()
    assert (broker.sys_user is None) == ("user: app, password: pw }" in include[16:44] or "token" in include)


@pytest.mark.parametrize(
    ("include", "said"),
    [
        ("accounts { APP { users: [ { user: app, password: pw } ] } }", "accounts { \\$SYS { users"),
        ("no such thing {", "the configuration is refused"),
    ],
)
async def test_an_included_configuration_that_does_not_go_with_ours_is_told(
    opened: Opener, tmp_path: Path, include: str, said: str
) -> None:
    (tmp_path / "system").mkdir()
    (tmp_path / "system" / "their.conf").write_text(include)
    with pytest.raises(StartError, match=said):
        await opened(INCLUDING, ready_within_s=1)
