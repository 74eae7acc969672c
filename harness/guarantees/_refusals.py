"""What was answered while the broker was away from the entry, and with which words the entry refuses."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from harness.guarantees._base import LEAST_OPERATIONS, NS, Clause, inconclusive, names, promise
from harness.guarantees._facts import facts
from harness.guarantees._returns import WITHHELD, WORKING, effective_at, healed_at
from harness.history.reader import FaultSpan, History
from harness.history.rows import Operation, OpId, Outcome
from harness.verdict import Doubt, Finding, Verdict

ANSWERS = Clause("degrades.answers", "operations", needs=frozenset({"answers"}))
TOLD_APART = Clause("degrades.told_apart", "operations", needs=frozenset({"answers"}))
KINDS = frozenset({"http", "http-async"})
"""The kinds of workload whose answers tell why they refuse."""
SOONEST_S, LATEST_S = 1, 60
"""Between these a refusal's Retry-After must lie."""
NO_TYPE = "about:blank"
"""What RFC 9457 calls a problem that says no more than its status."""
_TOLD = re.compile(r"status \d+(?: (?!retry-after )(?P<type>\S+))?(?: retry-after (?P<after>.*))?")


class Away(NamedTuple):
    """A fault that took a provider from the entry, and from when until when."""

    span: FaultSpan
    from_ns: int
    to_ns: int

    def begun(self, operation: Operation) -> bool:
        """Whether an operation began meanwhile."""
        return self.from_ns <= operation.start_ns < self.to_ns


def away(history: History, *, broker: bool) -> list[Away]:
    """The faults that took a provider from the entry: the broker alone, or whatever the entry calls."""
    entry, brokers = history.meta["entry"], set(history.meta["brokers"])
    found = []
    for span in history.faults():
        links = [link for link in span.links if link[0] == entry and (not broker or link[1] in brokers)]
        if links and span.effective_ns is not None and span.kind not in WORKING:
            effects = [effective_at(span, link) for link in links]
            found.append(Away(span, max(effects), min(healed_at(span, link) for link in links)))
    return found


def offered(history: History) -> Iterator[Operation]:
    """The operations of the workloads whose answers tell why they refuse."""
    workloads = {name for name, told in history.meta["workloads"].items() if told["kind"] in KINDS}
    return (operation for operation in history.operations() if operation.workload in workloads)


def problem_type(operation: Operation) -> str:
    """The problem type of an answer; empty where it has none."""
    told = _TOLD.fullmatch(operation.error)
    kind = (told["type"] or "") if told else ""
    return "" if kind == NO_TYPE else kind


def typed(operation: Operation) -> bool:
    """Whether an operation was refused as it should be: status, problem type, and when to come back."""
    told = _TOLD.fullmatch(operation.error)
    after = (told["after"] or "") if told else ""
    soon = after.isdecimal() and SOONEST_S <= int(after) <= LATEST_S
    return operation.outcome is Outcome.FAIL and bool(problem_type(operation)) and soon


def answers(history: History, refusals: int) -> Finding:
    """Violated by what was begun while the broker was away, and was neither kept nor refused as it should be.

    Nothing can be said of refusals where fewer than `refusals` were.
    """
    spans = away(history, broker=True)
    if not spans:
        return not_asked(ANSWERS, "the broker was never away from the entry")
    ids = [one.span.id for one in spans]
    under = [operation for operation in offered(history) if any(one.begun(operation) for one in spans)]
    if len(under) < LEAST_OPERATIONS:
        return _too_little(ANSWERS, f"{len(under)} operations were offered while the broker was away", len(under), ids)
    lost, open_ = set(facts(history).lost.first), set(facts(history).undetermined.first)
    accepted = [operation for operation in under if operation.outcome is Outcome.OK]
    broken = [operation for operation in accepted if operation.id in lost]
    why = Counter({"accepted and lost": len(broken)})
    for operation in under:
        if operation.outcome is not Outcome.OK and not typed(operation):
            broken.append(operation)
            why[operation.error or "never answered"] += 1
    if not broken and (count := sum(operation.id in open_ for operation in accepted)):
        sentence = f"{count} accepted are open, and no last poll or read tells of them"
        return inconclusive(ANSWERS.name, Doubt.GAP, sentence, unit=ANSWERS.unit, counted=len(under), faults=ids)
    if not broken and (refused := len(under) - len(accepted)) < refusals:
        sentence = f"{refused} of {len(under)} were refused, and the scenario wants at least {refusals}"
        return _too_little(ANSWERS, sentence, len(under), ids)
    reason = f"{len(accepted)} of {len(under)} were accepted and kept"
    reason += ", and each of the others refused by type" if len(accepted) < len(under) else ""
    if broken:
        told = ", ".join(f"{count} {what}" for what, count in why.most_common() if count)
        reason = f"of {len(under)} offered while the broker was away: {told}"
    return by_count(history, ANSWERS, [operation.id for operation in broken], len(under), reason, ids)


def told_apart(history: History) -> Finding:
    """Violated by answers without a type while the broker is away, and by failing queries with the type of most."""
    spans = away(history, broker=True)
    if not spans:
        return not_asked(TOLD_APART, "the broker was never away from the entry")
    ids, all_ = [one.span.id for one in spans], list(offered(history))
    said = [one for one in all_ if one.status and any(span.begun(one) for span in spans)]
    if len(said) < LEAST_OPERATIONS:
        return _too_little(TOLD_APART, f"{len(said)} were answered while the broker was away", len(said), ids)
    refused = [operation for operation in said if operation.outcome is not Outcome.OK]
    types = Counter(map(problem_type, refused))
    brokers = max(types, key=lambda kind: (types[kind], kind), default="")
    untyped = [operation.id for operation in refused if not problem_type(operation)]
    before = min(0 if one.span.kind == WITHHELD else one.span.asked_ns for one in spans)
    after = max(one.to_ns for one in spans) + _rest_ns(history)
    failing = [
        operation
        for operation in all_
        if operation.outcome is Outcome.FAIL and _at_other_times(operation, before, after) and problem_type(operation)
    ]
    alike = [operation.id for operation in failing if brokers and problem_type(operation) == brokers]
    told = f"{len(refused)} were no promise, each with its type" if refused else "each was a promise"
    reason = f"of {len(said)} answers while the broker was away {told}"
    reason += f"; at other times {len(failing)} failed, with other types" if failing else ""
    if untyped or alike:
        parts = [f"{len(untyped)} of {len(said)} answers while the broker was away have no type"] if untyped else []
        parts += [f"at other times {len(alike)} failed with the same type, {brokers}"] if alike else []
        reason = "; ".join(parts)
    return by_count(history, TOLD_APART, [*untyped, *alike], len(said) + len(failing), reason, ids)


def _at_other_times(operation: Operation, before_ns: int, after_ns: int) -> bool:
    """Whether it was over before that time, or began after it: the broker may go while somebody waits."""
    return operation.start_ns > after_ns or (operation.end_ns is not None and operation.end_ns < before_ns)


def _rest_ns(history: History) -> int:
    """How long after its return an answer may still be about the broker's absence."""
    return int(max(promise(history, "works_s"), promise(history, "drains_s")) * NS)


def not_asked(clause: Clause, why: str) -> Finding:
    """A clause that does not apply: it holds, without a bound."""
    return Finding(clause.name, Verdict.HOLDS, unit=clause.unit, reason=f"not asked: {why}")


def by_count(
    history: History, clause: Clause, offenders: Sequence[OpId], counted: int, reason: str, faults: Sequence[int]
) -> Finding:
    """A finding that is violated by any offender."""
    ops, verdict = sorted(offenders), Verdict.VIOLATED if offenders else Verdict.HOLDS
    return Finding(
        clause.name, verdict, 0, len(ops), clause.unit, counted, reason, names(history, ops), len(ops), faults
    )


def _too_little(clause: Clause, sentence: str, counted: int, faults: Sequence[int]) -> Finding:
    return inconclusive(
        clause.name, Doubt.TOO_LITTLE, sentence, bound=0, unit=clause.unit, counted=counted, faults=faults
    )
