"""What every runtime must do, shown in both: the same tests with child processes and with containers.

What links do in both is in the test_link files, marked likewise; what only one of them can do, in a file of its own.
"""

from __future__ import annotations

import asyncio
import json
import signal
import time
from contextlib import suppress
from pathlib import Path

import nats
import pytest

from harness.errors import HarnessError, Missing, StartError, UnknownName, UsageError
from harness.runtime import _cgroup, _proc, binaries
from harness.runtime._http import request
from harness.runtime._node import SystemNode
from harness.runtime._runtime import SystemRuntime
from harness.runtime.choosing import runtime_of

from .conftest import Opener, both, nothing
from .world import BROKER_ALONE, INCLUDING, WITH_SERVICES, Lines, Wire, service, system

pytestmark = both

IMAGES_OWN = {"PATH", "HOME", "LANG", "LC_CTYPE", "HOSTNAME", "PYTHONPATH"}
"""What a service finds in its environment beside what its system file says."""


async def asked(node: SystemNode, path: str = "/") -> bytes:
    return (await request("GET", node.address(), path, within_s=5))[1]


async def told(runtime: SystemRuntime, node: str) -> dict[str, object]:
    found = json.loads(await asked(runtime.nodes[node]))
    assert isinstance(found, dict)
    return found


def moments(found: list[dict[str, object]]) -> list[int]:
    return [t_ns for line in found if isinstance(t_ns := line["t_ns"], int)]


def pids(lines: Lines) -> list[int]:
    return [int(str(line["pid"])) for line in lines.of("node", event="started")]


# ---- a system ----


async def test_services_are_told_their_links_and_nothing_else(opened: Opener) -> None:
    runtime = await opened(WITH_SERVICES, hardening="all")
    assert list(runtime.nodes) == ["broker-0", "store-0", "web-0", "work-0", "work-1"]
    links, web, work = runtime.links, await told(runtime, "web-0"), await told(runtime, "work-1")
    env = {
        "NATS": links["web-0", "broker-0"].url,
        "STORE": links["web-0", "store-0"].url,
        "ME": "web-0",
        "MEASURES": "all",
    }
    assert isinstance(web["env"], dict)
    assert {name: value for name, value in web["env"].items() if name not in IMAGES_OWN} == env
    assert work["env"]["STORES"] == links["work-1", "store-0"].url  # type: ignore[index]
    node = runtime.nodes["web-0"]
    assert web["argv"] == ["service.py", str(node.inside()[1]), f"{node.dir}/config"]
    assert web["config"] == f"{{ web-0 {node.dir} }}"
    here, port = links["load", "web-0"].published
    assert runtime.addresses("load")["web.url"] == f"http://{here}:{port}"
    assert here == "127.0.0.1"
    direct = runtime.addresses(None)
    assert direct["web.url"] == node.direct()
    assert direct["store.more.port"] == runtime.nodes["store-0"].direct("more", "port")
    assert direct["work.urls"] == ",".join(runtime.nodes[name].direct() for name in ("work-0", "work-1"))


async def test_links_open_once_their_target_listens(opened: Opener, lines: Lines) -> None:
    seen: list[bool] = []

    async def before() -> None:
        lines.line("phase", name="before services")
        seen.extend(line["event"] != "open" for line in lines.of("link"))

    runtime = await opened(WITH_SERVICES, before=before)
    assert seen
    assert all(seen)
    assert not any(link.refusing for link in runtime.links.values())
    (before_services,) = moments(lines.of("phase", name="before services"))
    (broker_ready,) = moments(lines.of("node", event="ready", node="broker-0"))
    services = [line for line in lines.of("node", event="started") if line["node"] != "broker-0"]
    assert broker_ready <= before_services <= min(moments(services))
    for line in lines.of("link", event="open"):
        (listening,) = moments(lines.of("node", event="listening", node=line["target"]))
        assert moments([line])[0] > listening


async def test_what_was_left_out_can_be_started_later(opened: Opener) -> None:
    runtime = await opened(WITH_SERVICES, without=frozenset({"broker", "web"}), replicas={"work": 1})
    assert list(runtime.nodes) == ["broker-0", "store-0", "web-0", "work-0"]
    link, broker = runtime.links["work-0", "broker-0"], runtime.broker
    assert not broker.alive
    with pytest.raises(ConnectionRefusedError):
        await Wire.dial((link.host, link.port))
    await broker.start()
    await broker.ready(within_s=10)
    await link.open()
    await (await Wire.dial((link.host, link.port))).close()
    await runtime.nodes["web-0"].start()
    await runtime.nodes["web-0"].ready(within_s=10)


async def test_close_leaves_nothing(opened: Opener, state: Path, lines: Lines) -> None:
    runtime = await opened(WITH_SERVICES)
    found = [_proc.identity(pid) for pid in pids(lines)]
    found += [_proc.identity(link.proxy_pid) for link in runtime.links.values()]
    await runtime.close()
    assert len(found) == 12
    assert not any(process and _proc.alive(process) for process in found)
    assert list((state / "journals").iterdir()) == []
    assert len(lines.of("node", event="exited", expected=True)) == 5
    assert not lines.of("node", event="exited", expected=False)
    await runtime.close()


async def test_a_cancelled_start_leaves_nothing(
    tmp_path: Path, state: Path, lines: Lines, toxiproxy: Path, kind: str
) -> None:
    delays_s = {"processes": (0.0, 0.03, 0.06, 0.12, 0.25), "containers": (0.0, 0.3, 0.8, 1.6, 2.4)}
    for delay_s in delays_s[kind]:
        runtime = runtime_of(kind)(system(tmp_path / "system", WITH_SERVICES), folder=tmp_path, recorder=lines)
        opening = asyncio.ensure_future(runtime.open(nothing))
        await asyncio.sleep(delay_s)
        opening.cancel()
        await asyncio.wait([opening])
        await runtime.close()
        assert list(state.glob("journals/*")) == []
        assert not (tmp_path / "nodes").exists()
    assert not any(map(_proc.runs, pids(lines)))


async def test_a_callback_that_fails_ends_the_start(opened: Opener, state: Path) -> None:
    async def before() -> None:
        raise RuntimeError("observers")

    with pytest.raises(RuntimeError, match="observers"):
        await opened(BROKER_ALONE.format(broker=""), before=before)
    assert list((state / "journals").iterdir()) == []


async def test_a_runtime_is_opened_once(alone: SystemRuntime) -> None:
    with pytest.raises(UsageError, match="once"):
        await alone.open(nothing)


# ---- a node ----


async def test_kill_is_seen_and_its_links_refuse_until_they_are_opened(alone: SystemRuntime, lines: Lines) -> None:
    broker, link = alone.broker, alone.links["load", "broker-0"]
    way = link.host, link.port
    wire = await Wire.dial(way)
    before_ns = time.monotonic_ns()
    killed = await broker.kill()
    assert before_ns < killed <= time.monotonic_ns()
    assert not broker.alive
    assert broker.pid is None
    assert link.refusing
    (line,) = lines.of("node", event="exited")
    assert (line["t_ns"], line["signal"], line["expected"]) == (killed, 9, True)
    assert await wire.ended()
    with pytest.raises(ConnectionRefusedError):
        await Wire.dial(way)
    await broker.start()
    await broker.ready(within_s=10)
    with pytest.raises(ConnectionRefusedError):
        await Wire.dial(way)
    await link.open()
    fresh = await Wire.dial(way)
    await fresh.close()
    await wire.close()
    up = ["started", "listening", "ready"]
    assert [line["event"] for line in lines.of("node")] == [*up, "exited", *up]


async def test_kill_of_what_is_dead_tells_when_it_died(alone: SystemRuntime) -> None:
    assert await alone.broker.kill() == await alone.broker.kill()


async def test_a_folder_and_addresses_outlast_kill_and_restart(opened: Opener, tmp_path: Path) -> None:
    runtime = await opened(service('ready = "/"\nenv = { STARTS = "{dir}/starts" }'))
    node = runtime.nodes["store-0"]
    way = node.direct()
    assert (await told(runtime, "store-0"))["starts"] == 1
    await node.kill()
    await node.start()
    await node.ready(within_s=10)
    assert (await told(runtime, "store-0"))["starts"] == 2
    assert node.direct() == way
    with pytest.raises(StartError, match="runs already"):
        await node.start()
    await runtime.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state", "system"]


async def test_the_broker_restarts_with_its_storage_and_another_version(opened: Opener) -> None:
    other = "2.11.4"
    try:
        binaries.nats_server(other)
    except Missing:
        pytest.skip("no other version can be had here")
    runtime = await opened(BROKER_ALONE.format(broker='version = "2.12.8"'))
    broker = runtime.broker
    await published(broker)
    await broker.terminate(grace_s=5)
    await broker.start()
    await broker.ready(within_s=10)
    assert await kept(broker) == ("2.12.8", 1)
    await broker.kill()
    await broker.start(version=other)
    await broker.ready(within_s=10)
    assert await kept(broker) == (other, 1)


async def published(broker: SystemNode) -> None:
    client = await nats.connect(broker.direct())
    await client.jetstream().add_stream(name="A", subjects=["a.>"])
    await client.jetstream().publish("a.b", b"x")
    await client.close()


async def kept(broker: SystemNode) -> tuple[str, int]:
    """The version that answers, and how many messages it has of what was published."""
    client = await nats.connect(broker.direct())
    state = (await client.jetstream().stream_info("A")).state
    version = str(client.connected_server_version).removeprefix("<nats server v").rstrip(">")
    await client.close()
    return version, state.messages


def halted(pid: int, kind: str) -> bool:
    """Whether a process is stopped, or its container frozen."""
    if kind == "processes":
        return _proc.task_states(pid) == "T"
    freezer = _cgroup.freezer(pid)
    return freezer is not None and freezer.frozen() is True


async def test_pause_stops_everything_and_keeps_connections(alone: SystemRuntime, lines: Lines, kind: str) -> None:
    broker = alone.broker
    assert broker.pid is not None
    wire = await Wire.dial(broker.address())
    before_ns = time.monotonic_ns()
    paused_ns = await broker.pause()
    assert before_ns < paused_ns <= time.monotonic_ns()
    assert halted(broker.pid, kind)
    assert broker.alive
    wire.ping()
    assert not await wire.pong(0.2)
    await broker.resume()
    assert not halted(broker.pid, kind)
    assert await wire.pong()
    await wire.close()
    assert [line["event"] for line in lines.of("node")][-2:] == ["paused", "resumed"]
    await broker.pause()
    await broker.kill()
    with pytest.raises(HarnessError):
        await broker.pause()


async def test_terminate_asks_and_tells_the_exit_code(opened: Opener, lines: Lines) -> None:
    runtime = await opened(service('ready = "/"'))
    before_ns = time.monotonic_ns()
    asked_ns: list[int] = []
    t_ns, code = await runtime.nodes["store-0"].terminate(grace_s=5, signalled=asked_ns.append)
    assert before_ns < asked_ns[0] <= t_ns < before_ns + 4e9
    assert code == 3
    (stopping,) = lines.of("node", event="stopping")
    asking_ns = stopping["from_ns"]
    assert isinstance(asking_ns, int)
    assert before_ns < asking_ns <= asked_ns[0]
    assert stopping["t_ns"] == asked_ns[0]
    assert lines.of("node", event="exited", code=3, expected=True)


async def test_terminate_kills_what_outlives_its_grace(opened: Opener) -> None:
    runtime = await opened(service('ready = "/"\nenv = { BEHAVE = "stubborn" }'))
    started = time.monotonic()
    _, code = await runtime.nodes["store-0"].terminate(grace_s=0.2)
    assert code == -signal.SIGKILL
    assert time.monotonic() - started >= 0.2


async def test_its_own_stop_signal_is_sent(opened: Opener) -> None:
    """It has no handler for it: in a container too it must not be ignored."""
    runtime = await opened(service('ready = "/"\nstop = { signal = "USR1" }'))
    _, code = await runtime.nodes["store-0"].terminate(grace_s=5)
    assert code == -signal.SIGUSR1


@pytest.mark.parametrize("how", ["kill", "terminate", "close"])
async def test_what_a_service_started_stops_and_goes_with_it(opened: Opener, lines: Lines, how: str, kind: str) -> None:
    runtime = await opened(service('ready = "/"\nenv = { BEHAVE = "fork" }'))
    node = runtime.nodes["store-0"]
    assert node.pid is not None
    while not lines.of("output", node="store-0"):
        await asyncio.sleep(0.01)
    (child,) = [_proc.identity(pid) for pid in _proc.children(node.pid)]
    assert child is not None
    await node.pause()
    assert halted(child.pid, kind)
    await node.resume()
    assert _proc.alive(child)
    await {"kill": node.kill, "terminate": lambda: node.terminate(grace_s=5), "close": runtime.close}[how]()
    assert not _proc.alive(child)


async def test_an_end_that_nobody_asked_for_is_told_and_its_links_refuse(opened: Opener, lines: Lines) -> None:
    runtime = await opened(WITH_SERVICES.replace('"{port}", "{dir}/config"]', '"{port}"]'))
    node, link = runtime.nodes["web-0"], runtime.links["load", "web-0"]
    with suppress(ConnectionResetError):
        await asked(node, "/end")
    async with asyncio.timeout(5):
        while node.alive:
            await asyncio.sleep(0.01)
    await node.settle()
    assert lines.of("node", node="web-0", event="exited", code=4, expected=False)
    assert link.refusing


# ---- starting ----


async def test_a_service_that_dies_at_start_is_told_with_its_last_lines(opened: Opener, lines: Lines) -> None:
    with pytest.raises(StartError, match=r"store-0: died at start: exit code 7[\s\S]*no such luck"):
        await opened(service('ready = "/"\nenv = { BEHAVE = "die" }'))
    assert not any(map(_proc.runs, pids(lines)))


@pytest.mark.parametrize(("behave", "seen"), [("deaf", "nobody listens"), ("sick", "answered 503")])
async def test_a_service_that_is_not_ready_in_time_is_told(opened: Opener, behave: str, seen: str) -> None:
    with pytest.raises(StartError, match=rf"store-0: was not ready in 5 s; last seen: [\s\S]*{seen}"):
        await opened(service(f'ready = "/"\nenv = {{ BEHAVE = "{behave}" }}'), ready_within_s=5)


@pytest.mark.parametrize(
    "ready",
    [
        '"/ready"',
        '"{store.url}/x"',
        '{ tcp = "http" }',
        '{ log = "^hello [0-9]+" }',
        '{ command = ["{python}", "-c", "import urllib.request as u; u.urlopen(\'{store.url}\')"] }',
    ],
)
async def test_each_way_of_being_ready(opened: Opener, lines: Lines, ready: str) -> None:
    await opened(service(f"ready = {ready}"))
    assert lines.of("node", node="store-0", event="ready")


async def test_direct_addresses(alone: SystemRuntime) -> None:
    broker = alone.broker
    host, port = broker.address("client")
    assert broker.direct() == f"nats://{host}:{port}"
    assert broker.direct(what="host") == host
    assert broker.monitor_url == f"http://{host}:{broker.direct('monitor', 'port')}"
    with pytest.raises(UnknownName):
        broker.direct("cluster")


async def test_the_broker_reads_other_lines_and_its_own_again(alone: SystemRuntime, lines: Lines) -> None:
    """Who is let in changes while it runs; our observer stays, and what it does not take changes nothing."""
    broker = alone.broker
    await broker.reload("authorization { users = [ { user: app, password: second } ] }")
    with pytest.raises((AssertionError, OSError)):
        await Wire.dial(broker.address())
    with pytest.raises(HarnessError, match="did not take the configuration"):
        await broker.reload("max_payload: many")
    await broker.reload()
    login = f'{{"verbose":false,"user":"{broker.sys_user}","pass":"{broker.sys_password}"}}'
    for wire in (await Wire.dial(broker.address()), await Wire.dial(broker.address(), login)):
        await wire.close()


async def test_the_broker_takes_our_observer_and_anybody(alone: SystemRuntime, lines: Lines) -> None:
    broker = alone.broker
    anybody = await Wire.dial(broker.address())
    login = f'{{"verbose":false,"user":"{broker.sys_user}","pass":"{broker.sys_password}"}}'
    observer = await Wire.dial(broker.address(), login)
    assert lines.secrets == [broker.sys_password]
    for wire in (anybody, observer):
        await wire.close()


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
    login = f'{{"verbose":false{"," * bool(INCLUDES[include])}{INCLUDES[include]}}}'
    await (await Wire.dial(broker.address(), login)).close()
    assert (broker.sys_user is None) == ("user: app, password: pw }" in include[16:44] or "token" in include)
