from __future__ import annotations

from collections.abc import Callable
from typing import Any, NotRequired, cast, get_origin, get_type_hints

import pytest
from jsonschema import Draft202012Validator

from harness.errors import HarnessError
from harness.report import shape
from harness.report.schema import schema, validate, validate_scenario
from harness.verdict import TROUBLES, Verdict

from . import verdicts
from .verdicts import JSON


@pytest.mark.parametrize("make", verdicts.ALL.values(), ids=verdicts.ALL)
def test_every_kind_of_run_is_valid(make: Callable[[], JSON]) -> None:
    validate(make())
    Draft202012Validator(schema()).validate(make())
    for scenario in make()["scenarios"]:
        validate_scenario({"schema": 1, **scenario})


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(schema())


def _set(path: str, value: Any) -> Callable[[JSON], None]:
    def change(verdict: JSON) -> None:
        target: Any = verdict
        *way, last = path.split("/")
        for step in way:
            target = target[int(step)] if step.isdigit() else target[step]
        target[int(last) if last.isdigit() else last] = value

    return change


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (_set("schema", 2), "$.schema"),
        (_set("exit", 64), "$.exit"),
        (_set("started", "yesterday"), "$.started"),
        (_set("extra", 1), "$: "),
        (_set("scenarios/1/extra", 1), "$.scenarios[1]"),
        (_set("scenarios/1/schema", 1), "$.scenarios[1]"),
        (_set("scenarios/1/verdict", "fine"), "$.scenarios[1].verdict"),
        (_set("scenarios/1/findings/0/ops", ["x"] * 21), "$.scenarios[1].findings[0].ops"),
        (_set("scenarios/1/findings/0/measured", float("nan")), "$.scenarios[1].findings[0].measured"),
        (_set("scenarios/1/findings/0/bound", "5 s"), "$.scenarios[1].findings[0].bound"),
        (_set("scenarios/1/faults/0/healed", float("inf")), "$.scenarios[1].faults[0].healed"),
        (_set("scenarios/1/troubles", [{"name": "bad luck", "detail": ""}]), "$.scenarios[1].troubles[0].name"),
        (_set("scenarios/1/operations/ok", -1), "$.scenarios[1].operations.ok"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_by_its_path(change: Callable[[JSON], None], where: str) -> None:
    verdict = verdicts.green()
    change(verdict)
    with pytest.raises(HarnessError) as raised:
        validate(verdict)
    assert where in str(raised.value)


@pytest.mark.parametrize("change", [_set("scenarios", []), _set("missing", ["calm[x]"]), _set("as_expected", False)])
def test_a_green_run_that_judged_nothing_cannot_be(change: Callable[[JSON], None]) -> None:
    verdict = verdicts.green()
    change(verdict)
    with pytest.raises(HarnessError):
        validate(verdict)


def test_a_scenarios_own_file_needs_its_version() -> None:
    with pytest.raises(HarnessError, match="schema"):
        validate_scenario(verdicts.scenario("broker_crash"))
    with pytest.raises(HarnessError, match="extra"):
        validate_scenario({"schema": 1, "extra": 1, **verdicts.scenario("broker_crash")})


def test_a_scenarios_own_file_may_say_more() -> None:
    one = verdicts.scenario("broker_crash", findings=[verdicts.lost_finding()])
    validate_scenario({"schema": 1, **one, "unexpected": "violated", "versions": {"python": "3.11.2"}})
    with pytest.raises(HarnessError, match="unexpected"):
        validate_scenario({"schema": 1, **one, "unexpected": "holds"})


def test_many_mistakes_are_cut_short() -> None:
    with pytest.raises(HarnessError, match="and 7 more"):
        validate({})


def test_the_closed_lists_are_those_of_the_verdict() -> None:
    definitions = schema()["$defs"]
    assert set(definitions["doubt"]["enum"]) == {str(trouble) for trouble in TROUBLES}
    assert definitions["verdict"]["enum"] == [str(verdict) for verdict in Verdict]


def test_types_and_schema_name_the_same_fields() -> None:
    whole = schema()
    definitions, properties = whole["$defs"], whole["properties"]
    pairs: list[tuple[type, JSON]] = [
        (shape.Run, whole),
        (shape.Scenario, definitions["scenario"]),
        (shape.Operations, definitions["scenario"]["properties"]["operations"]),
        (shape.Trouble, definitions["scenario"]["properties"]["troubles"]["items"]),
        (shape.Fault, definitions["fault"]),
        (shape.Finding, definitions["finding"]),
        (shape.Story, definitions["finding"]["properties"]["stories"]["items"]),
        (shape.Weakness, definitions["weakness"]),
        (shape.Where, definitions["weakness"]["properties"]["where"]["items"]),
        (shape.Skip, properties["skipped"]["items"]),
        (shape.Expected, properties["states"]["additionalProperties"]),
    ]
    for typed, described in pairs:
        fields = get_type_hints(typed, include_extras=True)
        assert list(fields) == list(described["properties"]), typed.__name__
        required = [name for name, hint in fields.items() if get_origin(hint) is not NotRequired]
        assert required == cast(list[str], described["required"]), typed.__name__
