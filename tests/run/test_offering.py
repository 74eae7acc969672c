"""What a scenario offers: the usual workloads, or those that it names; and how much padding."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UnknownName, UsageError
from harness.run.offering import MOST_PADDING, amount
from harness.system import SystemFile, load_system

FILE = """
[system]
name = "three"
[broker]
version = "2.12.8"
[services.web]
role = "entry"
command = ["web"]
ports = { http = 3000 }
[workloads.first]
kind = "http"
rate = 10
submit = { url = "{web.url}/", accepted = [200], json = { note = "{op} {pad}" } }
[workloads.second]
kind = "http"
rate = 20
usual = false
submit = { url = "{web.url}/", accepted = [200], json = { note = "{op}" } }
[workloads.http]
kind = "core"
rate = 30
usual = false
publish = { url = "{broker.url}", subject = "a", payload = "{op}{pad}" }
"""


@pytest.fixture
def system(tmp_path: Path) -> SystemFile:
    (tmp_path / "three.toml").write_text(FILE)
    return load_system(str(tmp_path / "three.toml"))


@pytest.mark.parametrize(
    ("asked", "offered"),
    [
        ((), ("first",)),
        (("second",), ("second",)),
        (("second", "first", "second"), ("second", "first")),
        (("core",), ("http",)),
        (("http",), ("http",)),
        (("first", "core"), ("first", "http")),
    ],
)
def test_workloads_by_name_then_by_kind_and_else_the_usual(
    system: SystemFile, asked: tuple[str, ...], offered: tuple[str, ...]
) -> None:
    assert amount(system, asked, 2.0, 0).workloads == offered


def test_a_kind_is_all_its_workloads(system: SystemFile) -> None:
    plain = system.model_copy(update={"workloads": {name: system.workloads[name] for name in ("first", "second")}})
    assert amount(plain, ("http",), 1.0, 0).workloads == ("first", "second")


@pytest.mark.parametrize("asked", ["secnd", "jetstream", "", 7, None])
def test_a_workload_that_is_none_is_told(system: SystemFile, asked: object) -> None:
    with pytest.raises(UnknownName) as caught:
        amount(system, (asked,), 1.0, 0)  # type: ignore[arg-type]
    assert f"no workload is called {str(asked)!r}" in str(caught.value)
    assert "three.toml:" in str(caught.value)


def test_padding_is_bytes_where_there_is_a_place_for_them(system: SystemFile) -> None:
    assert amount(system, (), 1.0, 262_144).padding == 262_144
    assert amount(system, ("second",), 1.0, 0).padding == 0
    with pytest.raises(UsageError) as caught:
        amount(system, ("second",), 1.0, 1)
    assert "there is no place for padding in second" in str(caught.value)
    assert "{pad}" in str(caught.value)


@pytest.mark.parametrize("wrong", [-1, 1.5, True, "256k", None, MOST_PADDING + 1])
def test_padding_that_is_no_number_of_bytes_is_told(system: SystemFile, wrong: object) -> None:
    with pytest.raises(UsageError) as caught:
        amount(system, (), 1.0, wrong)  # type: ignore[arg-type]
    assert f"padding_bytes is {wrong!r}" in str(caught.value)
    assert f"from 0 to {MOST_PADDING}" in str(caught.value)
