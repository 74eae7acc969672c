"""The entry is cut off, or asked to stop: each patch is caught by the clause that the table names."""

from __future__ import annotations

from pathlib import Path

import pytest

from .caught import caught
from .conftest import Unharmed
from .sabotage import Patch, of

pytestmark = pytest.mark.timed
PATCHES = of("entry_silent", "entry_refused", "entry_terminated", "entry_restarted_offline")


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.name)
def test_it_is_caught(patch: Patch, tmp_path: Path, unharmed: Unharmed) -> None:
    caught(patch, tmp_path, unharmed)
