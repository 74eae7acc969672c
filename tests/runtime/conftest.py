from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from harness.runtime import binaries
from harness.runtime.processes import Processes

from .world import BROKER_ALONE, Lines, system


@pytest.fixture(scope="session")
def toxiproxy() -> Path:
    return binaries.toxiproxy_server(print)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of the test's own, so that it meets no journal but its own."""
    monkeypatch.setenv("NATS_HARNESS_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def lines() -> Lines:
    return Lines()


Opener = Callable[..., Awaitable[Processes]]


async def nothing() -> None:
    return


@pytest.fixture
async def opened(tmp_path: Path, lines: Lines, toxiproxy: Path) -> AsyncIterator[Opener]:
    """Opens a system's text; closed at the end."""
    runtimes: list[Processes] = []

    async def open_system(text: str, **options: object) -> Processes:
        before = options.pop("before", nothing)
        runtime = Processes(system(tmp_path / "system", text), folder=tmp_path, recorder=lines, run="test", **options)  # type: ignore[arg-type]
        runtimes.append(runtime)
        await runtime.open(before)  # type: ignore[arg-type]
        return runtime

    yield open_system
    for runtime in runtimes:
        await runtime.close()


@pytest.fixture
async def alone(opened: Opener) -> Processes:
    """A broker, and the load's link to it."""
    return await opened(BROKER_ALONE.format(broker=""))
