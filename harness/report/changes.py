"""What changed since the baseline: verdicts, times, versions, and which scenarios there are. It decides nothing.

What a gate makes of it is said by the gate, which has a policy; here one run stands beside what was accepted before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from harness.report.shape import Finding, Run
from harness.report.text import TIMES, quantity
from harness.verdict import Verdict

SHIFT_SHARE, SHIFT_S = 0.25, 0.1
"""A time has changed by this share of the baseline's median, and by so many seconds: what is less comes by chance."""

Place = tuple[str, str]
"""A scenario's id and a clause."""


class Turned(NamedTuple):
    """A clause that came out otherwise: in the baseline so often `was`, now `now`."""

    scenario: str
    clause: str
    was: str
    now: str


class Shifted(NamedTuple):
    """A time that is another than the baseline's median, with their difference; `later`: it takes longer."""

    scenario: str
    clause: str
    was: str
    now: str
    by: str
    later: bool


@dataclass(frozen=True, slots=True)
class Changes:
    """One run beside the `runs` of the baseline that are of its system and runtime; of none: nothing to compare."""

    runs: Sequence[str] = ()
    turned: Sequence[Turned] = ()
    shifted: Sequence[Shifted] = ()
    new: Sequence[str] = ()
    gone: Sequence[str] = ()
    versions: Sequence[tuple[str, str, str]] = ()
    """Name, then, now."""

    @property
    def none(self) -> bool:
        """Whether all is as it was."""
        return not (self.turned or self.shifted or self.new or self.gone or self.versions)


def since(run: Run, baseline: Sequence[Run]) -> Changes:
    """What changed; runs of another system or runtime, and the run itself, are not compared with."""
    before = [
        one
        for one in baseline
        if (one["system"], one["runtime"]) == (run["system"], run["runtime"]) and one["run"] != run["run"]
    ]
    if not before:
        return Changes()
    now, then = _findings([run]), _findings(before)
    ids, were = {place[0] for place in now}, {place[0] for place in then}
    last = max(before, key=lambda one: one["started"])["versions"]
    return Changes(
        runs=[one["run"] for one in before],
        turned=list(_turned(now, then)),
        shifted=sorted(_shifted(now, then), key=lambda one: (not one.later, one.scenario, one.clause)),
        new=sorted(ids - were),
        gone=sorted(were - ids),
        versions=[
            (name, last.get(name, "none"), run["versions"].get(name, "none"))
            for name in sorted({*last, *run["versions"]})
            if last.get(name) != run["versions"].get(name)
        ],
    )


def _findings(runs: Sequence[Run]) -> dict[Place, list[Finding]]:
    found: dict[Place, list[Finding]] = {}
    for run in runs:
        for scenario in run["scenarios"]:
            for finding in scenario["findings"]:
                found.setdefault((scenario["id"], finding["clause"]), []).append(finding)
    return found


def _turned(now: Mapping[Place, list[Finding]], then: Mapping[Place, list[Finding]]) -> Iterator[Turned]:
    for place in now.keys() & then.keys():
        verdict, before = now[place][0]["verdict"], [one["verdict"] for one in then[place]]
        if verdict not in before:
            usual = max(before, key=before.count)
            yield Turned(*place, f"{usual} in {before.count(usual)} of {len(before)}", verdict)


def _shifted(now: Mapping[Place, list[Finding]], then: Mapping[Place, list[Finding]]) -> Iterator[Shifted]:
    for place in now.keys() & then.keys():
        finding = now[place][0]
        value, unit = finding["measured"], finding["unit"]
        earlier = [one["measured"] for one in then[place] if _held(one) and one["measured"] is not None]
        if unit not in TIMES or value is None or not earlier or not _held(finding):
            continue
        was = median(earlier)
        if abs(value - was) > max(SHIFT_SHARE * was, SHIFT_S * (1000 if unit == "ms" else 1)):
            by = f"{'+' if value > was else '-'}{quantity(abs(value - was), unit)}"
            yield Shifted(*place, quantity(was, unit), quantity(value, unit), by, value > was)


def _held(finding: Finding) -> bool:
    return finding["verdict"] == Verdict.HOLDS
