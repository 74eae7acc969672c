"""What a policy made of a run or of a night, as its page shows it. The gate makes it; this only carries it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

HEADLINES = {
    "GO": "All that the policy asks for is so",
    "NO-GO": "Something is so that the policy does not let pass",
    "CANNOT SAY": "Something that the policy asks for was not judged",
}
EXITS = {"GO": 0, "NO-GO": 1, "CANNOT SAY": 2}


class Reason(NamedTuple):
    """One sentence; `answer` is what it makes of the decision, `scenario` the id that it is about, or empty."""

    answer: str
    text: str
    scenario: str = ""


@dataclass(frozen=True, slots=True)
class Decided:
    """GO, NO-GO or CANNOT SAY by the `policy` of that file on that `day`; `told` decides nothing."""

    answer: str
    policy: str
    day: str
    reasons: Sequence[Reason] = ()
    told: Sequence[Reason] = ()

    @property
    def exit(self) -> int:
        """As the exit of a run: 0, 1, 2."""
        return EXITS[self.answer]

    @property
    def headline(self) -> str:
        """What the answer means."""
        return HEADLINES[self.answer]
