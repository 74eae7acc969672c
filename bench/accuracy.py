"""How near a fault's recorded moments lie to what the probe saw first, fault by fault.

The probe sends a record each way every 10 ms, so that it cannot see an effect earlier than its next record.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from bench.figures import Figure, middle
from bench.scenario import drive, setting
from harness.faults.kill import Kill
from harness.history import probes
from harness.history.reader import FaultSpan, History
from harness.run import Run

LINK = ("load", "broker-0")
WINDOW_S = 1.0
TARGET_MS = 20.0
MS = 1e6
SENT_EVERY_MS = 10.0


async def _each(run: Run) -> None:
    async with run.load():
        await run.steady(WINDOW_S)
        for fault in (
            run.faults.silent(None, run.broker),
            run.faults.frozen(None, run.broker),
            run.faults.latency(None, run.broker, latency_ms=200),
            run.faults.pause(run.broker),
            run.faults.kill(run.broker),
        ):
            async with fault:
                await run.steady(WINDOW_S)
            await run.recovered(within_s=5)


def figures(*, rounds: int) -> list[Figure]:
    """For each fault the medians over so many rounds: recorded effect and healing, against the probe's own sight."""
    probed = Kill.probed
    Kill.probed = Kill.links  # type: ignore[method-assign]
    gaps: dict[tuple[str, str], list[float]] = {}
    try:
        with TemporaryDirectory() as temporary:
            for number in range(rounds):
                made = setting("bare", Path(temporary), hardening=None, name=f"faults{number}")
                drive(made, _each)
                history = History.open(made.folder / "history")
                for span in history.faults():
                    for event, gap_ms in _gaps(history, span).items():
                        gaps.setdefault((span.kind, event), []).append(gap_ms)
    finally:
        Kill.probed = probed  # type: ignore[method-assign]
    return [
        Figure(f"{kind} {event}: recorded against the probe", middle(values, 2), "ms", "at most", TARGET_MS)
        for (kind, event), values in sorted(gaps.items())
    ]


def _gaps(history: History, span: FaultSpan) -> dict[str, float]:
    """Milliseconds between what was recorded and what the probe saw first; either may come first."""
    assert span.effective_ns is not None
    assert span.healed_ns is not None
    found: dict[str, float] = {}
    healing = next(
        line["t_ns"] for line in history.lines("fault") if line["id"] == span.id and line["event"] == "healing"
    )
    if span.kind == "latency":
        records = [r for r in probes.records(history, span.id, LINK, "to") if r.got_ns is not None]
        late = [r.sent_ns for r in records if r.got_ns is not None and r.got_ns - r.sent_ns > 100 * MS]
        found["effective"] = abs(min(late) - span.effective_ns) / MS
        quick = [r.got_ns for r in records if r.got_ns and r.sent_ns > max(late) and r.got_ns - r.sent_ns < 100 * MS]
        found["healed"] = abs(min(quick) - span.healed_ns) / MS
        return found
    silent = probes.first_silent(history, span.id, LINK, "to", span.asked_ns, healing)
    if silent is not None:
        found["effective"] = abs(silent - span.effective_ns) / MS
    answered = probes.first_answer_after(history, span.id, LINK, healing, "to", "from", "fresh")
    if answered is not None:
        found["healed"] = abs(answered - span.healed_ns) / MS
    return found
