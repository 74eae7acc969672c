from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from harness.runtime import binaries
from harness.runtime._engine import Engine
from harness.runtime._links import ProxyLink
from harness.runtime._runtime import SystemRuntime
from harness.runtime.choosing import runtime_of

from .ears import Ears
from .near import know
from .world import BROKER_ALONE, Lines, Wire, system


@pytest.fixture(scope="session")
def toxiproxy() -> Path:
    return binaries.toxiproxy_server(print)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of the test's own, so that it meets no journal but its own."""
    monkeypatch.setenv("NATS_HARNESS_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def engine() -> Iterator[Engine]:
    """The engine past the runtime."""
    engine = Engine.connect()
    yield engine
    engine.close()


@pytest.fixture
def lines() -> Lines:
    return Lines()


Opener = Callable[..., Awaitable[SystemRuntime]]

both = pytest.mark.parametrize(
    "kind", ["processes", pytest.param("containers", marks=pytest.mark.engine)], indirect=True
)
"""Runs a test in either runtime: together these tests are what a runtime must do."""


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> str:
    """The runtime that `opened` opens: processes, unless the test is for both."""
    return str(getattr(request, "param", "processes"))


async def nothing() -> None:
    return


@pytest.fixture
async def opened(tmp_path: Path, lines: Lines, toxiproxy: Path, kind: str) -> AsyncIterator[Opener]:
    """Opens a system's text; closed at the end."""
    runtimes: list[SystemRuntime] = []

    async def open_system(text: str, **options: object) -> SystemRuntime:
        before = options.pop("before", nothing)
        made = runtime_of(kind)
        runtime = made(system(tmp_path / "system", text), folder=tmp_path, recorder=lines, run="test", **options)  # type: ignore[arg-type]
        runtimes.append(runtime)
        await runtime.open(before)  # type: ignore[arg-type]
        know(runtime)
        return runtime

    yield open_system
    for runtime in runtimes:
        await runtime.close()


@pytest.fixture
async def alone(opened: Opener) -> SystemRuntime:
    """A broker, and the load's link to it."""
    return await opened(BROKER_ALONE.format(broker=""))


KEY = ("load", "broker-0")


@pytest.fixture
def link(alone: SystemRuntime) -> ProxyLink:
    return alone.links[KEY]


@pytest.fixture
async def wire(link: ProxyLink) -> AsyncIterator[Wire]:
    wire = await Wire.dial((link.host, link.port))
    await asyncio.sleep(0.05)  # the kernel may put off an acknowledgement by 40 ms
    yield wire
    await wire.close()


@pytest.fixture
async def ears(alone: SystemRuntime) -> AsyncIterator[Ears]:
    """Our own target behind the link, in the broker's place."""
    await alone.nodes["broker-0"].kill()
    await alone.links[KEY].open()
    async with Ears.listening(alone.links[KEY].upstream_port) as ears:
        yield ears
