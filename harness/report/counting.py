"""A night's runs as they count: what was asked again stands for what noise had kept from being judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.verdict import Verdict, exit_code, merge

JSON = Mapping[str, Any]


def counted(nightly: JSON, verdicts: Sequence[JSON]) -> list[JSON]:
    """The verdicts of a night, each scenario once: in the run that counts. `nightly` is nightly.json."""
    by_name = {verdict["run"]: verdict for verdict in verdicts}
    found = []
    for run in nightly["runs"]:
        first, again = by_name.get(run["run"]), run.get("again")
        second = by_name.get(again["run"]) if again else None
        if first is not None and again and second is not None:
            first = _without(first, again["scenarios"])
        found += [verdict for verdict in (first, second) if verdict is not None]
    return found


def besides(nightly: JSON, verdicts: Sequence[JSON]) -> Iterator[str]:
    """What counts in a night and is in no verdict: a run that left none, one interrupted, what was left unproven."""
    names = {verdict["run"] for verdict in verdicts}
    for run in nightly["runs"]:
        for one in (run, *([run["again"]] if "again" in run else [])):
            if one["run"] not in names:
                yield f"a run of {run['system']} left no verdict (exit {one['exit']})"
            elif one["exit"] not in (0, 1, 2):
                yield f"the run {one['run']} of {run['system']} was interrupted (exit {one['exit']})"
    yield from nightly.get("unproven", ())


def _without(verdict: JSON, again: Sequence[str]) -> JSON | None:
    """A run without scenarios that were all that was wrong with it; None where nothing is left."""
    kept = [scenario for scenario in verdict["scenarios"] if scenario["id"] not in again]
    if not kept:
        return None
    reasons = [reason for reason in verdict["reasons"] if not reason.startswith(tuple(f"{id_}: " for id_ in again))]
    wrong = [Verdict(scenario["verdict"]) for scenario in kept if not scenario["as_expected"]]
    code = exit_code(wrong, judged=len(kept), missing=len(verdict["missing"]))
    return {
        **verdict,
        "scenarios": kept,
        "verdict": str(merge(Verdict(scenario["verdict"]) for scenario in kept)),
        "as_expected": code == 0,
        "exit": code,
        "reasons": [*reasons, f"asked again, alone: {', '.join(again)}"],
    }
