"""What a system lacks of what a scenario cannot do without, in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UnknownName
from harness.plan import lacking
from harness.system import load_system

BASE = """
[system]
name = "needs"
[broker]
version = "2.12.8"
[services.hand]
role = "worker"
command = ["hand"]
ports = { http = 8080 }
[services.desk]
role = "entry"
command = ["desk"]
ports = { http = 3000 }
%s
[workloads.work]
rate = 10
%s
"""
ASKED = 'kind = "http"\nsubmit = { url = "{desk.url}/", accepted = [200], json = { note = "{op}%s" } }'
TOLD = 'kind = "core"\npublish = { url = "{broker.url}", subject = "a", payload = "{op}%s" }'
CALLS = 'env = { HAND = "{hand.url}" }'
SMALL = 'small = { ROOM = "3" }'


@pytest.mark.parametrize(
    ("need", "service", "work", "lacks"),
    [
        ("called worker", CALLS, TOLD % "", None),
        ("called worker", "", TOLD % "", "the entry of the system has no link to a worker"),
        ("http", "", ASKED % "", None),
        ("http", "", TOLD % "", "no workload of the system is of kind http"),
        ("pad", "", ASKED % "{pad}", None),
        ("pad", "", TOLD % "{pad}", None),
        ("pad", "", TOLD % "{{pad}}", "no workload of the system says where {pad} belongs"),
        ("small", SMALL, TOLD % "", None),
        ("small", CALLS, TOLD % "", "no service of the system says how it is started small"),
    ],
)
def test_what_is_lacking(tmp_path: Path, need: str, service: str, work: str, lacks: str | None) -> None:
    (tmp_path / "needs.toml").write_text(BASE % (service, work))
    assert lacking(load_system(str(tmp_path / "needs.toml")), [need]) == lacks


def test_a_system_without_an_entry_calls_nobody() -> None:
    assert lacking(load_system("bare"), ["called worker"]) == "the entry of the system has no link to a worker"
    with pytest.raises(UnknownName):
        lacking(load_system("bare"), ["padding"])
