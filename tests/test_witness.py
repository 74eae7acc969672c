"""A test is asked again where this machine stood still while it failed, and nowhere else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.witness import AGAIN

ROOT = Path(__file__).parent.parent
CONFTEST = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from tests.conftest import pytest_runtest_call
"""
FAILS_ONCE = """
import subprocess, sys
from pathlib import Path

STOP = "import os, sys, time; os.kill({0}, 19); time.sleep(0.6); os.kill({0}, 18)"

def test_it(tmp_path_factory):
    again = Path(__file__).with_name("again")
    first = not again.exists()
    again.touch()
    if STALLS:
        import os
        subprocess.run([sys.executable, "-c", STOP.format(os.getpid())], check=True)
    assert not first, "the first time"
"""


@pytest.mark.parametrize(("stalls", "told"), [(True, "1 passed, 1 rerun"), (False, "1 failed")])
def test_only_a_stall_excuses(stalls: bool, told: str, tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_once.py").write_text(FAILS_ONCE.replace("STALLS", str(stalls)))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", *AGAIN, tmp_path]
    done = subprocess.run([*map(str, command)], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert told in done.stdout, done.stdout + done.stderr
