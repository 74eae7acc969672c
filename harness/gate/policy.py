"""The policy of a gate, as data. Without a file it is `Policy()`, which says what the exit code of a run says."""

from __future__ import annotations

from datetime import date
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

LEAST_SAMPLES = 5
"""Fewer values than this on either side are too few to compare."""

Text = Annotated[str, Field(min_length=1, pattern=r"\S", strict=True)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]
Number = Annotated[int, Field(ge=0, strict=True)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Place(_Table):
    """What a rule is about: one clause, in the scenarios, states and systems that its patterns (`*`, `?`) match."""

    clause: Text
    scenario: Text = "*"
    state: Text = "*"
    system: Text = "*"

    def matches(self, clause: str, scenario: str, state: str, system: str) -> bool:
        """Whether it is about this one."""
        here = ((scenario, self.scenario), (state, self.state), (system, self.system))
        return clause == self.clause and all(fnmatchcase(name, pattern) for name, pattern in here)

    def __str__(self) -> str:
        within = f"{self.scenario}[{self.state}]" if self.state != "*" else self.scenario
        return f"{self.clause} of {within}" + (f" ({self.system})" if self.system != "*" else "")


class Bound(Place):
    """No value may be above `most`, in the clause's unit. It tightens what a scenario expects, and never loosens it."""

    most: Amount


class Budget(Place):
    """All values of a run together may not be above `most`: times are added up, shares weighed by what they count."""

    most: Amount


class Known(Place):
    """A weakness that is known: while it has not expired, its violation is told and decides nothing.

    `expires` is the last day on which it counts.
    """

    owner: Text
    reason: Text
    expires: date


class Least(_Table):
    """Least numbers, each scenario and fault counted once however often it was run; `systems` must each have a run."""

    scenarios: Number = 1
    faults: Number = 0
    systems: tuple[Text, ...] = ()


class Repetitions(_Table):
    """In how many runs each clause must have been judged, and in how many of them a time may be violated."""

    least: Annotated[int, Field(ge=1, strict=True)] = 1
    may_fail: Number = 0

    @model_validator(mode="after")
    def _fewer_fail(self) -> Repetitions:
        if self.may_fail >= self.least:
            raise ValueError(f"may_fail is not less than least; write least = {self.may_fail + 1} or more")
        return self


class Regression(_Table):
    """When a time counts as worse than in the baseline: by the test, and by a shift of the median as well.

    `chance`: how often as bad an order comes by chance, at most. `shift_share` is of the baseline's median, `shift_s`
    seconds; the larger of both is the least shift. `clauses`: names of clauses or guarantees; empty: every time.
    """

    chance: Annotated[float, Field(gt=0, le=0.5, strict=True)] = 0.01
    shift_share: Amount = 0.25
    shift_s: Amount = 0.1
    samples: Annotated[int, Field(ge=LEAST_SAMPLES, strict=True)] = LEAST_SAMPLES
    clauses: tuple[Text, ...] = ()
    too_few: Literal["cannot-say", "reported"] = "cannot-say"


class Policy(_Table):
    """What must be so for a GO. `must_hold` names clauses or guarantees; None: every clause that a run expects."""

    must_hold: Annotated[tuple[Text, ...], Field(min_length=1)] | None = None
    inconclusive: Literal["cannot-say", "no-go", "unless-judged"] = "cannot-say"
    least: Least = Least()
    repetitions: Repetitions = Repetitions()
    bounds: tuple[Bound, ...] = ()
    budgets: tuple[Budget, ...] = ()
    known: tuple[Known, ...] = ()
    regression: Regression | None = None

    def decides(self, clause: str) -> bool:
        """Whether this clause must hold."""
        return self.must_hold is None or named(clause, self.must_hold)


def named(clause: str, names: tuple[str, ...]) -> bool:
    """Whether a clause is one of `names`, by itself or by its guarantee."""
    return clause in names or clause.partition(".")[0] in names
