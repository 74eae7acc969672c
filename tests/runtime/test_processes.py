"""A whole small system: what its services are told, in which order it starts, and that it is gone afterwards."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from pathlib import Path

import pytest

from harness.errors import StartError, UsageError
from harness.runtime import _proc, journal
from harness.runtime.ports import machine_folder
from harness.runtime.processes import Processes

from .conftest import Opener
from .world import WITH_SERVICES, Lines

LINKS = {
    ("web-0", "broker-0"),
    ("web-0", "store-0"),
    ("work-0", "broker-0"),
    ("work-0", "store-0"),
    ("work-1", "broker-0"),
    ("work-1", "store-0"),
    ("load", "web-0"),
}


async def test_everything_listens_on_loopback_alone(opened: Opener) -> None:
    runtime = await opened(WITH_SERVICES)
    ports = {link.port for link in runtime.links.values()} | {
        port.number for node in runtime.nodes.values() for port in node.ports.values()
    }
    ports |= {link._api_address[1] for link in runtime.links.values()}
    found = set()
    for name in ("tcp", "tcp6"):
        for row in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            _, local, _, state, *_ = row.split()
            address, port = local.split(":")
            if state == "0A" and int(port, 16) in ports:
                found.add(int(port, 16))
                assert address == "0100007F"
    assert found == ports - {runtime.nodes["store-0"].ports["more"].number}


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


async def test_two_ports_of_one_target_are_refused(opened: Opener) -> None:
    text = WITH_SERVICES.replace('STORE = "{store.url}"', 'STORE = "{store.url}", MORE = "{store.more.url}"')
    with pytest.raises(UsageError, match="web-0 calls two ports of store-0, 'http' and 'more'"):
        await opened(text)


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
