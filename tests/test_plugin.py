"""The plugin in other people's suites: inert until asked, light at collection, the same in every asyncio mode."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SUITE = """
from harness import Run, calm

@calm
async def test_ours(run: Run) -> None:
    async with run.load():
        await run.steady(1)

def test_sync():
    assert True
"""
LATER = {"aiohttp", "docker", "duckdb", "gevent", "jinja2", "jsonschema", "locust", "nats", "numpy", "pyroute2"}
LATER |= {"testcontainers"}
"""What collecting must not import: it costs a second or more together."""


def _pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:locust", "-p", "no:cacheprovider", "-q", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def _suite(folder: Path, text: str, ini: str = "") -> None:
    (folder / "test_suite.py").write_text(text)
    (folder / "pytest.ini").write_text(f"[pytest]\n{ini}")


MODES = {"none": ("-p", "no:asyncio"), "strict": ("-o", "asyncio_mode=strict"), "auto": ("-o", "asyncio_mode=auto")}


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_every_asyncio_mode(mode: tuple[str, str], tmp_path: Path) -> None:
    """A team's own test with our fixture runs, whatever runs its other async tests."""
    _suite(tmp_path, SUITE, "nats_system = bare\n")
    done = _pytest(tmp_path, *mode)
    assert "2 passed" in done.stdout, done.stdout + done.stderr
    verdict = json.loads((tmp_path / "reports" / "latest" / "verdict.json").read_text())
    assert [found["id"] for found in verdict["scenarios"]] == ["ours[default]"]
    assert verdict["as_expected"]


def test_inert_until_asked(tmp_path: Path) -> None:
    """A suite that names no system, and has a fixture of the same name, knows nothing of us."""
    _suite(
        tmp_path,
        "import pytest\n\n@pytest.fixture\ndef run():\n    return 7\n\ndef test_own(run):\n    assert run == 7\n",
    )
    done = _pytest(tmp_path)
    assert "1 passed" in done.stdout, done.stdout + done.stderr
    assert not (tmp_path / "reports").exists()


def test_without_a_system_the_fixture_says_what_to_do(tmp_path: Path) -> None:
    _suite(tmp_path, SUITE)
    done = _pytest(tmp_path, "-p", "no:asyncio", "-k", "ours")
    assert "no system is named" in done.stdout
    assert "--nats-system" in done.stdout


def test_collecting_imports_nothing_heavy() -> None:
    """So that it stays under a second, and needs no engine, binary or network."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "pytest", "scenarios", "--collect-only", "-q"],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "tests collected" in done.stdout
    assert imported & LATER == set()


def test_a_scenario_that_raises_fails_and_leaves_a_verdict(tmp_path: Path) -> None:
    _suite(
        tmp_path,
        "from harness import calm\n\n@calm\nasync def test_wrong(run):\n    async with run.load():\n"
        "        await run.steady(0.5)\n        assert 1 == 2, 'our own check'\n",
        "nats_system = bare\n",
    )
    done = _pytest(tmp_path)
    assert "our own check" in done.stdout
    assert "1 failed" in done.stdout
    verdict = json.loads((tmp_path / "reports" / "latest" / "verdict.json").read_text())
    assert verdict["exit"] == 2
    assert "the scenario raised" in verdict["scenarios"][0]["troubles"][0]["detail"]


@pytest.mark.parametrize("said", ["workers=0", 'without="entry"', "replicas=2", "1", "small=False", "small=1"])
def test_a_wrong_start_is_one_error_before_anything_is_started(said: str, tmp_path: Path) -> None:
    _suite(
        tmp_path,
        f"from harness import started_with\n\n@started_with({said})\nasync def test_wrong(run):\n    pass\n",
        "nats_system = bare\n",
    )
    done = _pytest(tmp_path)
    assert "@started_with says" in done.stderr, done.stdout + done.stderr
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
