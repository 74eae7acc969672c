"""Reads a policy: the table [gate] of gate.toml or pyproject.toml, all mistakes at once, each with its line."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from harness.errors import UsageError, suggestion
from harness.gate.policy import Policy
from harness.guarantees import REGISTRY
from harness.report.text import TIMES
from harness.system._lines import Lines
from harness.system._lines import Path as Place
from harness.system._mistakes import Mistake, listed, schema_mistakes

GATE, PROJECT = "gate.toml", "pyproject.toml"
TABLES: tuple[Place, ...] = (("gate",), ("tool", "nats-harness", "gate"))
SUMMED = TIMES | {"share"}
"""Units that a budget may add up; a count of losses is none, for a loss is never averaged."""


def load(named: Path | None, folder: Path) -> tuple[Policy, str]:
    """The policy in the file that was named, else of `folder`, else the default; and where it stands, in words.

    Raises UsageError with every mistake of the file, and where a folder has two policies.
    """
    if named is not None:
        return _wanted(named), str(named)
    return found(folder) or (Policy(), "no policy: what the exit of a run says")


def found(folder: Path) -> tuple[Policy, str] | None:
    """The policy of a folder and the name of its file; None where it has none. Raises UsageError as `load`."""
    policies = {path: _wanted(path) for path in [folder / GATE] if path.exists()}
    policies |= {path: table for path in [folder / PROJECT] if path.exists() and (table := _table(path))}
    if len(policies) > 1:
        both = " and ".join(path.name for path in policies)
        raise UsageError(f"two policies, in {both}", where=str(folder), fix="keep one, or name one with --policy")
    for path, policy in policies.items():
        return policy, path.name
    return None


def _wanted(path: Path) -> Policy:
    """The policy of a file that is there for nothing else."""
    table = _table(path)
    if table is None:
        raise UsageError("has no table [gate]", where=str(path), fix="write [gate] above what is the gate's")
    return table


def _table(path: Path) -> Policy | None:
    text = _read(path)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"not TOML: {error}", where=str(path), fix="mend that line") from None
    there = [(place, table) for place in TABLES if (table := _at(data, place)) is not None]
    if len(there) > 1:
        raise UsageError("has [gate] and [tool.nats-harness.gate]", where=str(path), fix="keep one of them")
    for place, table in there:
        return _policy(table, place, str(path), Lines(text))
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8").replace("\r\n", "\n")
    except OSError as error:
        raise UsageError(
            f"cannot be read: {error.strerror}", where=str(path), fix="name a policy that is there"
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError("not UTF-8", where=str(path), fix="save it as UTF-8") from error


def _at(data: Mapping[str, object], place: Place) -> object:
    here: object = data
    for part in place:
        here = here.get(str(part)) if isinstance(here, Mapping) else None
    return here


def _policy(table: object, place: Place, file: str, lines: Lines) -> Policy:
    try:
        policy = Policy.model_validate(table)
        mistakes = list(_wrong(policy))
    except ValidationError as error:
        mistakes = list(schema_mistakes(({**one, "loc": one["loc"] or ("",)} for one in error.errors()), Policy))
    if mistakes:
        placed = (
            replace(mistake, path=(*place, *(part for part in mistake.path if part != ""))) for mistake in mistakes
        )
        raise UsageError("\n".join(listed(placed, file, lines)))
    return policy


def _wrong(policy: Policy) -> Iterator[Mistake]:
    """Names that mean nothing, and rules that would average a loss."""
    units = {clause.name: clause.unit for guarantee in REGISTRY.values() for clause in guarantee.clauses}
    lists: dict[Place, tuple[str, ...]] = {("must_hold",): policy.must_hold or ()}
    if policy.regression:
        lists["regression", "clauses"] = policy.regression.clauses
    for path, names in lists.items():
        for at, name in enumerate(names):
            if name not in units and name not in REGISTRY:
                known = [*units, *REGISTRY]
                yield Mistake((*path, at), "no clause or guarantee is called so", suggestion(name, known), name)
    for kind, rules in (("bounds", policy.bounds), ("budgets", policy.budgets), ("known", policy.known)):
        for at, rule in enumerate(rules):
            if rule.clause not in units:
                fix = suggestion(rule.clause, units)
                yield Mistake((kind, at, "clause"), "no clause is called so", fix, rule.clause)
    for at, budget in enumerate(policy.budgets):
        unit = units.get(budget.clause, "s")
        if unit not in SUMMED:
            what = f"counts {unit}, and a loss is never averaged"
            yield Mistake(("budgets", at, "clause"), what, "put it into must_hold", budget.clause)
