"""The values of a system file: what a duration, a JSONPath, a subject or a name is, and what to write where one is not.

Each check raises ValueError with "what is wrong; what to write"; the loader puts file, line and value in front.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue

from harness.errors import suggestion


class Role(StrEnum):
    """What a node is to the others. A service is an entry, a worker or a dependency; `load` is the harness' own."""

    BROKER = "broker"
    ENTRY = "entry"
    WORKER = "worker"
    DEPENDENCY = "dependency"
    LOAD = "load"


_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PLAIN_PATH = re.compile(r"\$(\.[A-Za-z_][A-Za-z0-9_]*|\[\d+\]|\[\*\]|\.\*)*")
_EFFECTS = re.compile(r"exactly-once|at-least-once|at-most=([1-9]\d*)")


def seconds(text: object) -> float:
    """The seconds of "10s", "500ms", "2m" or "1h"; ValueError otherwise, and where it is nothing or less."""
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None or not float(match[1]):
        raise ValueError('not a duration; write one such as "10s", "500ms" or "2m"')
    return float(match[1]) * _UNITS_S[match[2]]


def _sync_interval(text: str) -> str:
    if text != "always":
        seconds(text)
    return text


def _json_path(text: str) -> str:
    # The compiler costs 0.15 s to import, which collecting scenarios should not pay for `$.status`.
    if not _PLAIN_PATH.fullmatch(text):
        import jsonpath

        try:
            jsonpath.compile(text)
        except jsonpath.JSONPathError as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"not a JSONPath ({reason}); write one such as '$.id' or '$.items[*].id'") from None
        if not text.startswith("$"):
            raise ValueError("a JSONPath starts at the root; write one such as '$.id'")
    return text


def _regular_expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression ({error})") from None
    return text


def _effects_promise(text: str) -> str:
    if not _EFFECTS.fullmatch(text):
        raise ValueError("no such promise; known: exactly-once, at-least-once, at-most=N (N is 1 or more)")
    return text


def _subject(text: str, *, wild: bool = True) -> str:
    tokens = text.split(".")
    if not all(tokens) or re.search(r"\s", text) or ">" in tokens[:-1]:
        raise ValueError("not a NATS subject; write words with dots between, such as 'orders.new' or 'orders.>'")
    if not wild and {"*", ">"} & set(tokens):
        raise ValueError("nothing can be published to a subject with a wildcard; name one subject")
    return text


def _starts(*starts: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not text.startswith((*starts, "{")):
            raise ValueError(f"starts with none of {', '.join(starts)} and no placeholder such as {{name.url}}")
        return text

    return check


def _pattern(pattern: str, what: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(what)
        return text

    return check


def _service_role(value: object) -> Role:
    roles = [str(role) for role in (Role.ENTRY, Role.WORKER, Role.DEPENDENCY)]
    if value not in roles:
        raise ValueError(f"not a role of a service; {suggestion(str(value), roles)}")
    return Role(str(value))


def as_tuple(value: object) -> object:
    """A TOML list as the tuple that a frozen model holds; anything else as it is, for pydantic to refuse."""
    return tuple(value) if isinstance(value, list) else value


def as_http(value: object) -> object:
    """`ready = "/path"` as the table that it is short for."""
    return {"http": value} if isinstance(value, str) else value


def as_path(value: object) -> object:
    """`metrics = "/path"` as the table that it is short for."""
    return {"path": value} if isinstance(value, str) else value


_NAME = "not a name: lower-case letters, digits and dashes, a letter first"
Name = Annotated[str, AfterValidator(_pattern(r"[a-z][a-z0-9-]*", _NAME))]
Word = Annotated[str, AfterValidator(_pattern(r"[a-z][a-z0-9_]*", "not a word: lower-case letters, digits and _"))]
Label = Annotated[str, AfterValidator(_pattern(r"[\w-]+", "not a name: letters, digits, _ and - only"))]
StreamName = Annotated[str, AfterValidator(_pattern(r"[^\s.*>/\\]+", "no stream has such a name: no blank . * > / \\"))]
Variable = Annotated[str, AfterValidator(_pattern(r"[A-Za-z_]\w*", "not a name of an environment variable"))]
Version = Annotated[str, AfterValidator(_pattern(r"\d+\.\d+\.\d+(-[\w.]+)?", 'not a version such as "2.12.8"'))]
Clause = Annotated[str, AfterValidator(_pattern(r"[a-z_]+(\.[a-z_]+)?", "not a clause such as 'reconnects.notices'"))]
Metric = Annotated[str, AfterValidator(_pattern(r"[A-Za-z_:][\w:]*", "not a metric such as 'nats_lost_total'"))]
HeaderName = Annotated[str, AfterValidator(_pattern(r"[!#$%&'*+.^_`|~\w-]+", "not a name of a header"))]
ServiceRole = Annotated[Role, BeforeValidator(_service_role)]
Duration = Annotated[float, BeforeValidator(seconds)]
SyncInterval = Annotated[str, AfterValidator(_sync_interval)]
RegularExpression = Annotated[str, AfterValidator(_regular_expression)]
EffectsPromise = Annotated[str, AfterValidator(_effects_promise)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Port = Annotated[int, Field(ge=1, le=65535)]
Status = Annotated[int, Field(ge=100, le=599)]
Statuses = Annotated[tuple[Status, ...], BeforeValidator(as_tuple)]
Texts = Annotated[tuple[str, ...], BeforeValidator(as_tuple)]
JsonPath = Annotated[str, AfterValidator(_json_path)]
Values = Annotated[tuple[JsonValue, ...], BeforeValidator(as_tuple), Field(min_length=1)]
Subject = Annotated[str, AfterValidator(_subject)]
Subjects = Annotated[tuple[Subject, ...], BeforeValidator(as_tuple), Field(min_length=1)]
OneSubject = Annotated[str, AfterValidator(lambda text: _subject(text, wild=False))]
HttpUrl = Annotated[str, AfterValidator(_starts("http://", "https://"))]
NatsUrl = Annotated[str, AfterValidator(_starts("nats://", "tls://"))]
PathOrUrl = Annotated[str, AfterValidator(_starts("/", "http://", "https://"))]
