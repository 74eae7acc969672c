"""The published schema of verdict.json, and checks against it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, TypeChecker, validators
from jsonschema.exceptions import ValidationError
from jsonschema.protocols import Validator

from harness.errors import HarnessError

SCHEMA_FILE = Path(__file__).with_name("verdict.schema.json")
_SHOWN = 10


def schema() -> dict[str, Any]:
    """The schema of a run's verdict.json (JSON Schema 2020-12), as it is published in the package."""
    loaded: dict[str, Any] = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    return loaded


def validate(verdict: Mapping[str, Any]) -> None:
    """Raises HarnessError, with the path of each mistake, unless `verdict` is a run's verdict.json."""
    _check(_validators()[0].iter_errors(verdict), "verdict.json")


def validate_scenario(verdict: Mapping[str, Any]) -> None:
    """Raises HarnessError, with the path of each mistake, unless `verdict` is a scenario's verdict.json."""
    _check(_validators()[1].iter_errors(verdict), "verdict.json of a scenario")


def _check(errors: Iterable[ValidationError], what: str) -> None:
    found = sorted(errors, key=lambda error: error.json_path)
    if not found:
        return
    lines = [f"{error.json_path}: {_short(error.message)}" for error in found[:_SHOWN]]
    if len(found) > _SHOWN:
        lines.append(f"and {len(found) - _SHOWN} more")
    raise HarnessError(
        "\n  ".join(["it is not what verdict.schema.json says:", *lines]),
        where=what,
        fix="this is a mistake in the harness, or the file was changed by hand; please report it with the file",
    )


def _short(message: str) -> str:
    return message if len(message) <= 300 else f"{message[:150]} ... {message[-140:]}"


@cache
def _validators() -> tuple[Validator, Validator]:
    """For a run, and for a scenario's own file."""
    whole = schema()
    make = validators.extend(Draft202012Validator, type_checker=_finite())  # type: ignore[no-untyped-call]
    make.check_schema(whole)
    scenario = {"$schema": whole["$schema"], "$ref": "#/$defs/scenario_file", "$defs": whole["$defs"]}
    return make(whole), make(scenario)


def _finite() -> TypeChecker:
    """The draft's types, without NaN, infinity and what is larger than a float: only Python's json takes them."""
    checker: TypeChecker = Draft202012Validator.TYPE_CHECKER
    return checker.redefine(
        "number", lambda _, value: checker.is_type(value, "number") and abs(value) <= sys.float_info.max
    )
