"""One mistake in a system file, and how it reads: `FILE:LINE: table.key: value: what is wrong; what to write`."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Final, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from harness.errors import suggestion
from harness.system._lines import Lines, Path
from harness.system.model import SystemFile

_LONGEST_VALUE = 70


@dataclass(frozen=True, slots=True)
class Mistake:
    """`path` is the key in question, `what` is wrong with it, `fix` the next step; `value` as the file has it.

    `unknown`: the key itself is; `near` is then the one that was probably meant, which is not told as missing as well.
    """

    path: Path
    what: str
    fix: str = ""
    value: object = None
    unknown: bool = False
    near: str = ""
    missing: bool = False

    def text(self, file: str, lines: Lines) -> str:
        """The mistake as one line of a message."""
        parts = [f"{file}:{lines.of(self.path)}", dotted(self.path)]
        # A password or token that stands in the file need not stand in a log as well.
        if self.value is not None and self.path[:2] != ("broker", "connect"):
            parts.append(shown(self.value))
        return ": ".join(part for part in parts if part) + f": {self.what}" + (f"; {self.fix}" if self.fix else "")


def listed(mistakes: Iterable[Mistake], file: str, lines: Lines) -> list[str]:
    """The mistakes as text, in the order of the file, each once."""
    found = list(mistakes)
    meant = {(*mistake.path[:-1], mistake.near) for mistake in found if mistake.near}
    unknown = {mistake.path for mistake in found if mistake.unknown}
    kept = [
        mistake
        for mistake in found
        if not (mistake.missing and mistake.path in meant)
        # What stands inside an unknown key has no meaning to be judged by.
        and not any(mistake.path[:end] in unknown for end in range(1, len(mistake.path)))
    ]
    kept.sort(key=lambda mistake: lines.of(mistake.path))
    return list(dict.fromkeys(mistake.text(file, lines) for mistake in kept))


def dotted(path: Path) -> str:
    """A path as TOML spells it: `services.web.env`, `prepare[0].keep`, `poll.done."$.status"`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            word = part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else json.dumps(part, ensure_ascii=False)
            text += f".{word}" if text else word
    return text


def shown(value: object) -> str:
    """A value about as the file has it, cut where it is long."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 3] + "..."


# ---- pydantic's errors ----------------------------------------------------------------------------------------------

_TYPES: Final = {
    "string_type": "should be text",
    "bool_type": "should be true or false",
    "int_type": "should be a whole number",
    "float_type": "should be a number",
    "tuple_type": "should be a list",
    "dict_type": "should be a table",
    "model_type": "should be a table",
    "model_attributes_type": "should be a table",
    "finite_number": "should be a finite number",
    "invalid-json-value": "JSON has no such value",
}
_LIMITS: Final = {"gt": "more than", "ge": "at least", "lt": "less than", "le": "at most"}
_MISSING: Final[dict[Path, str]] = {
    ("system",): 'add a table [system] with name = "..."',
    ("broker",): 'add a table [broker] with version = "2.12.8"',
    ("workloads",): "add a table [workloads.NAME], or no work would be offered",
}


def schema_mistakes(errors: Iterable[ErrorDetails], root: type[BaseModel] = SystemFile) -> Iterator[Mistake]:
    """What pydantic found, in the file's words; `root` is the model of the whole file."""
    for error in errors:
        loc = error["loc"]
        kind = str(loc[2]) if loc[:1] == ("workloads",) and len(loc) > 2 else ""
        yield _of_type(error, _in_file(loc), kind, root)


def _in_file(loc: tuple[int | str, ...]) -> Path:
    """pydantic's place as the file's path: without a workload's tag, the mark of a key, and JSON's own types."""
    if loc[:1] == ("workloads",) and len(loc) > 2:
        loc = loc[:2] + loc[3:]
    if loc[0] in ("workloads", "prepare") and loc[3:4] == ("json",):
        loc = loc[:4] + loc[5::2]
    return tuple(part for part in loc if part != "[key]")


def _of_type(error: ErrorDetails, path: Path, workload_kind: str, root: type[BaseModel]) -> Mistake:
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "extra_forbidden":
        known = keys_of(path[:-1], workload_kind, root)
        fix = suggestion(str(path[-1]), known)
        near = fix.split("'")[1] if fix.startswith("did you mean") else ""
        return Mistake(path, "unknown key", fix, unknown=True, near=near)
    if kind == "missing":
        return Mistake(path, "missing", _MISSING.get(path, f"add {path[-1]} = ..."), missing=True)
    if kind == "literal_error":
        allowed = re.findall(r"'([^']*)'", context["expected"])
        return Mistake(path, f"should be one of {', '.join(allowed)}", _near(value, allowed), value)
    if kind == "value_error":
        what, _, fix = str(context["error"]).partition("; ")
        return Mistake(path, what, fix, value)
    if kind == "too_short":
        return Mistake(path, "is empty", "give at least one", value)
    if kind in _TYPES:
        return Mistake(path, _TYPES[kind], _other_type(kind, value), value)
    limits = [f"{words} {context[key]:g}" for key, words in _LIMITS.items() if key in context]
    if limits:
        return Mistake(path, f"should be {' and '.join(limits)}", "", value)
    return Mistake(path, error["msg"], "", value)


def _near(value: object, allowed: Collection[str]) -> str:
    fix = suggestion(str(value), allowed)
    return fix if fix.startswith("did you mean") else ""


def _other_type(kind: str, value: object) -> str:
    if kind == "tuple_type" and isinstance(value, str | int | float):
        return f"write [{shown(value)}]"
    if kind == "string_type" and isinstance(value, bool | int | float):
        return f'write "{shown(value)}"'
    if kind in ("int_type", "float_type") and isinstance(value, str) and re.fullmatch(r"\d+(\.\d+)?", value):
        return f"write {value} without quotes"
    return ""


def keys_of(path: Path, kind: str = "", root: type[BaseModel] = SystemFile) -> list[str]:
    """The keys that the table at `path` can have, as the file spells them; `kind` is a workload's."""
    here: object = root
    for part in path:
        here = _class(_step(here, part), kind)
    fields = here.model_fields if isinstance(here, type) and issubclass(here, BaseModel) else {}
    return [field.alias or name for name, field in fields.items()]


def _step(here: object, part: str | int) -> object:
    if isinstance(here, type) and issubclass(here, BaseModel):
        return next((f.annotation for name, f in here.model_fields.items() if part in (name, f.alias)), None)
    arguments = get_args(here)
    return arguments[-1 if get_origin(here) is dict else 0] if arguments else None


def _class(annotation: object, kind: str) -> object:
    """The class, dict or tuple behind Annotated, `| None` and the kinds of workload."""
    if get_origin(annotation) is Annotated:
        return _class(get_args(annotation)[0], kind)
    if get_origin(annotation) in (Union, UnionType):
        members = [member for member in get_args(annotation) if member is not type(None)]
        ours = [member for member in members if _kind(member) == kind]
        return (ours or members)[0]
    return annotation


def _kind(member: object) -> str:
    fields = member.model_fields if isinstance(member, type) and issubclass(member, BaseModel) else {}
    return str(get_args(fields["kind"].annotation)[0]) if "kind" in fields else ""
