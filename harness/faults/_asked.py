"""What a scenario asks of a fault: each parameter is there, known, and of its kind, or it is told before all else.

The kind is the annotation of the fault's field, so that a new fault is checked without a word of its own.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

from harness.errors import UnknownName, UsageError, suggestion
from harness.runtime.contract import Node

if TYPE_CHECKING:
    from harness.faults._base import Fault, Stage

NAMES = {float: "a number", int: "a whole number", str: "text", bool: "True or False", NoneType: "None"}
NODE = "a node, such as run.broker (run.entry is None where the load itself is the broker's client)"


def asked(
    kind: str, made: type[Fault], stage: Stage, targets: Sequence[object], parameters: Mapping[str, object]
) -> Fault:
    """The fault that a scenario asks for. Raises UsageError for parameters that are missing, unknown or too many."""
    bind(kind, made, targets, parameters)
    return made(stage, *targets, **parameters)


def bind(kind: str, made: type[Fault], targets: Sequence[object], parameters: Mapping[str, object]) -> None:
    """Raises UsageError for parameters of a fault that are missing, unknown or too many. Their kinds are not asked."""
    signature = inspect.signature(made)
    known = [one for one in signature.parameters.values() if one.name != "stage"]
    names = [one.name for one in known]
    for name in parameters:
        if name not in names:
            raise UnknownName(name, names, kind=f"parameter of {kind}")
    try:
        signature.bind(None, *targets, **parameters)
    except TypeError as error:
        shown = signature.replace(
            parameters=[one.replace(annotation=inspect.Parameter.empty) for one in known],
            return_annotation=inspect.Signature.empty,
        )
        raise UsageError(str(error), where=kind, fix=f"run.faults.{kind}{shown}") from None


def check(fault: Fault) -> None:
    """Raises UsageError for a parameter that is not of its field's kind, naming the words where it must be one."""
    hints = get_type_hints(type(fault))
    for field in dataclasses.fields(fault):
        if not field.init or field.name == "stage":
            continue
        value, hint = getattr(fault, field.name), hints[field.name]
        if not _fits(value, hint):
            words = get_args(hint) if get_origin(hint) is Literal and isinstance(value, str) else ()
            near = suggestion(value, words) if words else ""
            fix = f"{_told(hint)}; {near}" if near.startswith("did") else _told(hint)
            raise UsageError(f"{field.name} is {value!r:.60}", where=fault.kind, fix=fix)


def within(kind: str, name: str, value: float, least: float, most: float) -> None:
    """Raises UsageError where a figure is not between these."""
    if not least <= value <= most:
        raise UsageError(f"{name} is {value:g}", where=kind, fix=f"between {least:g} and {most:g}")


def _fits(value: object, hint: Any) -> bool:
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Literal:
        return value in parts
    if origin in (Union, UnionType):
        return any(_fits(value, part) for part in parts)
    if origin is Sequence:
        return isinstance(value, Sequence) and not isinstance(value, str) and all(_fits(one, parts[0]) for one in value)
    if hint is Node:  # a protocol, of which this is enough to tell it from what scenarios mistake for it
        return hasattr(value, "role")
    if isinstance(value, bool):
        return hint is bool
    return isinstance(value, (int, float) if hint is float else hint)


def _told(hint: Any) -> str:
    """What a parameter of that kind may be, in words."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Literal:
        return f"one of {', '.join(map(repr, parts))}"
    if origin in (Union, UnionType):
        return " or ".join(_told(part) for part in parts if part is not NoneType) + ", or None"
    if origin is Sequence:
        return "a list of nodes, such as run.workers"
    return NODE if hint is Node else NAMES.get(hint, str(hint))
