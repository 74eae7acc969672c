"""What runs saw, clause by clause: the only way in which the rules look at verdicts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from harness.report.shape import Finding, Run, Scenario
from harness.report.text import TIMES
from harness.verdict import Expectation, Verdict
from harness.verdict import Finding as Judged


class Key(NamedTuple):
    """One clause of one scenario in one state of one system; runs repeat it."""

    system: str
    runtime: str
    id: str
    clause: str

    def __str__(self) -> str:
        return f"{self.clause} of {self.id} ({self.system})"


@dataclass(frozen=True, slots=True)
class Seen:
    """One finding, and where it comes from."""

    key: Key
    run: str
    scenario: Scenario
    finding: Finding

    @property
    def verdict(self) -> Verdict:
        """What it came out as."""
        return Verdict(self.finding["verdict"])

    @property
    def timed(self) -> bool:
        """It is a time, and no count: what is lost once is lost."""
        return self.finding["unit"] in TIMES

    @property
    def judged(self) -> bool:
        """It has a bound, and came out one way or the other."""
        return self.verdict is Verdict.VIOLATED or (self.verdict is Verdict.HOLDS and self.finding["bound"] is not None)


def once(runs: Iterable[Run]) -> list[Run]:
    """The runs, each once: the same one given twice is no repetition."""
    return list({run["run"]: run for run in runs}.values())


def seen(runs: Iterable[Run]) -> dict[Key, list[Seen]]:
    """Every finding of scenarios in which all must hold, in the order of the runs.

    A scenario that is there to show a weakness is judged as a whole (`unexpected`).
    """
    found: defaultdict[Key, list[Seen]] = defaultdict(list)
    for run in runs:
        for scenario in run["scenarios"]:
            if not scenario["exposes"]:
                for finding in scenario["findings"]:
                    key = Key(run["system"], run["runtime"], scenario["id"], finding["clause"])
                    found[key].append(Seen(key, run["run"], scenario, finding))
    return dict(found)


def runs_of(found: Iterable[Seen]) -> list[str]:
    """The runs that they come from, each once."""
    return list(dict.fromkeys(one.run for one in found))


def telling(found: Sequence[Seen]) -> Seen:
    """The one that says most: the largest value, and one without a value before all (it never came)."""
    values = (float("inf") if one.finding["measured"] is None else one.finding["measured"] for one in found)
    return max(zip(values, found, strict=True), key=lambda pair: pair[0])[1]


def times(found: Mapping[Key, Sequence[Seen]]) -> dict[Key, dict[str, float]]:
    """The values of each time that held, one a run (the largest), by the run.

    What was violated or inconclusive is decided by itself and is no sample.
    """
    values: dict[Key, dict[str, float]] = {}
    for key, ones in found.items():
        for one in ones:
            measured = one.finding["measured"]
            if one.timed and one.verdict is Verdict.HOLDS and measured is not None:
                by_run = values.setdefault(key, {})
                by_run[one.run] = max(by_run.get(one.run, measured), measured)
    return values


def unexpected(scenario: Scenario) -> list[tuple[Verdict, str]]:
    """What is not as expected of a scenario, as the run that judged it has it."""
    findings = [
        Judged(one["clause"], Verdict(one["verdict"]), one["bound"], reason=one["reason"])
        for one in scenario["findings"]
    ]
    return Expectation(scenario["exposes"]).unexpected(findings)
