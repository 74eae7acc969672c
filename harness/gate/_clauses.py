"""What was violated or inconclusive, which weaknesses are known, and which had to show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date

from harness.gate._seen import Key, Seen, runs_of, telling, unexpected
from harness.gate.answer import Answer, Reason, measured
from harness.gate.policy import Known, Policy
from harness.report.shape import Finding, Run, Scenario
from harness.report.text import plain
from harness.verdict import Verdict

Found = Mapping[Key, Sequence[Seen]]
LONGEST = 300
"""Characters of what was seen that a sentence holds, so that what to do is never cut off."""


def judged(policy: Policy, found: Found, today: date) -> Iterator[Reason]:
    """A reason for each clause that must hold and did not, in one run or more."""
    for key, ones in found.items():
        if not policy.decides(key.clause):
            violated = [one for one in ones if one.verdict is Verdict.VIOLATED]
            if violated:
                yield _told(key, violated, "must_hold", "it is not among what must hold")
            continue
        violated = [one for one in ones if one.verdict is Verdict.VIOLATED]
        if violated:
            yield _violated(policy, key, ones, violated, today)
        doubtful = [one for one in ones if one.verdict is Verdict.INCONCLUSIVE]
        if doubtful:
            yield _inconclusive(policy, key, ones, doubtful)


def known(policy: Policy, one: Seen) -> list[Known]:
    """The weaknesses of the policy that this finding is a sign of."""
    scenario = one.scenario
    place = (one.key.clause, scenario["scenario"], scenario["state"], one.key.system)
    return [weakness for weakness in policy.known if weakness.matches(*place)]


def excused(policy: Policy, one: Seen, today: date) -> Known | None:
    """The known weakness, not yet expired, that this finding is a sign of."""
    return next((weakness for weakness in known(policy, one) if today <= weakness.expires), None)


def _violated(policy: Policy, key: Key, ones: Sequence[Seen], violated: Sequence[Seen], today: date) -> Reason:
    worst = telling(violated)
    weakness = excused(policy, worst, today)
    if weakness is not None:
        why = f"it is known until {weakness.expires} ({weakness.owner}: {weakness.reason})"
        return _told(key, violated, "known", why)
    failed, asked = runs_of(violated), runs_of(one for one in ones if one.judged)
    if worst.timed and len(failed) <= policy.repetitions.may_fail:
        why = f"{len(failed)} of {len(asked)} runs, and {policy.repetitions.may_fail} may fail"
        return _told(key, violated, "repetitions", why)
    expired = known(policy, worst)
    do = f"run it again ({worst.scenario['repro']}), then mend it, or name it in the policy as known"
    rule, why = "violated", ""
    if expired:
        last = max(expired, key=lambda weakness: weakness.expires)
        rule, why = "expired", f"; the known weakness expired on {last.expires} (owner {last.owner}: {last.reason})"
        do = f"ask {last.owner} to mend it, or to give it a new date and a reason for that"
    return about(worst, Answer.NO_GO, rule, f"{_says(key, violated)}{why}", do)


def _inconclusive(policy: Policy, key: Key, ones: Sequence[Seen], doubtful: Sequence[Seen]) -> Reason:
    worst = telling(doubtful)
    if policy.inconclusive == "unless-judged" and {one.run for one in ones if one.judged} - set(runs_of(doubtful)):
        return _told(key, doubtful, "inconclusive", "another run judged it")
    do = f"run it again on a quieter machine, or see to what it says: {worst.scenario['repro']}"
    return about(worst, doubt(policy), "inconclusive", _says(key, doubtful), do)


def weaknesses(policy: Policy, runs: Sequence[Run]) -> Iterator[Reason]:
    """Scenarios that had to show a weakness and did not, and those in which nothing held and nothing was in doubt.

    A violation alone is no reason to call a scenario judged, since it may be one that the policy knows of.
    """
    for run in runs:
        elsewhere = [other for other in runs if other["run"] != run["run"]]
        for scenario in run["scenarios"]:
            wrong = unexpected(scenario) if scenario["exposes"] else []
            if not scenario["exposes"] and not any(map(_says_something, scenario["findings"])):
                wrong = [(Verdict.INCONCLUSIVE, "nothing was judged")]
            for verdict, sentence in wrong:
                made_up_for = policy.inconclusive == "unless-judged" and judged_in(elsewhere, run, scenario["id"])
                doubted = Answer.GO if made_up_for else doubt(policy)
                answer = Answer.NO_GO if verdict is Verdict.VIOLATED else doubted
                yield _unexpected(answer, run, scenario, sentence)


def _says_something(finding: Finding) -> bool:
    return finding["verdict"] == Verdict.INCONCLUSIVE or (
        finding["verdict"] == Verdict.HOLDS and finding["bound"] is not None
    )


def _unexpected(answer: Answer, run: Run, scenario: Scenario, sentence: str) -> Reason:
    rule = "weaknesses" if scenario["exposes"] else "inconclusive"
    troubles = scenario["troubles"] if not scenario["findings"] else []
    why = f" ({plain(troubles[0]['detail'], longest=LONGEST)})" if troubles else ""
    what = f"{scenario['id']} ({run['system']}): {plain(sentence, longest=LONGEST)}{why}"
    return Reason(answer, rule, what, f"run it again: {scenario['repro']}", run["system"], scenario["id"])


def judged_in(runs: Sequence[Run], like: Run, id_: str) -> bool:
    """Whether one of `runs`, of the same system and runtime, judged that scenario with nothing inconclusive left."""
    return any(
        scenario["id"] == id_ and not any(verdict is Verdict.INCONCLUSIVE for verdict, _ in unexpected(scenario))
        for run in runs
        if (run["system"], run["runtime"]) == (like["system"], like["runtime"])
        for scenario in run["scenarios"]
    )


def unused(policy: Policy, found: Found) -> Iterator[Reason]:
    """Known weaknesses that do not show in these runs: told, so that the policy does not outlive them."""
    for weakness in policy.known:
        ones = [one for several in found.values() for one in several if weakness in known(policy, one)]
        if not any(one.verdict is Verdict.VIOLATED for one in ones):
            seen_so = "was not judged here" if not any(one.judged for one in ones) else "does not show any more"
            do = "" if not ones else f"ask {weakness.owner} whether it can leave the policy"
            what = f"the known weakness {weakness} {seen_so}"
            yield Reason(Answer.GO, "known", what, do, clause=weakness.clause)


def doubt(policy: Policy) -> Answer:
    """What inconclusive means by the policy."""
    return Answer.NO_GO if policy.inconclusive == "no-go" else Answer.CANNOT_SAY


def _says(key: Key, ones: Sequence[Seen]) -> str:
    """The clause, the scenario, in how many runs, the value, the bound, and what was seen."""
    worst = telling(ones)
    finding = worst.finding
    values = f"{measured(finding['measured'], finding['unit'])}, bound {measured(finding['bound'], finding['unit'])}"
    runs = runs_of(ones)
    where = f"in {len(runs)} runs, {worst.run} the worst" if len(runs) > 1 else f"in {worst.run}"
    return f"{key} is {finding['verdict']} {where}: {values}: {plain(finding['reason'], longest=LONGEST)}"


def _told(key: Key, ones: Sequence[Seen], rule: str, why: str) -> Reason:
    return about(telling(ones), Answer.GO, rule, f"{_says(key, ones)}; {why}")


def about(one: Seen, answer: Answer, rule: str, what: str, do: str = "") -> Reason:
    """A reason that is about this finding."""
    key, finding = one.key, one.finding
    value, bound = finding["measured"], finding["bound"]
    return Reason(answer, rule, what, do, key.system, key.id, key.clause, value, bound, finding["unit"])
