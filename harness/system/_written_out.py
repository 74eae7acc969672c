"""Secrets that a system file has in itself, though {env:NAME} is their place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from pydantic import BaseModel

from harness.system.model import SystemFile
from harness.system.placeholders import names

LEAST = 6
"""Characters of a secret. A shorter one would be found in too much that is none."""

_HEADERS = re.compile(r"authorization|cookie|key|token|secret|password", re.IGNORECASE)
_WORDS = "token|secret|password|passwd"
_VARIABLES = re.compile(rf"(?:{_WORDS}|api_?key)$", re.IGNORECASE)
_OPTION = re.compile(rf"--(?:[\w-]*[-_])?(?:{_WORDS}|api[-_]?key)(?:=(.+))?", re.IGNORECASE)
_SCHEME = re.compile(r"(?:bearer|basic|digest)\s+", re.IGNORECASE)


def written_out(system: SystemFile) -> set[str]:
    """Passwords and tokens of `broker.connect`, and values of headers, variables and options that carry credentials.

    What has a placeholder in it is none, nor is what is part of a name that the report needs.
    """
    connect = system.broker.connect
    found = set(_named(system))
    if connect is not None:
        found |= {text for text in (connect.password, connect.token) if text}
    known = [system.system.name, *system.services, *system.workloads, *system.streams, "broker", "load"]
    return {
        text for text in found if len(text) >= LEAST and not names(text) and not any(text in name for name in known)
    }


def _named(tree: object) -> Iterator[str]:
    if isinstance(tree, BaseModel):
        headers = getattr(tree, "headers", None)
        if isinstance(headers, Mapping):
            for name, value in headers.items():
                if _HEADERS.search(name):
                    yield _SCHEME.sub("", value, count=1).strip()
        variables = getattr(tree, "env", None)
        if isinstance(variables, Mapping):
            yield from (value for name, value in variables.items() if _VARIABLES.search(name))
        command = getattr(tree, "command", None)
        if isinstance(command, tuple):
            yield from _options(command)
        for name in type(tree).model_fields:
            yield from _named(getattr(tree, name))
    elif isinstance(tree, Mapping):
        for item in tree.values():
            yield from _named(item)
    elif isinstance(tree, list | tuple):
        for item in tree:
            yield from _named(item)


def _options(command: Sequence[str]) -> Iterator[str]:
    for word, following in zip(command, (*command[1:], ""), strict=True):
        if option := _OPTION.fullmatch(word):
            yield option[1] or following
