"""One measured figure, as reports/bench.json holds it."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Literal

Bound = Literal["at most", "at least"]
_COMPARE: dict[Bound, Callable[[float, float], bool]] = {"at most": operator.le, "at least": operator.ge}


@dataclass(frozen=True)
class Figure:
    """`value` in `unit`. `target` is what it must reach, None where it is told for information alone."""

    name: str
    value: float
    unit: str
    bound: Bound = "at most"
    target: float | None = None

    @property
    def holds(self) -> bool | None:
        """Whether it reaches its target; None without one."""
        return None if self.target is None else _COMPARE[self.bound](self.value, self.target)

    def as_json(self) -> dict[str, object]:
        """The entry of bench.json."""
        entry = asdict(self)
        target = None if self.target is None else f"{entry.pop('bound')} {self.target:g}"
        entry.pop("bound", None)
        return {**entry, "target": target, "holds": self.holds}


def middle(values: list[float], digits: int = 4) -> float:
    """The median."""
    return round(median(values), digits)
