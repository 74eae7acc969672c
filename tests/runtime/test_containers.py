"""What containers alone can do: the star, the hub, images by name."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.errors import HarnessError, Missing, ProxyError, UsageError
from harness.runtime._container import ContainerHost, ContainerLife
from harness.runtime._engine import JOURNAL_LABEL, Engine
from harness.runtime._node import SystemNode
from harness.runtime._output import Output
from harness.runtime.containers import HUB_PORT, THIS_MACHINE, Containers

from .conftest import Opener
from .near import connected
from .world import BROKER_ALONE, WITH_SERVICES, Lines, Wire, service

if TYPE_CHECKING:
    from docker.models.containers import Container

pytestmark = pytest.mark.engine

ROOT = Path(__file__).parents[2]


@pytest.fixture
def kind() -> str:
    return "containers"


async def test_who_is_asked_to_stop_dies_after_it_whenever_the_engine_answers(
    opened: Opener, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = ContainerLife._signal

    async def slowly(life: ContainerLife, number: signal.Signals) -> None:
        await sent(life, number)
        await life.wait()

    monkeypatch.setattr(ContainerLife, "_signal", slowly)
    runtime = await opened(service('ready = "/"'))
    t_ns, code = await runtime.nodes["store-0"].terminate(grace_s=5)
    (stopping,), (exited,) = lines.of("node", event="stopping"), lines.of("node", event="exited")
    assert (code, exited["t_ns"]) == (3, t_ns)
    assert int(str(stopping["from_ns"])) < int(str(stopping["t_ns"])) < t_ns


async def test_a_start_that_is_cancelled_while_the_engine_answers_closes_what_that_opened(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, attach, loop = list[Output](), Output.attach, asyncio.get_running_loop()

    def attach_and_cancel(output: Output, engine: Engine, container: Container) -> None:
        attach(output, engine, container)
        taken.append(output)
        loop.call_soon_threadsafe(opening.cancel)

    monkeypatch.setattr(Output, "attach", attach_and_cancel)
    opening = asyncio.ensure_future(opened(BROKER_ALONE.format(broker="")))
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert taken
    assert [output._socket for output in taken] == [None] * len(taken)


# ---- the star ----

REACHES = """
import json, socket, sys
def reached(address):
    with socket.socket() as dialled:
        dialled.settimeout(1)
        try:
            dialled.connect(tuple(address))
        except OSError as error:
            return type(error).__name__
    return ""
print(json.dumps([reached(address) for address in json.loads(sys.argv[1])]))
"""


async def reached(node: SystemNode, addresses: list[tuple[str, int]]) -> list[str]:
    """What came of dialling these from inside a node: "" where somebody answered."""
    assert isinstance(node.host, ContainerHost)
    container = node.host._container
    assert container is not None
    command = ["python3", "-c", REACHES, json.dumps(addresses)]
    done = await asyncio.to_thread(lambda: container.exec_run(command))
    found = json.loads(done.output)
    assert isinstance(found, list)
    return found


async def test_a_node_reaches_its_links_and_nothing_else(opened: Opener) -> None:
    runtime = await opened(WITH_SERVICES)
    web, links = runtime.nodes["web-0"], runtime.links
    own = [(link.host, link.port) for key, link in links.items() if key[0] == "web-0"]
    assert await reached(web, own) == ["", ""]
    others = [(link.host, link.port) for key, link in links.items() if key[0] != "web-0"]
    nodes = [node.inside() for name, node in runtime.nodes.items() if name != "web-0"]
    outside = [("1.1.1.1", 53)]
    dialled = [*others, *nodes, *outside]
    answered = dialled
    for _ in range(3):  # while a network is made, for some 8 ms, every way is open: the engine puts its rule anew
        came = dict(zip(dialled, await reached(web, dialled), strict=True))
        answered = [address for address in answered if not came[address]]
    assert answered == []
    # The same addresses answer where they should, so that it is not for want of somebody who listens.
    for address in others:
        _, writer = await connected(address)
        writer.close()
    for node in runtime.nodes.values():
        assert await node.listens(), node.name


async def test_this_machine_publishes_on_loopback_alone(opened: Opener, engine: Engine) -> None:
    """Each port of a node, the hub's own and the load's link: nothing else, and for no other machine or container."""
    runtime = await opened(WITH_SERVICES)
    assert isinstance(runtime, Containers)
    mine = {"label": f"{JOURNAL_LABEL}={runtime.journal.name}"}
    containers = engine.tools.client.containers.list(filters=mine)
    assert len(containers) == 6
    bound = [binding for container in containers for found in container.ports.values() for binding in found or ()]
    assert {binding["HostIp"] for binding in bound} == {"127.0.0.1"}
    published = [node.address(port)[1] for node in runtime.nodes.values() for port in node.ports]
    published += [runtime.links["load", "web-0"].published[1], runtime._hub_ports[HUB_PORT]]
    assert sorted(int(binding["HostPort"]) for binding in bound) == sorted(published)
    this_machine = runtime._address("web-0", THIS_MACHINE)
    assert "" not in await reached(runtime.nodes["web-0"], [(this_machine, port) for port in published])


async def test_a_service_without_image_or_python_is_told(opened: Opener) -> None:
    with pytest.raises(UsageError, match=r"it has no image[\s\S]*--runtime processes"):
        await opened(service("").replace('"{python}"', '"no-such-command"'))


async def test_an_image_that_is_missing_is_told(opened: Opener, state: Path) -> None:
    with pytest.raises(Missing, match=r"services.store|system.toml:\d+: there is no image 'no-such/image:7' here"):
        await opened(service('image = "no-such/image:7"'))
    with pytest.raises(Missing, match=r"there is no image 'no-such/broker' here[\s\S]*docker pull no-such/broker"):
        await opened(BROKER_ALONE.format(broker='image = "no-such/broker"'))
    assert list(state.glob("journals/*")) == []


async def test_a_broker_of_a_named_image(opened: Opener, engine: Engine) -> None:
    """The same binary under a registry's kind of name."""
    from harness.runtime.images import Images

    ours = engine.tools.client.images.get(Images(engine).broker("2.11.4"))
    ours.tag("nats-harness-test/their-broker", "1")
    try:
        runtime = await opened(BROKER_ALONE.format(broker='image = "nats-harness-test/their-broker:1"'))
        info = await asyncio.to_thread(greeting, runtime.broker.address())
        assert info["version"] == "2.11.4"
    finally:
        engine.tools.client.images.remove("nats-harness-test/their-broker:1", force=True)


def greeting(address: tuple[str, int]) -> dict[str, object]:
    with socket.create_connection(address, timeout=5) as dialled, dialled.makefile() as lines:
        found = json.loads(lines.readline().removeprefix("INFO "))
        assert isinstance(found, dict)
        return found


# ---- the hub ----


def test_what_runs_in_the_hub_needs_the_standard_library_alone() -> None:
    """It and the probe run where no other package is."""
    for module in ("harness.runtime._hub", "harness.observe.probing"):
        script = f"import sys; sys.path.insert(0, sys.argv[1]); import {module}"
        done = subprocess.run([sys.executable, "-I", "-S", "-c", script, str(ROOT)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


async def test_when_its_client_is_gone_the_hub_ends_with_every_proxy(alone: Containers) -> None:
    link = alone.links["load", "broker-0"]
    wire = await Wire.dial((link.host, link.port))
    alone._hub.close()
    assert await wire.ended()
    await wire.close()
    async with asyncio.timeout(10):
        while link.proxy_state():
            await asyncio.sleep(0.01)
    with pytest.raises(ProxyError, match="the hub is gone"):
        await link.cut("frozen")


async def test_the_hub_takes_nobody_without_its_token(alone: Containers) -> None:
    for first in (b"guessed\n", b'{"token": "guessed", "for": "orders"}\n', b"[]\n"):
        reader, writer = await asyncio.open_connection("127.0.0.1", alone._hub_ports[HUB_PORT])
        writer.write(first)
        assert await reader.read() == b""
        writer.close()
    assert (await alone.links["load", "broker-0"].toxics()) != []


async def test_what_cannot_be_started_in_the_hub_is_told(alone: Containers) -> None:
    with pytest.raises(HarnessError, match="did not start"):
        await alone._hub.beside("harness.observe.probing", "/scenario", (-7, -7), [])


async def test_links_refuse_once_death_is_seen_though_the_engine_has_not_told_of_it(
    alone: Containers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a proxy dials meanwhile would never answer, and the proxy take no order."""
    told, end = asyncio.Event(), ContainerLife._end

    async def late(life: ContainerLife, t_ns: int) -> None:
        await told.wait()
        await end(life, t_ns)

    monkeypatch.setattr(ContainerLife, "_end", late)
    killing = asyncio.create_task(alone.nodes["broker-0"].kill())
    async with asyncio.timeout(10):
        while not alone.links["load", "broker-0"].refusing:
            await asyncio.sleep(0.01)
    assert not killing.done()
    told.set()
    await killing
