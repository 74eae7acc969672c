"""What stock scenarios come to without sabotage, each run once a session: they hold."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.controls.control import Came

from .sabotage import holds, judged, made

Unharmed = Callable[[str], Came]


@pytest.fixture(scope="session")
def unharmed(tmp_path_factory: pytest.TempPathFactory) -> Unharmed:
    """What a scenario comes to with telhawk as it is."""
    known: dict[str, Came] = {}

    def of(scenario: str) -> Came:
        if scenario not in known:
            folder = tmp_path_factory.mktemp("unharmed")
            came = judged(folder, made(folder), scenario)
            holds(came)
            known[scenario] = came
        return known[scenario]

    return of
