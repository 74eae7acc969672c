"""A run that a test starts ends with the test, also when the test fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.survival.harness_process import Start, Started


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts `nats-harness ARGS` in a folder."""
    runs: list[Started] = []

    def start_one(folder: Path, *arguments: str, state: Path | None = None) -> Started:
        runs.append(Started(folder, *arguments, state=state))
        return runs[-1]

    yield start_one
    for one in runs:
        one.end()
