"""A decision for people and for scripts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypedDict

from harness.gate.answer import Answer, Decision, Reason
from harness.report.terminal import Look
from harness.report.text import count, plain

STYLES = {Answer.GO: "good", Answer.NO_GO: "bad", Answer.CANNOT_SAY: "doubt"}


class ReasonJson(TypedDict):
    """A reason for scripts; `decides` is false for what is only told."""

    answer: str
    decides: bool
    rule: str
    system: str
    scenario: str
    clause: str
    value: float | None
    bound: float | None
    unit: str
    text: str


class DecisionJson(TypedDict):
    """A decision for scripts."""

    schema: int
    answer: str
    exit: int
    policy: str
    numbers: str
    reasons: list[ReasonJson]


def of_decision(decision: Decision, policy: str, look: Look) -> list[str]:
    """The answer, what it rests on, a line a reason, and what was only told."""
    return [look.encoded(line) for line in _lines(decision, policy, look)]


def _lines(decision: Decision, policy: str, look: Look) -> Iterator[str]:
    answer = decision.answer
    yield f"{look.paint(answer, STYLES[answer])} (exit {answer.exit}): {plain(decision.numbers)}"
    yield f"policy: {plain(policy)}"
    for reason in decision.deciding:
        yield f"  {look.paint(f'{reason.answer:10}', STYLES[reason.answer])}  {reason.text}"
    if not decision.deciding:
        yield f"  {look.paint(f'{Answer.GO:10}', 'good')}  everything that the policy asks for is so"
    if decision.told:
        yield f"decides nothing, and is told ({count(len(decision.told), 'sentence')}):"
    for reason in decision.told:
        yield f"  {'told':10}  {look.paint(reason.text, 'quiet')}"


def as_json(decision: Decision, policy: str) -> DecisionJson:
    """The decision as JSON."""
    answer = decision.answer
    return {
        "schema": 1,
        "answer": str(answer),
        "exit": answer.exit,
        "policy": plain(policy),
        "numbers": plain(decision.numbers),
        "reasons": [_reason(reason) for reason in decision.reasons],
    }


def _reason(reason: Reason) -> ReasonJson:
    return {
        "answer": str(reason.answer),
        "decides": reason.answer is not Answer.GO,
        "rule": reason.rule,
        "system": plain(reason.system),
        "scenario": plain(reason.scenario),
        "clause": plain(reason.clause),
        "value": reason.value,
        "bound": reason.bound,
        "unit": plain(reason.unit),
        "text": reason.text,
    }
