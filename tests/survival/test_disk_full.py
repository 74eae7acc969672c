"""A disk that fills up while a run is recorded: a trouble and an inconclusive verdict that say so, and no crash."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.survival.harness_process import Start, alive

MEBIBYTES = 24


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, which the test can fill."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={MEBIBYTES}m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("left_bytes", [0, 64 * 1024])
def test_full_disk_is_a_trouble(small_disk: Path, start: Start, tmp_path: Path, left_bytes: int) -> None:
    started = start(small_disk, "run", "--system", "bare", "-k", "calm", "-j", "1", state=tmp_path / "state")
    started.wait_for(lambda line: line["kind"] == "load" or (line["kind"] == "phase" and line["name"] == "start_load"))
    made = started.made()
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file:  # the run writes on beside it: a short write is a full disk
        size = file.write(bytes(MEBIBYTES << 20))
        file.truncate(size - left_bytes)
    code = started.process.wait(60)
    assert len(list(small_disk.glob("reports/*-*/verdict.json"))) == 1, "there was room for it"
    ballast.unlink()
    said = started.output.read_text()
    assert code == 2, said
    assert alive(made) == []
    assert "history incomplete" in said
    assert "the disk was full" in said
    (path,) = small_disk.glob("reports/*-*/scenarios/*/verdict.json")
    verdict = json.loads(path.read_text())
    assert verdict["verdict"] == "inconclusive"
    assert "history incomplete" in {trouble["name"] for trouble in verdict["troubles"]}
