"""Calm holds with every patch that a fault brings to light. Those that change different lines are in it together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from .sabotage import CALM, Patch, holds, judged, made, patches, together

GROUPS = together(patch for patch in patches() if patch.scenario != CALM)


@pytest.mark.timed
@pytest.mark.parametrize("group", GROUPS, ids=lambda group: f"{len(group)} patches")
def test_calm_holds_with_them(group: Sequence[Patch], tmp_path: Path) -> None:
    holds(judged(tmp_path, made(tmp_path, *group), CALM))


def test_each_is_in_a_group() -> None:
    assert {patch.name for group in GROUPS for patch in group} == {
        patch.name for patch in patches() if patch.scenario != CALM
    }
