"""Which runtime a system runs in."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UnknownName
from harness.runtime import _engine, choosing
from harness.runtime.containers import Containers
from harness.runtime.processes import Processes

from .world import BROKER_ALONE, WITH_SERVICES, service, system

ON_PYTHON, OF_AN_IMAGE = WITH_SERVICES, service('image = "their/store"').replace('"{python}"', '"./store"')
BINARY = service("").replace('"{python}"', '"./store"')


@pytest.mark.parametrize(
    ("text", "engine", "wanted"),
    [
        (BROKER_ALONE.format(broker='version = "2.12.8"'), True, "containers"),
        (ON_PYTHON, True, "containers"),
        (OF_AN_IMAGE, True, "containers"),
        (ON_PYTHON, False, "processes"),
        (BINARY, True, "processes"),
    ],
)
def test_auto_takes_containers_where_they_can_run_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, engine: bool, wanted: str
) -> None:
    monkeypatch.setattr(_engine, "why_not", lambda: "" if engine else "no container engine answers")
    assert choosing.chosen("auto", system(tmp_path / "system", text)) == wanted


def test_what_was_asked_for_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a look at the engine: what is missing is told at the start, not hidden by another runtime."""
    monkeypatch.setattr(_engine, "why_not", lambda: pytest.fail("it was asked for"))
    found = system(tmp_path / "system", BINARY)
    assert [choosing.chosen(asked, found) for asked in ("containers", "processes")] == ["containers", "processes"]
    assert choosing.runtime_of("containers") is Containers
    assert choosing.runtime_of("processes") is Processes


def test_another_name_is_told() -> None:
    with pytest.raises(UnknownName, match=r"no runtime is called 'container'\n  fix: did you mean 'containers'"):
        choosing.known("container")
