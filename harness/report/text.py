"""One way to write numbers, and to make text that comes from a system under test harmless."""

from __future__ import annotations

import math
from typing import TypeVar, cast

from harness.history.shown import escaped

LONGEST = 4000
"""Characters of one text that are shown; a service can put a megabyte into an error."""

TIMES = frozenset({"s", "ms"})
"""Units of time: only a time has a margin to its bound."""

T = TypeVar("T")


def plain(text: str, *, longest: int = LONGEST) -> str:
    """`text` on one line, with each character that could move, hide or recolour others written as its escape."""
    cut = len(text) - longest
    shown = text if cut <= 0 else text[:longest]
    shown = escaped(shown)
    return shown if cut <= 0 else f"{shown}... ({cut:,} characters more)"


def plain_tree(tree: T) -> T:
    """A copy of a JSON tree of any shape in which every text, keys included, went through `plain`."""
    return cast(T, _plain_tree(tree))


def _plain_tree(tree: object) -> object:
    if isinstance(tree, str):
        return plain(tree)
    if isinstance(tree, dict):
        return {plain(str(key)): _plain_tree(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_plain_tree(value) for value in tree]
    return tree


def number(value: float) -> str:
    """Three digits that count, thousands set apart: 0.0123, 1.21, 87, 1,204, 12,345."""
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else "without end"
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 else f"{value:.1e}"


def quantity(value: float | None, unit: str, *, missing: str = "none") -> str:
    """`value` with its unit, a share in per cent; `missing` where there is no value."""
    if value is None:
        return missing
    if unit == "share":
        return f"{number(round(100 * value, 9))} %"
    return f"{number(value)} {unit}".strip()


def seconds(value: float) -> str:
    """A duration as people say it: 0.40 s, 14.2 s, 3 min 07 s."""
    if value < 10:
        return f"{value:.2f} s"
    if value < 60:
        return f"{value:.1f} s"
    return f"{int(value) // 60} min {int(value) % 60:02d} s"


def moment(value: float | None) -> str:
    """A moment of a scenario, in seconds since its load began: +2.003 s."""
    return "never seen" if value is None else f"{value:+.3f} s"


def count(n: int, one: str, many: str = "") -> str:
    """`1 fault`, `2 faults`, `0 faults`."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def of_bound(measured: float | None, bound: float | None, unit: str) -> str:
    """How much of its bound a time used, which is its margin: `24 % of its bound`; nothing for other units."""
    if measured is None or not bound or unit not in TIMES:
        return ""
    return f"{100 * measured / bound:,.0f} % of its bound"
