from __future__ import annotations

from typing import Any

import pytest
from jsonpath import compile as compile_path

from harness.load._config import OP
from harness.load.kinds._paths import Condition, Proof, finder

DOCUMENT: Any = {"status": "complete", "state": {"name": "x", "n": None}, "items": [{"id": 1}, {"id": 2}]}


@pytest.mark.parametrize(
    "path",
    ["$.status", "$.state.name", "$.state.n", "$.state.none", "$.status.name", "$.items.id", "$.items[*].id", "$"],
)
def test_plain_paths_find_what_the_engine_finds(path: str) -> None:
    assert finder(path)(DOCUMENT) == compile_path(path).findall(DOCUMENT)


def test_a_condition_needs_each_path_to_lead_to_one_of_its_values() -> None:
    assert Condition({"$.status": ["done", "complete"]}).met(DOCUMENT)
    assert Condition({"$.items[*].id": [2]}).met(DOCUMENT)
    assert not Condition({"$.status": ["complete"], "$.state.name": ["y"]}).met(DOCUMENT)
    assert not Condition({"$.missing": ["complete"]}).met(DOCUMENT)
    assert not Condition({}).met(DOCUMENT)


def test_a_proof_is_the_operations_own_marker_and_nothing_less() -> None:
    proof = Proof({"$.note": f"marker:{OP}"})
    assert proof.holds({"note": "marker:7f3a9k2m-0-1"}, "7f3a9k2m-0-1")
    assert not proof.holds({"note": "marker:7f3a9k2m-0-11"}, "7f3a9k2m-0-1")
    assert not proof.holds({}, "7f3a9k2m-0-1")
    assert proof.found({"note": "marker:7f3a9k2m-0-11"}) == ["marker:7f3a9k2m-0-11"]
    assert Proof({}).holds({}, "anything")


@pytest.mark.parametrize(
    ("path", "found"),
    [("$.items[0].note", ["one"]), ("$['items'][1].note", ["two"]), ("$.items[*].note", []), ("$..note", [])],
)
def test_what_a_list_rightly_tells_of_others_is_not_found(path: str, found: list[str]) -> None:
    document = {"items": [{"note": "one"}, {"note": "two"}]}
    assert Proof({path: OP}).holds(document, found[0] if found else "two")
    assert Proof({path: OP}).found(document) == found
