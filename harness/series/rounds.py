"""One system judged again and again: how often each clause held, and how narrowly."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import launching, plan
from harness.verdict import worst_exit

JSON = dict[str, Any]


def rounds(reports: Path, count: int, asked: launching.Asked, runtimes: Sequence[str]) -> int:
    """Judges COUNT times in each runtime; writes rounds.json; the worst exit."""
    clauses: dict[tuple[str, str, str], list[JSON]] = defaultdict(list)
    alarms: list[str] = []
    codes = []
    for number, runtime in enumerate((*runtimes,) * count, start=1):
        print(f"\nround {number} of {count * len(runtimes)}, {runtime}", flush=True)
        folder, code = launching.launch(replace(asked, runtime=runtime), reports)
        codes.append(code)
        if folder is None or code == launching.INTERRUPTED:
            break
        verdict = json.loads((folder / "verdict.json").read_text("utf-8"))
        for found in verdict["scenarios"]:
            for finding in found["findings"]:
                clauses[runtime, found["id"], finding["clause"]].append(finding)
        alarms += [f"{folder.name}: {reason}" for reason in verdict["reasons"] if not verdict["as_expected"]]
    table = [
        {
            "runtime": runtime,
            "scenario": scenario,
            "clause": clause,
            "holds": sum(found["verdict"] == "holds" for found in findings),
            "of": len(findings),
            "smallest_margin": _margin(findings),
            "unit": findings[0]["unit"],
        }
        for (runtime, scenario, clause), findings in sorted(clauses.items())
    ]
    summary = {
        "system": asked.system,
        "rounds": len(codes),
        "exits": codes,
        "alarms": alarms,
        "clauses": table,
    }
    plan.write_json(reports / "rounds.json", summary)
    print(f"{len(codes)} rounds, {len(alarms)} alarms; written: {reports / 'rounds.json'}")
    return worst_exit(codes)


def _margin(findings: Sequence[JSON]) -> float | None:
    margins = [f["bound"] - f["measured"] for f in findings if f["bound"] is not None and f["measured"] is not None]
    return round(min(margins), 4) if margins else None
