"""Which placeholders mean something in which place of a system file, and what is wrong with the others."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from harness.errors import suggestion
from harness.system._lines import Path
from harness.system._mistakes import Mistake
from harness.system._raw import Raw, items, table, tables
from harness.system.model import BROKER
from harness.system.placeholders import (
    ADDRESS_FORMS,
    OWN_WORDS,
    RESERVED,
    Address,
    address,
    environment_name,
    names,
    stray_brace,
)

# Besides words: an address, those of all replicas, what `prepare` keeps, the environment's values. The braces keep a
# placeholder from being spelled so.
_TO, _ALL, _KEPT, _ENV = "{to}", "{all}", "{kept}", "{env}"
_OWN = OWN_WORDS | {_TO, _ALL, _ENV}
_ASKED = frozenset({_TO, _ENV, "port", "replica"})
_WORK = frozenset({_TO, _KEPT, _ENV})
_CONTENT = _WORK | {"op", "pad"}


@dataclass(frozen=True, slots=True)
class _Place:
    """`pattern`: keys with dots between, `*` any one, `**` any rest; `called`: how a message names the place."""

    pattern: str
    called: str
    words: frozenset[str]


_OF_A_SERVICE = "a service's command, env and files"
_PLACES = (
    _Place("services.*.command.*", _OF_A_SERVICE, _OWN),
    _Place("services.*.env.*", _OF_A_SERVICE, _OWN),
    _Place("services.*.small.*", _OF_A_SERVICE, _OWN),
    _Place("services.*.files.*", _OF_A_SERVICE, _OWN),
    _Place("services.*.image", "a service's image", frozenset({_ENV})),
    _Place("services.*.ready.command.*", "ready", _OWN),
    _Place("services.*.ready.http", "ready", _ASKED),
    _Place("services.*.ready", "ready", _ASKED),
    _Place("services.*.health", "health", _ASKED),
    _Place("services.*.metrics.path", "metrics", _ASKED),
    _Place("services.*.metrics", "metrics", _ASKED),
    _Place("broker.connect.*", "broker.connect", frozenset({_ENV})),
    _Place("prepare.*.request.**", "prepare", _WORK),
    _Place("workloads.*.submit.json.**", "submit.json", _CONTENT),
    _Place("workloads.*.submit.**", "submit", _WORK | {"op"}),
    _Place("workloads.*.poll.url", "poll", _WORK | {"op", "ref"}),
    _Place("workloads.*.poll.headers.*", "poll", _WORK | {"op", "ref"}),
    _Place("workloads.*.poll.proof.*", "proof", frozenset({"op", "ref", "pad"})),
    _Place("workloads.*.publish.url", "publish", _WORK | {_ALL}),
    _Place("workloads.*.publish.json.**", "publish.json", _CONTENT),
    _Place("workloads.*.publish.payload", "publish.payload", _CONTENT),
    _Place("workloads.*.publish.headers.*", "publish", _WORK | {"op"}),
    _Place("workloads.*.host", "a locustfile's host and env", _WORK),
    _Place("workloads.*.env.*", "a locustfile's host and env", _WORK | {_ALL}),
    _Place("workloads.*.effects.url", "effects", _WORK | {"cursor"}),
    _Place("workloads.*.effects.command.*", "effects", _WORK | {"python", "cursor"}),
)
_NOWHERE = _Place("", "", frozenset())
# A regular expression has braces of its own.
_FREE = ("services.*.ready.log", *(f"services.*.output.{event}" for event in ("lost", "returned", "failures")))


@dataclass(frozen=True, slots=True)
class _Known:
    """What a file offers to name: services with their ports, kept names, and the environment (None: not looked at)."""

    providers: Mapping[str, Collection[str]]
    kept: Collection[str]
    environ: Mapping[str, str] | None


def check(data: Raw, environ: Mapping[str, str] | None) -> Iterator[Mistake]:
    """Every placeholder that has no meaning where it stands, and every stray brace.

    With `environ`, also each {env:X} that is not set there.
    """
    providers = {name: list(table(service, "ports")) for name, service in tables(data, "services").items()}
    # A kept name that a word has already is told elsewhere, and stays that word here.
    kept = [set(table(request, "keep")) - RESERVED for request in items(data.get("prepare"))]
    for path, text in _texts(data, ()):
        if any(_fits(pattern, path) for pattern in _FREE):
            continue
        place = next((place for place in _PLACES if _fits(place.pattern, path)), _NOWHERE)
        # A request of `prepare` can use what the ones before it have kept.
        before = path[1] if path[0] == "prepare" and len(path) > 1 and isinstance(path[1], int) else len(kept)
        known = _Known(providers, set().union(*kept[:before]), environ)
        own = providers.get(str(path[1]), []) if path[0] == "services" and len(path) > 1 else []
        for name in names(text):
            problem = _problem(name, place, known, own)
            if problem:
                yield Mistake(path, problem[0], problem[1], text)
        brace = stray_brace(text)
        if brace:
            yield Mistake(path, f"a stray {brace}", f"write {brace * 2} to mean the brace itself", text)


def _texts(tree: object, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(tree, str):
        yield path, tree
    elif isinstance(tree, dict):
        for key, item in tree.items():
            yield from _texts(item, (*path, key))
    elif isinstance(tree, list):
        for number, item in enumerate(tree):
            yield from _texts(item, (*path, number))


def _fits(pattern: str, path: Path) -> bool:
    parts = pattern.split(".")
    if parts[-1] == "**":
        parts, path = parts[:-1], path[: len(parts) - 1] if len(path) >= len(parts) else ()
    return len(parts) == len(path) and all(part in ("*", key) for part, key in zip(parts, path, strict=True))


def _problem(name: str, place: _Place, known: _Known, own: Collection[str]) -> tuple[str, str] | None:
    """What is wrong with a placeholder and what to write, or None."""
    variable, to = environment_name(name), address(name)
    problem: tuple[str, str] | None = None
    if variable is not None:
        word = _ENV
        if known.environ is not None and variable not in known.environ:
            problem = f"{variable} is not set in the environment", f"set it before the run: export {variable}=..."
    elif name in known.kept:
        word = _KEPT
    elif to is not None and to.provider in (BROKER, *known.providers):
        word = _ALL if to.form == "urls" else _TO
        problem = _no_such_port(to, known)
    elif name == "port" or name.startswith("port."):
        word = "port"
        problem = _no_own_port(name.removeprefix("port").removeprefix("."), own)
    else:
        word = name
    return problem if word in place.words else _misplaced(name, word, place, known, own)


def _no_own_port(port: str, own: Collection[str]) -> tuple[str, str] | None:
    if not own:
        return "this service has no ports", "add ports = { http = 8080 }"
    if port and port not in own:
        return f"this service has no port {port!r}", suggestion(port, own)
    return None


def _no_such_port(to: Address, known: _Known) -> tuple[str, str] | None:
    if to.provider == BROKER:
        if to.port:
            return f"the broker has no port {to.port!r}", f"write {{broker.{to.form}}}"
        return None
    ports = known.providers[to.provider]
    if not ports:
        return f"{to.provider} has no port to reach", f"add ports = {{ http = 8080 }} to services.{to.provider}"
    if to.port and to.port not in ports:
        return f"{to.provider} has no port {to.port!r}", suggestion(to.port, ports)
    return None


def _misplaced(name: str, word: str, place: _Place, known: _Known, own: Collection[str]) -> tuple[str, str]:
    called = list(dict.fromkeys(other.called for other in _PLACES if word in other.words))
    elsewhere = [place for place in called if "." not in place or place.partition(".")[0] not in called]
    if elsewhere:
        what = f"{{{name}}} has no meaning here"
        if word == _ALL and _TO in place.words:
            return what, f"one address is needed: {{{name[:-1]}}}"
        return what, f"it has one in {', '.join(elsewhere)}"
    what = f"unknown placeholder {{{name}}}"
    if not place.words:
        return what, "no placeholder works here"
    if _ENV in place.words and name.isupper() and name.isidentifier():
        return what, f"did you mean '{{env:{name}}}'?"
    candidates = _candidates(place, known, own)
    near = difflib.get_close_matches(name, candidates, n=1)
    if near:
        return what, f"did you mean '{{{near[0]}}}'?"
    usual = [word for word in candidates if "." not in word or re.fullmatch(r"[^.]*\.url", word)]
    return what, f"known here: {', '.join(f'{{{word}}}' for word in usual)}"


def _candidates(place: _Place, known: _Known, own: Collection[str]) -> list[str]:
    found = sorted(word for word in place.words if "{" not in word)
    if "port" in place.words:
        found += [f"port.{port}" for port in own]
    if _KEPT in place.words:
        found += sorted(known.kept)
    if _ENV in place.words:
        found.append("env:NAME")
    if _TO in place.words:
        forms = [form for form in ADDRESS_FORMS if form != "urls" or _ALL in place.words]
        for provider, ports in {BROKER: [], **known.providers}.items():
            found += [f"{provider}.{form}" for form in forms]
            found += [f"{provider}.{port}.{form}" for port in ports for form in forms]
    return found
