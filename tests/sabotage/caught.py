"""One patch on trial: the scenario holds without it, and the clause named is violated by it (calm: test_calm.py)."""

from __future__ import annotations

import re
from pathlib import Path

from . import wronged
from .conftest import Unharmed
from .sabotage import Patch, judged, made


def caught(patch: Patch, folder: Path, unharmed: Unharmed) -> None:
    """Fails where the patch is not caught, or something else than the patch was caught."""
    unharmed(patch.scenario)
    found = judged(folder, made(folder, patch), patch.scenario)
    assert all(fault["bit"] for fault in found.verdict["faults"])
    if patch.blames:
        found.must("violated", patch.clause)
        told = found.finding(patch.clause)["reason"].split("; ")
        assert {one.split()[0] for one in told} == set(patch.blames), told
        assert all(re.search(patch.says, one) for one in told), told
    else:
        found.must_name(patch.clause, getattr(wronged, patch.wronged)(found), edges=patch.edges)
