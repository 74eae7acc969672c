"""Guarantees: what must hold. One file a guarantee, each pure over a History; `judge` asks them all.

no_loss, no_phantoms, effects and available are always asked, core_loss where there is such work; a scenario's `expect`
lines add to them.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence

from harness.guarantees import available, core_loss, effects, no_loss, no_phantoms
from harness.guarantees._base import REGISTRY, Guarantee, clause_names, judged_clauses
from harness.guarantees._doubts import tainted
from harness.guarantees._facts import facts
from harness.history.reader import History
from harness.verdict import Finding

__all__ = ["REGISTRY", "clause_names", "judge", "judged_clauses"]

ALWAYS: tuple[Guarantee, ...] = (
    no_loss.NoLoss(),
    no_phantoms.NoPhantoms(),
    effects.Effects(),
    available.Available(hangs=None),  # measured; judged once a scenario expects it
)
for _module in pkgutil.iter_modules(__path__):
    if not _module.name.startswith("_"):
        importlib.import_module(f"{__name__}.{_module.name}")  # so that REGISTRY knows it


def judge(history: History) -> tuple[Sequence[Finding], Mapping[str, str]]:
    """All findings of a history, and what was not judged: guarantee or clause to the line that the file would need."""
    asked: dict[str, Guarantee] = {always.name: always for always in ALWAYS}
    if any(workload["kind"] == "core" for workload in history.meta["workloads"].values()):
        asked[core_loss.CoreLoss.name] = core_loss.CoreLoss()
    for line in history.lines("expect"):
        asked[line["guarantee"]] = REGISTRY[line["guarantee"]](**line["bounds"])
    findings: list[Finding] = []
    not_judged: dict[str, str] = {}
    sources = set(history.meta["sources"])
    twice = facts(history).refs_twice
    for guarantee in asked.values():
        lacking = sorted(guarantee.needs - sources)
        if lacking:
            not_judged[guarantee.name] = history.meta["lines_to_add"][lacking[0]]
            continue
        clauses = {clause.name: clause for clause in guarantee.clauses}
        for name, clause in clauses.items():
            for source in sorted(clause.needs - sources):
                not_judged[name] = history.meta["lines_to_add"][source]
        findings += [
            tainted(history, finding, clauses[finding.clause], refs_twice=twice)
            for finding in guarantee.judge(history)
            if finding.clause not in not_judged
        ]
    return findings, not_judged
