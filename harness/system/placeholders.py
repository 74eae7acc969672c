"""Words in braces: `{broker.url}`, `{port}`, `{op}`, `{env:NATS_PASSWORD}`. Pure text; knows no system.

    {name.url} {name.host} {name.port}     the first replica of a provider, at its first port
    {name.urls}                            all its replicas, with a comma between
    {name.PORT.url}                        the same at a port by its name
    {port} {port.NAME}                     a service's own port
    {replica} {dir} {python}               a service's own name (web-0), folder and interpreter
    {op} {ref} {cursor}                    our id, the system's id, where an effects read goes on
    {pad}                                  as many letters as a scenario asks for, none otherwise
    {env:X}                                the environment's value; a secret
    {{ and }}                              a brace itself

Whether an address is a link or the direct way is decided by the place where it stands (`model.SystemFile.links`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from harness.errors import UnknownName, UsageError

ADDRESS_FORMS = ("url", "host", "port", "urls")
OWN_WORDS = frozenset({"port", "replica", "dir", "python"})
PAD = "pad"
WORK_WORDS = frozenset({"op", "ref", "cursor", PAD})
# A service or a kept value of one of these names could not be told from the word itself.
RESERVED = OWN_WORDS | WORK_WORDS | frozenset({"broker", "load", "env"})

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Address:
    """A placeholder that names a provider: `{search.http.url}` is provider "search", port "http", form "url".

    `port` is "" where the first port is meant; `form` is one of ADDRESS_FORMS.
    """

    provider: str
    port: str
    form: str


def names(text: str) -> list[str]:
    """The placeholders in `text`, without braces, each once, in order; escaped and stray braces are none."""
    found = (match.group(1) for match in _TOKEN.finditer(text))
    return list(dict.fromkeys(name for name in found if name is not None))


def stray_brace(text: str) -> str | None:
    """The first brace that neither encloses a name nor is doubled, or None."""
    return next((match.group() for match in _TOKEN.finditer(text) if match.group() in ("{", "}")), None)


def render(text: str, values: Mapping[str, str]) -> str:
    """`text` with each placeholder replaced by its value, and `{{` and `}}` by a brace.

    Raises UnknownName for a placeholder without a value, UsageError for a stray brace.
    """

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name is None:
            if match.group() in ("{", "}"):
                raise UsageError(f"a stray {match.group()} in {text!r}", fix="double it to mean the brace itself")
            return match.group()[0]
        if name not in values:
            raise UnknownName(name, values, kind="placeholder", where=repr(text))
        return values[name]

    return _TOKEN.sub(value, text)


def render_tree(tree: JsonValue, values: Mapping[str, str]) -> JsonValue:
    """A JSON tree with every text in it rendered; keys, numbers and the rest stay as they are."""
    if isinstance(tree, str):
        return render(tree, values)
    if isinstance(tree, list):
        return [render_tree(item, values) for item in tree]
    if isinstance(tree, dict):
        return {key: render_tree(item, values) for key, item in tree.items()}
    return tree


def address(name: str) -> Address | None:
    """The address that a placeholder's name spells, or None where it is another word."""
    match name.split("."):
        case [provider, form] if form in ADDRESS_FORMS:
            return Address(provider, "", form)
        case [provider, port, form] if form in ADDRESS_FORMS:
            return Address(provider, port, form)
    return None


def link_placeholders(text: str) -> list[Address]:
    """The addresses in `text`, each once, in order."""
    return [found for found in map(address, names(text)) if found is not None]


def environment_name(name: str) -> str | None:
    """X of `env:X`, or None where `name` is another word or X cannot name an environment variable."""
    prefix, colon, variable = name.partition(":")
    return variable if prefix == "env" and colon and _ENVIRONMENT_NAME.fullmatch(variable) else None


def strings(tree: object) -> Iterator[str]:
    """Every text in a tree of tables and lists, keys left out, in order."""
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, Mapping):
        for item in tree.values():
            yield from strings(item)
    elif isinstance(tree, list | tuple):
        for item in tree:
            yield from strings(item)
