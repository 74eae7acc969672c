from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

import telhawk
from telhawk.settings import EXIT_USAGE, Measures, Settings, SettingsError

ALL = {f.name for f in fields(Measures)}
PACKAGE = Path(telhawk.__file__).parent


def on(spec: str) -> set[str]:
    measures = Measures.parse(spec)
    return {name for name in ALL if getattr(measures, name)}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("none", set()),
        ("all", ALL),
        ("outbox", {"outbox"}),
        ("jetstream, acks", {"jetstream", "acks"}),
        ("acks,jetstream", {"jetstream", "acks"}),
        ("all,-monitor", ALL - {"monitor"}),
        ("all,-acks,-dedup,-results,-jetstream", ALL - {"acks", "dedup", "results", "jetstream"}),
        ("lazy-connect", {"lazy_connect"}),
    ],
)
def test_the_switches_that_a_specification_puts_on(spec: str, expected: set[str]) -> None:
    assert on(spec) == expected


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("acks", "acks needs jetstream"),
        ("dedup,monitor", "dedup needs jetstream"),
        ("all,-jetstream", "acks needs jetstream"),
        ("outbx", "did you mean outbox"),
        ("all,-nothing", "'-nothing' is no measure"),
        ("none,outbox", "'none' is no measure"),
        ("", "'' is no measure"),
    ],
)
def test_a_specification_that_cannot_be_says_why(spec: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        Measures.parse(spec)


def test_the_default_is_every_measure() -> None:
    assert Settings.from_env({}, port=3000).measures == Measures()
    assert on("all") == ALL


@pytest.mark.parametrize(("text", "seconds"), [("3s", 3.0), ("500ms", 0.5), ("1m30s", 90.0), ("1.5s", 1.5)])
def test_durations_are_written_as_in_go(text: str, seconds: float) -> None:
    assert Settings.from_env({"ACK_WAIT": text}, port=0).ack_wait_s == pytest.approx(seconds)


@pytest.mark.parametrize("env", [{"ACK_WAIT": "3"}, {"ACK_WAIT": "0s"}, {"PORT": "x"}, {"OUTBOX_LIMIT": "0"}])
def test_a_value_that_is_none_is_named(env: dict[str, str]) -> None:
    (name,) = env
    with pytest.raises(SettingsError, match=name):
        Settings.from_env(env, port=0)


def test_a_mistake_ends_a_service_with_64_and_one_line() -> None:
    command = [sys.executable, "-m", "telhawk.eventstore"]
    ended = subprocess.run(
        command, env={"TELHAWK_HARDENING": "acks"}, cwd=PACKAGE.parent, capture_output=True, text=True, check=False
    )
    assert ended.returncode == EXIT_USAGE
    assert ended.stderr == "telhawk: TELHAWK_HARDENING=acks: acks needs jetstream, which is off\n"


def test_taking_the_measures_away_leaves_the_documented_stack() -> None:
    """Each switch is one module, and none is imported by what is there without it."""
    assert {path.stem for path in (PACKAGE / "measures").glob("*.py")} - {"__init__"} == ALL
    for path in PACKAGE.rglob("*.py"):
        if path.parent.name == "measures":
            continue
        for statement in ast.parse(path.read_text()).body:
            names = [statement.module or ""] if isinstance(statement, ast.ImportFrom) else []
            names += [alias.name for alias in statement.names] if isinstance(statement, ast.Import) else []
            assert not [name for name in names if name.startswith("telhawk.measures")], path
            assert not [name for name in names if name.split(".")[0] == "harness"], path
