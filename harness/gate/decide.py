"""The decision: a pure function of the policy, the runs, the baseline and the date.

Each rule gives its reasons and knows nothing of the others; the worst of them is the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from harness.gate import _bounds, _clauses, _numbers, _worse
from harness.gate._seen import once, seen
from harness.gate.answer import Answer, Decision, worst
from harness.gate.policy import Policy
from harness.report.shape import Run


def decide(
    policy: Policy, runs: Sequence[Run], baseline: Sequence[Run] = (), *, today: date, besides: Sequence[str] = ()
) -> Decision:
    """Whether these runs, taken together, are a GO by the policy.

    `today` is what weaknesses expire by. `besides` says what a night left open that is in no verdict.
    """
    runs = once(runs)
    found = seen(runs)
    reasons = [
        *_clauses.judged(policy, found, today),
        *_clauses.weaknesses(policy, runs),
        *_bounds.bounds(policy, found, today),
        *_bounds.budgets(policy, found),
        *_worse.regressions(policy, found, runs, once(baseline)),
        *_numbers.missing(policy, runs),
        *_numbers.night(besides),
        *_numbers.least(policy, runs),
        *_numbers.repetitions(policy, found),
        *_numbers.never_judged(policy, found),
        *_clauses.unused(policy, found),
    ]
    reasons.sort(key=lambda reason: list(Answer).index(reason.answer))
    return Decision(worst(reason.answer for reason in reasons), reasons, _numbers.rests_on(runs))
