"""Bounds that the policy sets beside those of the scenarios, and budgets over a whole run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date

from harness.gate._clauses import about, doubt, excused
from harness.gate._seen import Key, Seen, runs_of, telling
from harness.gate.answer import Answer, Reason, measured
from harness.gate.policy import Bound, Place, Policy
from harness.verdict import Verdict

Found = Mapping[Key, Sequence[Seen]]


def bounds(policy: Policy, found: Found, today: date) -> Iterator[Reason]:
    """A reason for each clause with a value above its bound, and for each bound that nothing was measured against."""
    for bound in policy.bounds:
        matched = _matched(bound, found)
        yield from _unmeasured(policy, bound, "bounds", matched)
        for key, ones in _by_key(matched).items():
            over = [one for one in ones if _over(policy, bound, one) and not excused(policy, one, today)]
            if over:
                worst = telling(over)
                unit = worst.finding["unit"]
                value = measured(worst.finding["measured"], unit)
                what = f"{key} took {value} in {worst.run}: the policy's bound is {measured(bound.most, unit)}"
                do = f"mend it, raise the bound, or name it as known; again: {worst.scenario['repro']}"
                yield replace(about(worst, Answer.NO_GO, "bounds", what, do), bound=bound.most)


def _over(policy: Policy, bound: Bound, one: Seen) -> bool:
    """Whether it is above the bound; what must hold and is violated has its reason already."""
    if one.verdict is Verdict.INCONCLUSIVE or (one.verdict is Verdict.VIOLATED and policy.decides(one.key.clause)):
        return False
    value = one.finding["measured"]
    return one.verdict is Verdict.VIOLATED if value is None else value > bound.most


def budgets(policy: Policy, found: Found) -> Iterator[Reason]:
    """A reason for each run that used more than a budget, and for each budget that nothing was measured against."""
    for budget in policy.budgets:
        matched = _matched(budget, found)
        yield from _unmeasured(policy, budget, "budgets", matched)
        valued = [one for one in matched if one.finding["measured"] is not None]
        for run in runs_of(valued):
            ones = [one for one in valued if one.run == run]
            used = _sum(ones)
            if used > budget.most:
                worst = telling(ones)
                unit = worst.finding["unit"]
                most = f"{measured(worst.finding['measured'], unit)} of it in {worst.key.id}"
                what = (
                    f"{budget} used {measured(used, unit)} in {run}, over {len(ones)} findings: "
                    f"the budget is {measured(budget.most, unit)}; {most}"
                )
                do = f"mend the worst, or raise the budget; again: {worst.scenario['repro']}"
                yield replace(about(worst, Answer.NO_GO, "budgets", what, do), value=used, bound=budget.most)


def _matched(place: Place, found: Found) -> list[Seen]:
    return [
        one
        for key, ones in found.items()
        for one in ones
        if place.matches(key.clause, one.scenario["scenario"], one.scenario["state"], key.system)
    ]


def _by_key(ones: Sequence[Seen]) -> dict[Key, list[Seen]]:
    return {key: [one for one in ones if one.key == key] for key in dict.fromkeys(one.key for one in ones)}


def _unmeasured(policy: Policy, place: Place, rule: str, matched: Sequence[Seen]) -> Iterator[Reason]:
    """What a bound or a budget rests on and was not measured: nothing at all, or something inconclusive."""
    doubtful = [one for one in matched if one.verdict is Verdict.INCONCLUSIVE]
    for key, ones in _by_key(doubtful).items():
        judged = any(one.key == key and one.verdict is not Verdict.INCONCLUSIVE for one in matched)
        if not policy.decides(key.clause) and not (judged and policy.inconclusive == "unless-judged"):
            one = telling(ones)
            what = f"{key} is inconclusive in {one.run}, and the policy has {rule} for it: {one.finding['reason']}"
            yield about(one, doubt(policy), rule, what, f"run it again: {one.scenario['repro']}")
    if not any(one.finding["measured"] is not None for one in matched if one not in doubtful):
        what = f"nothing was measured of {place}, and the policy has {rule} for it"
        do = "give the gate a run that measures it, or correct clause, scenario, state and system of the rule"
        yield Reason(Answer.CANNOT_SAY, rule, what, do, clause=place.clause)


def _sum(ones: Sequence[Seen]) -> float:
    values = [(one.finding["measured"] or 0.0, one.finding["counted"]) for one in ones]
    if ones[0].finding["unit"] != "share":
        return sum(value for value, _ in values)
    counted = sum(count for _, count in values)
    return sum(value * count for value, count in values) / counted if counted else max(value for value, _ in values)
