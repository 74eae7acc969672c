from __future__ import annotations

from pathlib import Path

import pytest

from harness.runtime import binaries


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state folder of the test's own, so that it meets no journal but its own; and the binaries, made once."""
    monkeypatch.setenv("NATS_HARNESS_STATE", str(tmp_path / "state"))
    binaries.toxiproxy_server(print)
