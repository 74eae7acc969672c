"""The outages that come with it, each retold from a post-mortem: the hardened reference stack withstands them."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import outage
from tests.survival.harness_process import run

STOCK = sorted((Path(__file__).parents[2] / "scenarios" / "outages").glob(f"*{outage.SUFFIX}"))


@pytest.mark.timed
@pytest.mark.parametrize("path", STOCK, ids=lambda path: path.name.removesuffix(outage.SUFFIX))
def test_it_is_withstood(path: Path, tmp_path: Path) -> None:
    done = run(tmp_path, "run", "--system", "telhawk", "--scenarios", str(path))
    noisy = done.returncode == 2 and "inconclusive: noise: " in done.stdout
    assert not noisy, f"THIS MACHINE WAS TOO BUSY to judge timing: {done.stdout}"
    assert done.returncode == 0, done.stdout + done.stderr
