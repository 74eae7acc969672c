"""What became slower than in the baseline: recovery times and latencies, each scenario and clause by itself.

A time is worse where both are so: its values rank higher than one would be dealt them by chance, and its median is
later by more than the least shift. Losses are not compared, for a loss is never averaged: each is a violation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import median

from harness.gate import rank
from harness.gate._seen import Key, Seen, runs_of, seen, times
from harness.gate.answer import Answer, Reason, measured
from harness.gate.policy import Policy, Regression, named
from harness.report.shape import Run
from harness.report.text import count, number
from harness.verdict import Verdict

Found = Mapping[Key, Sequence[Seen]]
Values = Mapping[Key, Mapping[str, float]]


def regressions(policy: Policy, found: Found, runs: Sequence[Run], baseline: Sequence[Run]) -> Iterator[Reason]:
    """A reason for each time that is worse, and for what could not be compared; nothing where no policy asks.

    A run of the baseline that is among `runs` is not compared with itself.
    """
    rule = policy.regression
    if rule is None:
        return
    names = {run["run"] for run in runs}
    for system, runtime in dict.fromkeys((run["system"], run["runtime"]) for run in runs):
        ours = [run for run in runs if (run["system"], run["runtime"]) == (system, runtime)]
        there = [run for run in baseline if (run["system"], run["runtime"]) == (system, runtime)]
        before = [run for run in there if run["run"] not in names]
        here = {key: ones for key, ones in found.items() if (key.system, key.runtime) == (system, runtime)}
        if not before:
            none = "the baseline has none but these runs" if there else "there is no baseline"
            what = f"{none} of {system}, {runtime}, to compare with"
            do = "accept runs that were good: nats-harness baseline accept RUN"
            yield Reason(_too_few(rule), "regression", what, do, system)
        else:
            yield from _compared(policy, rule, here, seen(before), _changes(ours, before))
            yield from _vanished(policy, here, seen(before))


def _compared(policy: Policy, rule: Regression, here: Found, before: Found, changed: str) -> Iterator[Reason]:
    now, then = times(here), times(before)
    few: dict[tuple[int, int, bool], list[Key]] = {}
    for key in dict.fromkeys([*now, *then]):
        if (rule.clauses and not named(key.clause, rule.clauses)) or _decided(policy, here.get(key, ())):
            continue
        values, earlier = list(now.get(key, {}).values()), list(then.get(key, {}).values())
        if min(len(values), len(earlier)) < rule.samples:
            held = min(_held(here.get(key, ())), _held(before.get(key, ()))) >= rule.samples
            few.setdefault((len(values), len(earlier), held), []).append(key)
        else:
            yield from _worse(rule, key, _unit(here[key]), values, earlier, changed)
    for (values_, earlier_, held), keys in few.items():
        reason = _few(rule, keys, values_, earlier_)
        why = f"{reason.what}; it held in as many runs, without a time to measure"
        yield replace(reason, answer=Answer.GO, what=why, do="") if held else reason


def _worse(
    rule: Regression, key: Key, unit: str, now: Sequence[float], before: Sequence[float], changed: str
) -> Iterator[Reason]:
    scale = 1000.0 if unit == "ms" else 1.0
    was = median(before)
    least = max(rule.shift_share * was, rule.shift_s * scale)
    later = rank.shift(now, before)
    if later <= least:
        return
    by_chance = rank.chance(now, before)
    if by_chance > rule.chance:
        return
    what = (
        f"{key} is worse than in the baseline: the median of {len(now)} runs is {measured(was + later, unit)}, "
        f"that of the baseline's {len(before)} {measured(was, unit)}: {measured(later, unit)} later, at most "
        f"{measured(least, unit)} is let pass; by chance that comes once in {number(round(1 / by_chance))} times"
        f"{changed}"
    )
    do = "mend what made it slower, or accept the new times: nats-harness baseline accept RUN"
    yield Reason(
        Answer.NO_GO, "regression", what, do, key.system, key.id, key.clause, was + later, was + least, unit
    )  # fmt: skip


def _few(rule: Regression, keys: Sequence[Key], now: int, before: int) -> Reason:
    first = keys[0]
    more = f"; so it is with {count(len(keys), 'time')} of {first.system}, {first.runtime}" if len(keys) > 1 else ""
    what = (
        f"{first} has too few to compare: {count(now, 'value')} in these runs and {before} in the baseline, "
        f"{rule.samples} of each are needed{more}"
    )
    lacking = []
    if now < rule.samples:
        lacking.append(f"give the gate {rule.samples} runs (nats-harness rounds {rule.samples})")
    if before < rule.samples:
        lacking.append("accept more runs that were good (nats-harness baseline accept RUN)")
    return Reason(
        _too_few(rule), "too few", what, " and ".join(lacking), first.system, first.id, first.clause,
        min(now, before), rule.samples, "values",
    )  # fmt: skip


def _vanished(policy: Policy, here: Found, before: Found) -> Iterator[Reason]:
    """What the baseline judged and these runs do not know: a scenario that is gone holds nothing."""
    gone = [
        key
        for key, ones in before.items()
        if key not in here and policy.decides(key.clause) and any(one.judged for one in ones)
    ]
    if gone:
        more = f", and {count(len(gone) - 1, 'more', 'more')}" if len(gone) > 1 else ""
        what = f"{gone[0]} was judged in the baseline, and in none of these runs{more}"
        do = "give the gate whole runs; if it is gone for good, accept a new baseline and remove the old one"
        yield Reason(
            Answer.CANNOT_SAY, "regression", what, do, gone[0].system, gone[0].id, gone[0].clause
        )  # fmt: skip


def _decided(policy: Policy, ones: Sequence[Seen]) -> bool:
    """Whether every finding of it is violated or, where that is decided, inconclusive: there is no time to compare."""
    return bool(ones) and all(
        one.verdict is Verdict.VIOLATED or (one.verdict is Verdict.INCONCLUSIVE and policy.decides(one.key.clause))
        for one in ones
    )


def _held(ones: Sequence[Seen]) -> int:
    """In how many runs it held, whether there was a time to measure or not."""
    return len(runs_of(one for one in ones if one.verdict is Verdict.HOLDS))


def _unit(ones: Sequence[Seen]) -> str:
    return ones[0].finding["unit"]


def _too_few(rule: Regression) -> Answer:
    return Answer.GO if rule.too_few == "reported" else Answer.CANNOT_SAY


def _changes(runs: Sequence[Run], before: Sequence[Run]) -> str:
    """Which versions are not those of the baseline's last run."""
    last, first = max(before, key=lambda run: run["started"]), runs[0]
    changed = [
        f"{name} {last['versions'].get(name, 'none')} to {version}"
        for name, version in first["versions"].items()
        if last["versions"].get(name) != version
    ]
    return f" (changed since: {', '.join(changed)})" if changed else ""
