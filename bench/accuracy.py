"""How near a fault's recorded moments lie to what the probe saw, fault by fault.

The probe sends a record each way every 10 ms, so that it cannot see an effect earlier than its next record. Where a
fault has no moment that crosses the link (a limit that is reached later, a close that comes late) there is no figure.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.figures import Figure, middle
from bench.scenario import drive, setting
from harness.faults._down import Down
from harness.history import probes
from harness.history.reader import NEVER_NS, FaultSpan, History
from harness.run import Run

LINK = ("load", "broker-0")
WINDOW_S = 1.0
TARGET_MS = 20.0
RESET_TARGET_MS = 30.0
"""A reset borrows every socket of the proxy first."""
MS = 1e6

Seen = Callable[[History, FaultSpan, int], int | None]
"""When the probe saw it, of a fault whose healing began at that moment; None where it did not."""


def _unanswered(history: History, span: FaultSpan, healing: int) -> int | None:
    """The first record that had not arrived when healing began."""
    way: probes.Way = "from" if "way from" in span.how else "to"
    return probes.first_silent(history, span.id, LINK, way, span.asked_ns, healing)


def _ended(history: History, span: FaultSpan, healing: int) -> int | None:
    """The end of the probe's connection."""
    ends = (r.sent_ns for r in probes.records(history, span.id, LINK, "end") if span.asked_ns <= r.sent_ns <= healing)
    return min(ends, default=None)


def _late(history: History, span: FaultSpan, _: int) -> int | None:
    """The first record that came later than any before the fault."""
    records = [r for r in probes.records(history, span.id, LINK, "to") if r.got_ns is not None]
    usual = max((r.got_ns or 0) - r.sent_ns for r in records if (r.got_ns or 0) <= span.asked_ns)
    late = (r.sent_ns for r in records if r.sent_ns >= span.asked_ns and (r.got_ns or 0) - r.sent_ns > usual + LATE_NS)
    return min(late, default=None)


def _answered(history: History, span: FaultSpan, healing: int) -> int | None:
    """The first record that arrived after healing began, however long before it was sent."""
    return probes.first_answer_after(history, span.id, LINK, healing, "to", "from", "fresh")


def _back(history: History, span: FaultSpan, _: int) -> int | None:
    """The first record that arrived after the node had ended for the last time."""
    exits = (line["t_ns"] for line in history.lines("node") if line["event"] == "exited")
    last = max(t_ns for t_ns in exits if span.asked_ns <= t_ns <= (span.healed_ns or NEVER_NS))
    return probes.first_answer_after(history, span.id, LINK, last, "to", "from", "fresh")


def _accepted(history: History, span: FaultSpan, _: int) -> int | None:
    """The first record that arrived after the reset."""
    assert span.effective_ns is not None
    return probes.first_answer_after(history, span.id, LINK, span.effective_ns, "to", "from", "fresh")


def _quick(history: History, span: FaultSpan, healing: int) -> int | None:
    """The first arrival of a record that was as quick as before."""
    records = [r for r in probes.records(history, span.id, LINK, "to") if r.got_ns is not None]
    quick = (r.got_ns for r in records if r.got_ns and r.got_ns > healing and r.got_ns - r.sent_ns <= LATE_NS)
    return min(quick, default=None)


def _caught_up(history: History, span: FaultSpan, healing: int) -> int | None:
    """The first of those that waited when healing began."""
    return probes.first_answer_after(history, span.id, LINK, healing, "to")


LATE_NS = 30_000_000


@dataclass(frozen=True)
class Case:
    """One fault with what it is asked, and how the probe sees its effect and its healing (None: not at a moment)."""

    kind: str
    effect: Seen | None
    heal: Seen | None
    asked: dict[str, Any] = field(default_factory=dict)
    node: bool = False
    target_ms: float | None = TARGET_MS
    heal_target_ms: float | None = TARGET_MS

    @property
    def name(self) -> str:
        """The kind, and its way or manner."""
        return " ".join((self.kind, *(value for value in self.asked.values() if isinstance(value, str))))


CASES = (
    *(
        Case(kind, _unanswered, _answered, {"way": way})
        for kind in ("silent", "frozen")
        for way in ("both", "to", "from")
    ),
    Case("reset", _ended, _accepted, target_ms=RESET_TARGET_MS, heal_target_ms=RESET_TARGET_MS),
    Case("reset", _ended, _answered, {"new": "reset"}, target_ms=RESET_TARGET_MS, heal_target_ms=RESET_TARGET_MS),
    Case("refused", _ended, _answered),
    Case("latency", _late, _quick, {"latency_ms": 200}),
    Case("bandwidth", _late, _caught_up, {"rate_bytes_s": 2_000}),
    Case("slicer", _late, None, {"size_bytes": 100, "delay_ms": 20}),
    Case("data_limit", None, None, {"limit_bytes": 20_000}),
    Case("slow_close", None, None, {"delay_ms": 200}),
    Case("flapping", _late, _answered, {"cut": "frozen", "down_s": 0.2, "up_s": 0.2}),
    Case("packet_loss", _unanswered, _answered, heal_target_ms=None),  # up to TCP's back-off
    Case("pause", _unanswered, _answered, node=True),
    Case("kill", _ended, _back, node=True),
    Case("restart", _ended, _back, node=True),
    Case("terminate", None, _back, node=True),
    Case("crash_loop", _ended, _back, {"times": 2}, node=True),
)


async def _each(run: Run) -> None:
    async with run.load():
        await run.steady(WINDOW_S)
        for case in CASES:
            targets = (run.broker,) if case.node else (None, run.broker)
            async with getattr(run.faults, case.kind)(*targets, **case.asked):
                await run.steady(WINDOW_S)
            await run.recovered(within_s=5)


def figures(*, rounds: int, runtime: str = "processes") -> list[Figure]:
    """For each fault the medians over so many rounds: recorded effect and healing, against the probe's own sight.

    How often each had evidence, and the largest gaps too, are told on standard error, as a table.
    """
    probed = Down.probed
    Down.probed = Down.links  # type: ignore[method-assign]
    gaps: dict[tuple[int, str], list[float]] = {}
    bit: Counter[int] = Counter()
    try:
        with TemporaryDirectory() as temporary:
            for number in range(rounds):
                made = setting("bare", Path(temporary), hardening=None, name=f"faults{number}")
                drive(replace(made, runtime=runtime), _each)
                history = History.open(made.folder / "history", still=True)
                for place, (case, span) in enumerate(zip(CASES, history.faults(), strict=True)):
                    bit[place] += span.bit
                    for event, gap_ms in _gaps(case, history, span).items():
                        gaps.setdefault((place, event), []).append(gap_ms)
    finally:
        Down.probed = probed  # type: ignore[method-assign]
    print(_table(gaps, bit, rounds), file=sys.stderr)
    return [
        Figure(f"{runtime}: {CASES[place].name} {event}: recorded against the probe", middle(values, 2), "ms",
               "at most", CASES[place].target_ms if event == "effective" else CASES[place].heal_target_ms)
        for (place, event), values in sorted(gaps.items())
    ]  # fmt: skip


def _gaps(case: Case, history: History, span: FaultSpan) -> dict[str, float]:
    """Milliseconds between what was recorded and what the probe saw first; either may come first."""
    healing = next(
        line["t_ns"] for line in history.lines("fault") if line["id"] == span.id and line["event"] == "healing"
    )
    found: dict[str, float] = {}
    for event, sees, told in (("effective", case.effect, span.effective_ns), ("healed", case.heal, span.healed_ns)):
        seen = sees(history, span, healing) if sees is not None else None
        if seen is not None and told is not None:
            found[event] = abs(seen - told) / MS
    return found


def _table(gaps: dict[tuple[int, str], list[float]], bit: Counter[int], rounds: int) -> str:
    lines = [f"{'fault':24} {'evidence':>8} {'effect ms, median (most)':>26} {'heal ms, median (most)':>26}"]
    for place, case in enumerate(CASES):
        told = [gaps.get((place, event)) for event in ("effective", "healed")]
        shown = [f"{middle(values, 1):g} ({max(values):.1f})" if values else "-" for values in told]
        lines.append(f"{case.name:24} {f'{bit[place]}/{rounds}':>8} {shown[0]:>26} {shown[1]:>26}")
    return "\n".join(lines)
