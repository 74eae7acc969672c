"""What a verdict says that it ran on."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.run import versions


def _git(*words: str) -> None:
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    subprocess.run(["git", *who, *words], check=True, capture_output=True)


def test_the_commit_is_that_of_the_folder_that_one_works_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    versions._commit.cache_clear()
    assert "commit" not in versions.versions("2.12.8"), "no repository is there"
    _git("init")
    Path("app.py").write_text("one")
    _git("add", "app.py")
    _git("commit", "-m", "one")
    versions._commit.cache_clear()
    clean = versions.versions("2.12.8")["commit"]
    assert len(clean) == 12
    Path("app.py").write_text("two")
    versions._commit.cache_clear()
    assert versions.versions("2.12.8")["commit"] == f"{clean}-dirty"
    versions._commit.cache_clear()
