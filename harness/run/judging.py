"""A scenario's verdict: a pure function of its history.

It is what a run does at its end, and what `nats-harness judge` does again, byte for byte the same.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness import whole
from harness.guarantees import judge
from harness.guarantees._base import NS, end_ns
from harness.history.reader import FaultSpan, History
from harness.history.rows import Outcome
from harness.history.shown import REDACTED, escaped, without_credentials
from harness.system.loader import secrets
from harness.system.model import SystemFile
from harness.verdict import Expectation, Finding, merge

JSON = dict[str, Any]
SCHEMA = 1
TAB = "\t"


def judge_scenario(folder: Path) -> JSON:
    """Judges the history in `folder`/history and writes `folder`/verdict.json; returns what it wrote."""
    verdict = _verdict(History.open(folder / "history", still=True))
    whole.write_text(folder / "verdict.json", json.dumps(verdict, indent=1) + "\n", synced=True)
    return verdict


def _verdict(history: History) -> JSON:
    meta = history.meta
    findings, not_judged = judge(history)
    expectation = Expectation(meta["exposes"])
    unexpected = expectation.unexpected(findings)
    start = _load_start(history)
    return {
        "schema": SCHEMA,
        "id": meta["id"],
        "says": meta.get("says", ""),
        "scenario": meta["scenario"],
        "state": meta["state"],
        "expect": meta["expect"],
        "verdict": str(merge(finding.verdict for finding in findings if not finding.only_measured)),
        "as_expected": not unexpected,
        "unexpected": str(merge(verdict for verdict, _ in unexpected)) if unexpected else "",
        "reasons": [reason for _, reason in unexpected],
        "seconds": _seconds(history),
        "cost": _cost(history),
        "repro": meta["repro"],
        "operations": _operations(history),
        "faults": [_fault(span, start) for span in history.faults()],
        "findings": [_finding(finding) for finding in findings],
        "reproduced": expectation.reproduced(findings),
        "exposes": dict(meta["exposes"]),
        "not_judged": dict(not_judged),
        "ended": _ended(history, start),
        "troubles": [{"name": t["name"], "detail": str(t.get("detail", ""))} for t in history.troubles()],
        "versions": dict(meta["versions"]),
    }


def _load_start(history: History) -> int:
    started = [line["t_ns"] for line in history.lines("load") if line["event"] == "started"]
    return started[0] if started else int(history.meta["began_ns"])


def _seconds(history: History) -> float:
    return round((end_ns(history) - int(history.meta["began_ns"])) / NS, 3)


def _cost(history: History) -> Mapping[str, float]:
    """Seconds by phase, in the order met; windows and waits are what the scenario itself asked for."""
    cost: Counter[str] = Counter()
    for line in history.lines("phase"):
        cost[line["name"]] += line["t_ns"] - line["from_ns"]
    return {name: round(ns / NS, 3) for name, ns in cost.items()}


def _operations(history: History) -> Mapping[str, int]:
    outcomes = Counter(operation.outcome for operation in history.operations())
    return {"offered": sum(outcomes.values()), **{str(outcome): outcomes[outcome] for outcome in Outcome}}


def _fault(span: FaultSpan, start: int) -> JSON:
    def since(t_ns: int | None) -> float | None:
        return None if t_ns is None else round((t_ns - start) / NS, 4)

    return {
        "id": span.id,
        "kind": span.kind,
        "target": span.target,
        "how": span.how,
        "asked": since(span.asked_ns),
        "effective": since(span.effective_ns),
        "healed": since(span.healed_ns),
        "bit": span.bit,
        "evidence": dict(span.evidence),
    }


def _ended(history: History, start: int) -> list[str]:
    """The nodes that ended though nobody asked them to, in words."""
    return [
        f"{line['node']} ended by itself at {(line['t_ns'] - start) / NS:+.1f} s, with "
        + (f"code {line['code']}" if "code" in line else f"signal {line['signal']}")
        for line in history.lines("node")
        if line["event"] == "exited" and not line["expected"]
    ]


def _finding(finding: Finding) -> JSON:
    data = asdict(finding)
    data["verdict"] = str(finding.verdict)
    data["measured"] = None if finding.measured is None else round(finding.measured, 6)
    return {key: list(value) if isinstance(value, tuple) else value for key, value in data.items()}


def keep(folder: Path, system: SystemFile) -> None:
    """What the folder holds beside the verdict: the history in columns, each node's output, the system file.

    The output has its controls as escapes, so that no terminal obeys them; the system file is without its secrets.
    Raises OSError where there is no room: the history is then as it was recorded.
    """
    from harness.history.compact import compact

    logs = folder / "logs"
    logs.mkdir(exist_ok=True)
    history = History.open(folder / "history", still=True)
    lines: dict[str, list[str]] = {}
    start = int(history.meta["began_ns"])
    for line in history.lines("output"):
        text = escaped(line["text"], keeping=TAB)
        lines.setdefault(line["node"], []).append(f"{(line['t_ns'] - start) / NS:9.3f} {text}\n")
    for node, texts in lines.items():
        (logs / f"{node}.log").write_text("".join(texts), encoding="utf-8")
    (folder / "system.toml").write_text(without_secrets(system), encoding="utf-8")
    compact(folder / "history")


def without_secrets(system: SystemFile) -> str:
    """The text of a system file, as a run keeps it."""
    text = system.path.read_text("utf-8")
    for secret in sorted(secrets(system, {}), key=len, reverse=True):
        text = text.replace(secret, REDACTED)
    return without_credentials(text)
