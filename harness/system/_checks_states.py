"""What measures, states and weaknesses say about each other."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from harness.errors import UsageError, suggestion
from harness.system import _measures
from harness.system._lines import Path
from harness.system._mistakes import Mistake
from harness.system._raw import Raw, table, tables, texts


def check_states(data: Raw, clauses: Collection[str] | None) -> Iterator[Mistake]:
    """Every mistake in them. `clauses` are the known ones, None where they are not known."""
    yield from _hardening(data)
    yield from _weaknesses(data)
    for name, state in tables(data, "states").items():
        yield from _state(("states", name), state, data, clauses)


def _hardening(data: Raw) -> Iterator[Mistake]:
    switches = texts(table(data, "hardening").get("switches"))
    for number, name in enumerate(switches):
        if name in ("all", "none"):
            yield Mistake(("hardening", "switches", number), f"{name} has a meaning of its own", "call it otherwise")
        if name in switches[:number]:
            yield Mistake(("hardening", "switches", number), "is there twice", "leave one", name)
    needs = {name: texts(bases) for name, bases in table(data, "hardening", "needs").items()}
    for name, bases in needs.items():
        path: Path = ("hardening", "needs", name)
        if name not in switches:
            yield Mistake(path, "no switch has this name", suggestion(name, switches))
        for number, base in enumerate(bases):
            if base not in switches:
                yield Mistake((*path, number), "no switch has this name", suggestion(base, switches), base)
        circle = _circle(name, needs)
        # Each circle is told once, where its first name stands in the file.
        if circle and name == min(circle, key=list(needs).index):
            yield Mistake(path, f"needs itself: {' -> '.join([*circle, name])}", "take one of these needs out")


def _weaknesses(data: Raw) -> Iterator[Mistake]:
    """The weaknesses that measures remove, and those that have a sentence, are those that a state exposes."""
    shown = [exposed for state in tables(data, "states").values() for exposed in tables(state, "exposes").values()]
    known = list(dict.fromkeys(weakness for exposed in shown for weakness in exposed))
    switches = texts(table(data, "hardening").get("switches"))
    for name, removed in table(data, "hardening", "removes").items():
        path: Path = ("hardening", "removes", name)
        if name not in switches:
            yield Mistake(path, "no switch has this name", suggestion(name, switches))
        for number, weakness in enumerate(texts(removed)):
            if weakness not in known:
                yield Mistake((*path, number), "no state exposes it", suggestion(weakness, known), weakness)
    for name in table(data, "weaknesses"):
        if name not in known:
            yield Mistake(("weaknesses", name), "no state exposes it", suggestion(name, known))


def _circle(name: str, needs: dict[str, list[str]]) -> list[str]:
    """The way from a measure back to itself, without its end; empty where there is none."""
    ways, seen = [[name]], set[str]()
    while ways:
        way = ways.pop()
        for base in needs.get(way[-1], []):
            if base == name:
                return way
            if base not in seen:
                seen.add(base)
                ways.append([*way, base])
    return []


def _state(path: Path, state: Raw, data: Raw, clauses: Collection[str] | None) -> Iterator[Mistake]:
    spec = state.get("hardening")
    switches = texts(table(data, "hardening").get("switches"))
    if isinstance(spec, str) and "hardening" not in data:
        fix = "add a table [hardening] with variable and switches"
        yield Mistake((*path, "hardening"), "the file names no measures", fix, spec)
    elif isinstance(spec, str) and switches:
        yield from _spec((*path, "hardening"), spec, switches, data)
    exposes = tables(state, "exposes")
    if exposes and state.get("expect", "holds") == "holds":
        fix = 'write expect = "exposed", or leave exposes out'
        yield Mistake((*path, "exposes"), "a state that holds exposes nothing", fix)
    for scenario, weaknesses in exposes.items():
        for weakness, clause in weaknesses.items():
            if clauses is not None and isinstance(clause, str) and clause not in clauses:
                where = (*path, "exposes", scenario, weakness)
                yield Mistake(where, "no such clause", suggestion(clause, clauses), clause)


def _spec(path: Path, spec: str, switches: Sequence[str], data: Raw) -> Iterator[Mistake]:
    needs = {name: texts(bases) for name, bases in table(data, "hardening", "needs").items()}
    try:
        _measures.resolve(spec, switches, needs)
    except UsageError as error:
        yield Mistake(path, error.what, error.fix, spec)
