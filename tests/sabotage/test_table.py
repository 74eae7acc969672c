"""The table of sabotage is whole: each patch applies, leaves Python, and is caught by a clause that there is."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from harness.guarantees import judged_clauses

from . import wronged
from .sabotage import HERE, Patch, apply, file_of, made, patches

LEAST = 20


def test_there_are_enough_and_each_has_its_diff() -> None:
    names = [patch.name for patch in patches()]
    assert len(names) >= LEAST
    assert {path.stem for path in (HERE / "patches").glob("*.diff")} == set(names)


@pytest.mark.parametrize("patch", patches(), ids=lambda patch: patch.name)
def test_a_patch_applies_and_is_caught_by_what_there_is(patch: Patch, tmp_path: Path) -> None:
    made(tmp_path, patch)
    for path in (tmp_path / "telhawk").rglob("*.py"):
        ast.parse(path.read_text("utf-8"))
    assert patch.clause in judged_clauses()
    assert file_of(patch.scenario).exists()
    assert bool(patch.wronged) != bool(patch.blames), "either operations or nodes are wronged"
    assert not patch.wronged or callable(getattr(wronged, patch.wronged))


@pytest.mark.parametrize("diff", ["", "--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-two\n+three\n"])
def test_a_change_that_does_not_apply_says_so(diff: str, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("one\n", "utf-8")
    with pytest.raises(ValueError, match="make the change again"):
        apply(diff, tmp_path)


def test_a_place_that_is_there_twice_is_not_guessed(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("one\none\n", "utf-8")
    with pytest.raises(ValueError, match="2 times, not once"):
        apply("--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-one\n+two\n", tmp_path)


def test_each_patch_is_put_on_trial() -> None:
    tried = {patch.name for module in HERE.glob("test_*.py") for patch in _of(module)}
    assert tried == {patch.name for patch in patches()}


def _of(module: Path) -> list[Patch]:
    text = module.read_text("utf-8")
    return [patch for patch in patches() if "of(" in text and f'"{patch.scenario}"' in text]
