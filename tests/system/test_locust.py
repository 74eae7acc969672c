"""A team's locustfile, and how the load is offered, in the system file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.system import SystemFile
from harness.system.model import LinkSpec

Load = Callable[..., SystemFile]
Mistakes = Callable[..., list[str]]

SHOP = """
[system]
name = "shop"
[broker]
version = "2.12.8"
[services.web]
role = "entry"
command = ["web"]
ports = { http = 3000 }
[services.store]
role = "dependency"
command = ["store"]
ports = { http = 3001 }
[load]
processes = 2
[workloads.shop]
kind = "locust"
file = "theirs.py"
users = 5
host = "{web.url}"
env = { STORE = "{store.url}", BROKERS = "{broker.urls}" }
refused = [503]
poll = { url = "{web.url}/orders/{ref}", done = { "$.state" = ["done"] } }
"""


@pytest.fixture(autouse=True)
def _files(folder: Path) -> None:
    (folder / "theirs.py").touch()
    (folder / "a,b.py").touch()


def test_its_addresses_are_links_of_the_load(load: Load) -> None:
    system = load(SHOP)
    targets = [("web-0", "http"), ("store-0", "http"), ("broker-0", "")]
    assert set(system.links()) == {LinkSpec("load", *target) for target in targets}
    assert system.load.processes == 2
    assert system.workloads["shop"].rate == 0


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('"theirs.py"', '"their.py"', 'file: "their.py": no such file in'),
        ('"theirs.py"', '"a,b.py"', 'file: "a,b.py": no name that Locust takes'),
        ("env = {", 'env = { LOCUST_USERS = "9",', "env.LOCUST_USERS: would set an option of Locust's"),
        ("users = 5", "rate = 5", "rate: unknown key"),
        ('host = "{web.url}"', 'host = "{op}"', "host: "),
        ("refused", 'effects = { url = "{web.url}", each = "$", op = "$.id" }\nrefused', "effects.op: its requests"),
    ],
)
def test_mistakes(mistakes: Mistakes, old: str, new: str, expected: str) -> None:
    assert SHOP.count(old) == 1
    assert any(f"workloads.shop.{expected}" in line for line in mistakes(SHOP.replace(old, new)))


@pytest.mark.parametrize("processes", [0, 17])
def test_as_many_processes_as_make_sense(mistakes: Mistakes, processes: int) -> None:
    [line] = mistakes(SHOP.replace("processes = 2", f"processes = {processes}"))
    assert "load.processes" in line
