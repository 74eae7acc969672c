"""A whole small system: what its services are told, in which order it starts, and that it is gone afterwards."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from pathlib import Path

import pytest

from harness.errors import StartError, UsageError
from harness.runtime import _proc, journal
from harness.runtime._http import request
from harness.runtime.ports import machine_folder
from harness.runtime.processes import Processes

from .conftest import Opener, nothing
from .world import BROKER_ALONE, WITH_SERVICES, Lines, Wire, system

LINKS = {
    ("web-0", "broker-0"),
    ("web-0", "store-0"),
    ("work-0", "broker-0"),
    ("work-0", "store-0"),
    ("work-1", "broker-0"),
    ("work-1", "store-0"),
    ("load", "web-0"),
}


async def told(runtime: Processes, node: str) -> dict[str, object]:
    _, body = await request("GET", int(runtime.nodes[node].direct(what="port")), "/", within_s=5)
    found = json.loads(body)
    assert isinstance(found, dict)
    return found


async def test_services_are_told_their_links_and_nothing_else(opened: Opener, tmp_path: Path) -> None:
    runtime = await opened(WITH_SERVICES, hardening="all")
    assert set(runtime.links) == LINKS
    assert list(runtime.nodes) == ["broker-0", "store-0", "web-0", "work-0", "work-1"]
    links, web, work = runtime.links, await told(runtime, "web-0"), await told(runtime, "work-1")
    ours = {name: os.environ.get(name, "C.UTF-8") for name in ("PATH", "HOME", "LANG")}
    python = {"LC_CTYPE": "C.UTF-8"}  # which Python itself adds where LANG is C
    env = {
        "NATS": f"nats://127.0.0.1:{links['web-0', 'broker-0'].port}",
        "STORE": f"http://127.0.0.1:{links['web-0', 'store-0'].port}",
        "ME": "web-0",
        "MEASURES": "all",
    }
    assert {**python, **web["env"]} == {**python, **ours, **env}  # type: ignore[dict-item]
    assert work["env"]["STORES"] == links["work-1", "store-0"].url  # type: ignore[index]
    node = runtime.nodes["web-0"]
    assert web["argv"] == ["service.py", node.direct(what="port"), f"{node.dir}/config"]
    assert web["config"] == f"{{ web-0 {node.dir} }}"
    assert web["cwd"] == str(tmp_path / "system")
    values = runtime.addresses("load")
    assert values == {
        f"web{port}.{form}": value
        for port in ("", ".http")
        for form, value in {
            "url": links["load", "web-0"].url,
            "urls": links["load", "web-0"].url,
            "host": "127.0.0.1",
            "port": str(links["load", "web-0"].port),
        }.items()
    }
    direct = runtime.addresses(None)
    assert direct["web.url"] == node.direct()
    assert direct["store.more.port"] == runtime.nodes["store-0"].direct("more", "port")
    assert direct["work.urls"] == ",".join(runtime.nodes[name].direct() for name in ("work-0", "work-1"))


async def test_links_open_once_their_target_listens(opened: Opener, lines: Lines) -> None:
    seen: list[bool] = []
    runtimes: list[Processes] = []

    async def before() -> None:
        lines.line("phase", name="before services")
        seen.extend(line["event"] != "open" for line in lines.of("link"))

    runtimes.append(await opened(WITH_SERVICES, before=before))
    assert seen
    assert all(seen)
    assert not any(link.refusing for link in runtimes[0].links.values())
    (before_services,) = moments(lines.of("phase", name="before services"))
    (broker_ready,) = moments(lines.of("node", event="ready", node="broker-0"))
    services = [line for line in lines.of("node", event="started") if line["node"] != "broker-0"]
    assert broker_ready <= before_services <= min(moments(services))
    for line in lines.of("link", event="open"):
        (listening,) = moments(lines.of("node", event="listening", node=line["target"]))
        assert moments([line])[0] > listening


def moments(found: list[dict[str, object]]) -> list[int]:
    return [t_ns for line in found if isinstance(t_ns := line["t_ns"], int)]


async def test_everything_listens_on_loopback_alone(opened: Opener) -> None:
    runtime = await opened(WITH_SERVICES)
    ports = {link.port for link in runtime.links.values()} | {
        port.number for node in runtime.nodes.values() for port in node.ports.values()
    }
    ports |= {link._api.api_port for link in runtime.links.values()}
    found = set()
    for name in ("tcp", "tcp6"):
        for row in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            _, local, _, state, *_ = row.split()
            address, port = local.split(":")
            if state == "0A" and int(port, 16) in ports:
                found.add(int(port, 16))
                assert address == "0100007F"
    assert found == ports - {runtime.nodes["store-0"].ports["more"].number}


async def test_a_folder_survives_kill_and_restart_and_goes_at_close(opened: Opener, tmp_path: Path) -> None:
    runtime = await opened(WITH_SERVICES)
    node = runtime.nodes["web-0"]
    (node.dir / "kept").write_text("x")
    port = node.direct()
    await node.kill()
    await node.start()
    await node.ready(within_s=10)
    assert (node.dir / "kept").read_text() == "x"
    assert node.direct() == port
    with pytest.raises(StartError, match="runs already"):
        await node.start()
    await runtime.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state", "system"]


async def test_close_is_quick_and_leaves_nothing(opened: Opener, state: Path, lines: Lines) -> None:
    runtime = await opened(WITH_SERVICES)
    found = [_proc.identity(int(str(line["pid"]))) for line in lines.of("node", event="started")]
    found += [_proc.identity(link.proxy_pid) for link in runtime.links.values()]
    ports = [link.port for link in runtime.links.values()]
    started = time.monotonic()
    await runtime.close()
    assert time.monotonic() - started < 1
    assert len(found) == 12
    assert not any(process and _proc.alive(process) for process in found)
    assert list((state / "journals").iterdir()) == []
    assert not any((machine_folder() / str(port)).exists() for port in ports)
    assert len(lines.of("node", event="exited", expected=True)) == 5
    assert not lines.of("node", event="exited", expected=False)
    await runtime.close()


async def test_what_was_left_out_can_be_started_later(opened: Opener) -> None:
    runtime = await opened(WITH_SERVICES, without=frozenset({"broker", "web"}), replicas={"work": 1})
    assert list(runtime.nodes) == ["broker-0", "store-0", "web-0", "work-0"]
    link, broker = runtime.links["work-0", "broker-0"], runtime.broker
    assert not broker.alive
    with pytest.raises(ConnectionRefusedError):
        await Wire.dial(link.port)
    await broker.start()
    await broker.ready(within_s=10)
    await link.open()
    await (await Wire.dial(link.port)).close()
    await runtime.nodes["web-0"].start()
    await runtime.nodes["web-0"].ready(within_s=10)


async def test_a_cancelled_start_leaves_nothing(tmp_path: Path, state: Path, lines: Lines, toxiproxy: Path) -> None:
    for delay_s in (0.0, 0.03, 0.06, 0.12, 0.25):
        runtime = Processes(system(tmp_path / "system", WITH_SERVICES), folder=tmp_path, recorder=lines)
        opening = asyncio.ensure_future(runtime.open(nothing))
        await asyncio.sleep(delay_s)
        opening.cancel()
        await asyncio.wait([opening])
        await runtime.close()
        assert list(state.glob("journals/*")) == []
        assert not (tmp_path / "nodes").exists()
    pids = [int(str(line["pid"])) for line in lines.of("node", event="started")]
    assert not any(map(_proc.runs, pids))


async def test_a_callback_that_fails_ends_the_start(opened: Opener, state: Path) -> None:
    async def before() -> None:
        raise RuntimeError("observers")

    with pytest.raises(RuntimeError, match="observers"):
        await opened(BROKER_ALONE.format(broker=""), before=before)
    assert list((state / "journals").iterdir()) == []


async def test_two_ports_of_one_target_are_refused(opened: Opener) -> None:
    text = WITH_SERVICES.replace('STORE = "{store.url}"', 'STORE = "{store.url}", MORE = "{store.more.url}"')
    with pytest.raises(UsageError, match="web-0 calls two ports of store-0, 'http' and 'more'"):
        await opened(text)


async def test_a_runtime_is_opened_once(alone: Processes) -> None:
    with pytest.raises(UsageError, match="once"):
        await alone.open(nothing)


async def test_children_of_our_own_go_with_the_rest(alone: Processes, lines: Lines, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    script = f"import os, time; os.write({writer}, b'x'); print('said'); time.sleep(1000)"
    argv = [sys.executable, "-u", "-c", script]
    child = alone.child("load", argv, {"PATH": os.environ["PATH"]}, tmp_path, [writer])
    os.close(writer)
    assert await asyncio.to_thread(os.read, reader, 1) == b"x"
    os.close(reader)
    async with asyncio.timeout(5):
        while not lines.of("output", node="load", text="said"):
            await asyncio.sleep(0.01)
    assert f"load (pid {child.pid})" in journal.undo(alone.journal.path).ended
    assert str(await child.wait()) == "signal 9"


async def test_children_start_in_the_main_thread_alone(alone: Processes, tmp_path: Path) -> None:
    errors: list[BaseException] = []

    def start() -> None:
        async def inside() -> None:
            alone.child("load", ["true"], {}, tmp_path)

        try:
            asyncio.run(inside())
        except StartError as error:
            errors.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    await asyncio.to_thread(thread.join)
    assert "main thread" in str(errors[0])
