"""Numbers against vacuity: what is missing, how much was judged, how often, and on how many faults it rests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from harness.gate._clauses import doubt, judged_in
from harness.gate._seen import Key, Seen, runs_of
from harness.gate.answer import Answer, Reason
from harness.gate.policy import Policy, named
from harness.report.shape import Run, Scenario
from harness.report.text import count
from harness.verdict import Verdict

Found = Mapping[Key, Sequence[Seen]]


def missing(policy: Policy, runs: Sequence[Run]) -> Iterator[Reason]:
    """What was planned and has no verdict, and runs in which nothing was judged."""
    if not runs:
        yield Reason(Answer.CANNOT_SAY, "least", "there is no run", "name a run, or run nats-harness run first")
    for run in runs:
        if not run["scenarios"]:
            what = f"nothing was judged in {run['run']} ({run['system']})"
            yield Reason(Answer.CANNOT_SAY, "least", what, "run it again", run["system"])
        elsewhere = [other for other in runs if other["run"] != run["run"]]
        for id_ in run["missing"]:
            told = policy.inconclusive == "unless-judged" and judged_in(elsewhere, run, id_)
            what = f"{id_} ({run['system']}) was planned in {run['run']} and has no verdict"
            do = "another run judged it" if told else f"run it again: nats-harness replay {run['run']} '{id_}'"
            answer = Answer.GO if told else doubt(policy)
            yield Reason(answer, "least", what, do, run["system"], id_)


def night(besides: Sequence[str]) -> Iterator[Reason]:
    """What a night left open: no policy lets it pass, as the night's own exit does not."""
    for sentence in besides:
        yield Reason(Answer.CANNOT_SAY, "night", sentence, "run the night again: nats-harness nightly")


def least(policy: Policy, runs: Sequence[Run]) -> Iterator[Reason]:
    """A reason for each number that is too small."""
    for system in policy.least.systems:
        if not any(run["system"] == system for run in runs):
            what = f"no run of {system} is here, and the policy asks for one"
            yield Reason(Answer.CANNOT_SAY, "least", what, f"run nats-harness run --system {system}", system)
    for value, bound, what in (
        (len(_scenarios(runs)), policy.least.scenarios, "scenario judged"),
        (len(_faults(runs)), policy.least.faults, "fault with evidence"),
    ):
        if value < bound and runs:
            says = f"{_counted(value, what)}, and the policy asks for {bound:,}"
            do = "give the gate the runs that are lacking, or lower the number in least"
            yield Reason(Answer.CANNOT_SAY, "least", says, do, value=value, bound=bound)


def repetitions(policy: Policy, found: Found) -> Iterator[Reason]:
    """A reason for each system of which clauses were judged in fewer runs than asked for."""
    asked = policy.repetitions.least
    few: dict[tuple[str, str], dict[Key, int]] = {}
    for key, ones in found.items():
        times = len(runs_of(one for one in ones if one.judged))
        bounded = any(one.finding["bound"] is not None or one.judged for one in ones)
        if asked > 1 and policy.decides(key.clause) and bounded and times < asked:
            few.setdefault((key.system, key.runtime), {})[key] = times
    for (system, runtime), keys in few.items():
        first, value = min(keys.items(), key=lambda pair: pair[1])
        what = (
            f"{first} was judged in {count(value, 'run')}, and the policy asks for {asked}"
            f"; so it is with {count(len(keys), 'clause and scenario', 'clauses and scenarios')} of {system}, {runtime}"
        )
        do = f"give the gate more runs: nats-harness rounds {asked} --system {system}"
        yield Reason(
            Answer.CANNOT_SAY, "repetitions", what, do, system, first.id, first.clause, value, asked, "runs"
        )  # fmt: skip


def never_judged(policy: Policy, found: Found) -> Iterator[Reason]:
    """A reason for each name in `must_hold` of which nothing was judged anywhere."""
    for name in policy.must_hold or ():
        if not any(one.judged for key, ones in found.items() if named(key.clause, (name,)) for one in ones):
            what = f"{name} must hold, and was judged in no scenario"
            do = "give the gate a run that judges it (see not_judged in its verdict.json), or take it out of must_hold"
            yield Reason(Answer.CANNOT_SAY, "must_hold", what, do, clause=name)


def rests_on(runs: Sequence[Run]) -> str:
    """The numbers that a decision rests on, as a sentence."""
    faults = {place for run in runs for scenario in run["scenarios"] for place in _places(run, scenario)}
    systems = ", ".join(dict.fromkeys(run["system"] for run in runs))
    offered = sum(scenario["operations"]["offered"] for run in runs for scenario in run["scenarios"])
    return (
        f"{count(len(runs), 'run')}{f' of {systems}' if systems else ''}; "
        f"{count(len(_scenarios(runs)), 'scenario')} judged, {len(_faults(runs))} of "
        f"{count(len(faults), 'fault')} with evidence, {count(offered, 'operation')} offered"
    )


def _counted(value: int, what: str) -> str:
    one, _, rest = what.partition(" ")
    return f"{count(value, one)} {rest}"


def _scenarios(runs: Sequence[Run]) -> set[tuple[str, str]]:
    """The scenarios of which something came out one way or the other, however often they were run."""
    return {
        (run["system"], scenario["id"])
        for run in runs
        for scenario in run["scenarios"]
        if any(
            finding["verdict"] == Verdict.VIOLATED
            or (finding["verdict"] == Verdict.HOLDS and finding["bound"] is not None)
            for finding in scenario["findings"]
        )
    }


def _faults(runs: Sequence[Run]) -> set[tuple[str, str, int]]:
    """The faults with evidence in one run at least."""
    return {
        place
        for run in runs
        for scenario in run["scenarios"]
        for place, fault in zip(_places(run, scenario), scenario["faults"], strict=True)
        if fault["bit"]
    }


def _places(run: Run, scenario: Scenario) -> list[tuple[str, str, int]]:
    return [(run["system"], scenario["id"], fault["id"]) for fault in scenario["faults"]]
