from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import SystemFileError
from harness.system import SystemFile, load_system

from .orders import ORDERS


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of the test, with the file that ORDERS includes; files are named relative to it."""
    (tmp_path / "their.conf").write_text("max_payload: 1MB\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def load(folder: Path) -> Callable[..., SystemFile]:
    """Loads a text as orders.toml."""

    def loaded(text: str, **options: object) -> SystemFile:
        (folder / "orders.toml").write_text(text)
        return load_system("orders.toml", **options)  # type: ignore[arg-type]

    return loaded


@pytest.fixture
def mistakes(load: Callable[..., SystemFile]) -> Callable[..., list[str]]:
    """The lines of the one error that a text must give."""

    def found(text: str, **options: object) -> list[str]:
        with pytest.raises(SystemFileError) as caught:
            load(text, **options)
        return str(caught.value).splitlines()

    return found


@pytest.fixture
def orders(load: Callable[..., SystemFile]) -> SystemFile:
    return load(ORDERS)
