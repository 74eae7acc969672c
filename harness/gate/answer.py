"""What a gate says: an answer, and a sentence for each reason."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.report.decided import EXITS
from harness.report.text import plain, quantity


class Answer(StrEnum):
    """GO, NO-GO or CANNOT SAY. No-go beats cannot say beats go."""

    NO_GO = "NO-GO"
    CANNOT_SAY = "CANNOT SAY"
    GO = "GO"

    @property
    def exit(self) -> int:
        """0 go, 1 no-go, 2 cannot say: as the exit of a run."""
        return EXITS[self]


def worst(answers: Iterable[Answer]) -> Answer:
    """The answer that beats the others; of nothing: GO."""
    given = set(answers)
    return next((answer for answer in Answer if answer in given), Answer.GO)


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason: `what` was found, and what to `do`. `answer` is what it makes of the decision; GO: only told.

    `rule` is the part of the policy that speaks, `value` and `bound` are in `unit`. What is about no clause or no
    scenario leaves that empty.
    """

    answer: Answer
    rule: str
    what: str
    do: str = ""
    system: str = ""
    scenario: str = ""
    clause: str = ""
    value: float | None = None
    bound: float | None = None
    unit: str = ""

    @property
    def text(self) -> str:
        """The sentence, on one line, harmless to a terminal."""
        return plain(f"{self.what}; {self.do}" if self.do else self.what)


@dataclass(frozen=True, slots=True)
class Decision:
    """An answer and its reasons, the deciding ones first; `numbers` is the sentence that says what it rests on."""

    answer: Answer
    reasons: Sequence[Reason]
    numbers: str

    @property
    def deciding(self) -> list[Reason]:
        """The reasons that are not only told."""
        return [reason for reason in self.reasons if reason.answer is not Answer.GO]

    @property
    def told(self) -> list[Reason]:
        """What decides nothing, and is said all the same."""
        return [reason for reason in self.reasons if reason.answer is Answer.GO]


def measured(value: float | None, unit: str) -> str:
    """A value as a sentence has it: `8.21 s`, or `no value`."""
    return quantity(value, unit, missing="no value")
