"""Runs the small system of the controls once, broken for real, and asks what came of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import Run
from harness.history.reader import History
from harness.history.rows import Operation
from harness.run.setting import Setting
from harness.system.loader import load_system

SYSTEM = Path(__file__).with_name("sinner.toml")
NS = 1_000_000_000
SHOWN_OPS = 20
"""How many operations a finding names at most (docs/guarantees.md)."""
BOUND_S = 2.5
"""sinner.toml's bound for noticing, reconnecting and working."""

Scenario = Callable[[Run], Awaitable[None]]


@dataclass(frozen=True)
class Came:
    """What a run came out as: its verdict, and what the system confessed to."""

    verdict: Mapping[str, Any]
    folder: Path

    def finding(self, clause: str) -> Mapping[str, Any]:
        """A clause's finding; a failure where it was not judged."""
        found: list[Mapping[str, Any]] = [f for f in self.verdict["findings"] if f["clause"] == clause]
        assert len(found) == 1, f"{clause} was judged {len(found)} times; troubles: {self.verdict['troubles']}"
        return found[0]

    @property
    def history(self) -> History:
        """What was recorded of it."""
        return History.open(self.folder / "history")

    def confessed(self, *sins: str) -> set[str]:
        """The operations that the system says it wronged so."""
        words = [line["text"].split(" ", 2) for line in self.history.lines("output")]
        return {word[2] for word in words if word[0] == "sin" and word[1] in sins}

    def said(self, word: str, node: str) -> set[str]:
        """The operations of which a node says so."""
        lines = [line["text"] for line in self.history.lines("output") if line["node"] == node]
        return {text.removeprefix(f"{word} ") for text in lines if text.startswith(f"{word} ")}

    def of_history(self, which: Callable[[Operation], bool]) -> set[str]:
        """The operations of which this is true."""
        history = self.history
        return {history.marker(operation.id) for operation in history.operations() if which(operation)}

    def must(self, verdict: str, *clauses: str) -> None:
        """These clauses came out so. Where our own noise made one inconclusive, the failure says that first."""
        findings = [self.finding(clause) for clause in clauses]
        noisy = [f for f in findings if verdict != "inconclusive" and f["reason"].startswith("noise: ")]
        assert not noisy, "THIS MACHINE WAS TOO BUSY to judge timing, which says nothing of the clause: " + _told(noisy)
        assert {f["verdict"] for f in findings} == {verdict}, f"expected {verdict}: {_told(findings)}"

    def must_name(self, clause: str, wronged: set[str], *, edges: int = 0) -> None:
        """The clause is violated on these operations and no other: on all of them, but for so many at the edges."""
        self.must("violated", clause)
        finding = self.finding(clause)
        assert wronged, "the system did not sin"
        assert 0 <= len(wronged) - finding["ops_total"] <= edges, f"{sorted(wronged)}: {_told([finding])}"
        assert len(finding["ops"]) == min(finding["ops_total"], SHOWN_OPS)
        assert set(finding["ops"]) <= wronged

    def must_blame(self, clause: str, *nodes: str) -> None:
        """The clause is violated by these nodes and no other, which its reason names."""
        self.must("violated", clause)
        told = [part.split()[0] for part in self.finding(clause)["reason"].split("; ")]
        assert sorted(set(told)) == sorted(nodes), _told([self.finding(clause)])

    def under(self, number: int = 1) -> set[str]:
        """The operations that began under that fault."""
        span = next(span for span in History.open(self.folder / "history").faults() if span.id == number)
        assert span.effective_ns is not None
        assert span.healed_ns is not None
        begun, healed = span.effective_ns, span.healed_ns
        return self.of_history(lambda operation: begun <= operation.start_ns < healed)

    def must_have_bitten(self, *kinds: str) -> None:
        """These faults were applied, each with evidence."""
        assert [(fault["kind"], fault["bit"]) for fault in self.verdict["faults"]] == [(kind, True) for kind in kinds]


def of_nodes(came: Came, clause: str, *said: str) -> None:
    """The clause is violated by so many nodes, of each of which its reason says so."""
    came.must("violated", clause)
    told = came.finding(clause)["reason"].split("; ")
    assert len(told) == len(said)
    assert all(one.startswith(how) for one, how in zip(told, said, strict=True)), told


def _told(findings: list[Mapping[str, Any]]) -> str:
    shown = ("clause", "verdict", "measured", "bound", "reason", "ops")
    return "\n".join(str({name: finding[name] for name in shown}) for finding in findings)


async def came_of(
    scenario: Scenario,
    folder: Path,
    *,
    sins: str | None,
    calm: bool = False,
    settles_s: float = 1.0,
    system: Path = SYSTEM,
    without: frozenset[str] = frozenset(),
) -> Came:
    """Starts the system with these sins ("none", by comma, or None where it has no measures), and has it judged."""
    setting = Setting(
        system=load_system(str(system)),
        planned_id=f"control[{sins}]",
        scenario="control",
        state=sins or "default",
        settles_s=settles_s,
        hardening=sins,
        expect="holds",
        exposes={},
        calm=calm,
        run=folder.name,
        seed=1,
        folder=folder / "control",
        repro="",
        without=without,
    )
    run = Run(setting)
    return Came(await run.drive(lambda: scenario(run)), setting.folder)
