"""How doubt reaches a finding: what was measured is inconclusive where something that it rests on went wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from harness.guarantees._base import NS, STRETCH_NS, Clause, Window, crossings, stretches, window
from harness.history.reader import NEVER_NS, FaultSpan, History
from harness.verdict import Doubt, Finding, Verdict

LEAST_OFFERED = 0.95
"""Share of the intended arrivals under which the load was behind."""
LATE_SHARE = 0.01
"""More than this share of our wake-ups, or of the arrivals, over 50 ms late (so that their p99 is) spoils timing."""
NEAR = 2
"""So many times our greatest lag from its bound, once for each end, a value that keeps it is believed: a machine that
is too busy makes what it times later, and never earlier by more than that lag."""
FAR = 10
"""So many times from its bound, a value that breaks it is believed where processes are started meanwhile, which stops
our own loop by itself."""
STARVED = 3.0
"""Where others made a process like the services take so many times longer for its work, a time that was too long is
believed only beyond so many times its bound. Two scenarios on two cores stay under it."""
FEW_LATE = 0.1
"""This share of a stretch moves no median from one side of its bound to the other."""
_IN_S = {"s": 1.0, "ms": 1e-3}


def tainted(history: History, finding: Finding, clause: Clause, *, refs_twice: Sequence[str] = ()) -> Finding:
    """The finding, or an inconclusive one if something that it rests on went wrong.

    `refs_twice`: refs that two answers gave, so that nobody can tell whose result one is.
    """
    errors = [trouble for trouble in history.troubles() if trouble["name"] == Doubt.HARNESS_ERROR]
    if errors:  # before all else: it is what people must see
        sentence = f"{Doubt.HARNESS_ERROR}: {errors[0].get('detail', '')}"
        return dataclasses.replace(finding, verdict=Verdict.INCONCLUSIVE, reason=sentence)
    if finding.verdict is Verdict.INCONCLUSIVE or finding.bound is None:
        return finding
    if refs_twice and not clause.timing:
        sentence = f"{Doubt.IDS_UNCLEAR}: the ref {refs_twice[0]!r} was given twice"
        return dataclasses.replace(finding, verdict=Verdict.INCONCLUSIVE, reason=sentence)
    for doubt, sentence in _doubts(history, finding, clause):
        return dataclasses.replace(finding, verdict=Verdict.INCONCLUSIVE, reason=f"{doubt}: {sentence}")
    return finding


def _doubts(history: History, finding: Finding, clause: Clause) -> Iterator[tuple[Doubt, str]]:
    yield from _evidence(history.faults(), calm=bool(history.meta.get("calm")))
    yield from _behind(history)
    for trouble in history.troubles():
        doubt, detail = Doubt(trouble["name"]), str(trouble.get("detail", ""))
        if doubt is Doubt.PROXY_REPLACED and not clause.timing:
            continue
        if doubt in (Doubt.NOISE, Doubt.CLOCK_STEPPED) and not clause.timing:
            continue
        if doubt is Doubt.IDS_UNCLEAR and (clause.timing or (clause.crossings and crossings(history))):
            continue
        yield doubt, detail
    for source in sorted(clause.sources):
        for start, end in history.gaps(source):
            within = f"for {(end - start) / NS:.2f} s" if end < NEVER_NS else "to the end"
            yield Doubt.GAP, f"{source} was not being read {within}"
    if clause.timing:
        yield from _noise(history, finding, clause)
    elif clause.waits_s and finding.verdict is Verdict.VIOLATED:
        yield from _waited_in_vain(history, finding, clause)


def _evidence(spans: Sequence[FaultSpan], *, calm: bool) -> Iterator[tuple[Doubt, str]]:
    if not spans and not calm:
        yield Doubt.NO_EVIDENCE, "no fault was applied"
    for span in spans:
        if not span.bit:
            yield Doubt.NO_EVIDENCE, f"{span.kind} of {span.target}: nothing shows that it bit"


def _behind(history: History) -> Iterator[tuple[Doubt, str]]:
    for line in history.lines("phase"):
        if line["name"] == "steady" and line["offered"] < LEAST_OFFERED * line["intended"]:
            yield (
                Doubt.LOAD_BEHIND,
                f"{line['offered']} of {line['intended']} intended arrivals were offered in a window",
            )


def _noise(history: History, finding: Finding, clause: Clause) -> Iterator[tuple[Doubt, str]]:
    """Of the seconds in which its moments lie: from the first effect until its bound after the last healing."""
    if finding.bound is None or finding.measured is None:
        return
    if clause.counts_late and finding.verdict is Verdict.HOLDS:
        return
    in_s, noises = _IN_S.get(finding.unit, 0.0), _noises(history, finding, clause)
    for what in ("runner", "load"):
        seconds = [line for line in noises if line["what"] == what]
        share = sum(line["late_share"] for line in seconds) / max(len(seconds), 1)
        late_ms = max((line["lag_max_ms"] for line in seconds), default=0.0)
        if share > LATE_SHARE and not _is_far(finding, clause, share, late_ms):
            yield Doubt.NOISE, f"the {what} was over 50 ms late {share:.1%} of the time, up to {late_ms:.0f} ms"
            return
    stretch = _starved(noises) if finding.verdict is Verdict.VIOLATED else 0.0
    if stretch and finding.measured * in_s <= finding.bound * in_s * stretch:  # what counts has no unit of time
        given = f"a process like the services took {stretch:.1f} times longer for its work than it needed"
        yield Doubt.NOISE, f"others had the cores: {given}"
        return
    lags = [line["lag_p99_ms"] / 1e3 for line in noises if line["what"] == "runner"]
    # One late second can move a moment by as much, and what whole stretches have in the middle by its share alone.
    own = sum(lags) / max(len(lags), 1) if clause.compares else max(lags, default=0.0)
    if abs(finding.measured - finding.bound) * in_s < NEAR * own and in_s:
        value = f"{finding.measured * in_s:.3f} s"
        yield Doubt.NOISE, f"{value} is nearer to its bound than twice our lag of {own * 1e3:.0f} ms"


def _starved(noises: Sequence[Mapping[str, Any]]) -> float:
    """How many times longer than it needed a process like the services took; 0 where that is little, or their doing."""
    told = [line for line in noises if line.get("stretch")]
    if not told:
        return 0.0
    stretch = fmean(line["stretch"] for line in told)
    theirs = fmean(line["others"] - sum(line["cpu"].values()) for line in told)
    return stretch if stretch >= STARVED and theirs > 0 else 0.0


def _waited_in_vain(history: History, finding: Finding, clause: Clause) -> Iterator[tuple[Doubt, str]]:
    """What did not come in time may have come but for us: where we were late by half of that time or more."""
    late_ms = max((line["lag_max_ms"] for line in _noises(history, finding, clause)), default=0.0)
    if NEAR * late_ms / 1e3 >= clause.waits_s:
        yield Doubt.NOISE, f"we were up to {late_ms:.0f} ms late, and what it counts is waited for {clause.waits_s:g} s"


def _noises(history: History, finding: Finding, clause: Clause) -> list[dict[str, Any]]:
    windows = _spoiled_in(history, finding, clause)
    return [
        line
        for line in history.lines("noise")
        if any(line["t_ns"] >= one.from_ns and line["from_ns"] <= one.to_ns for one in windows)
    ]


def _spoiled_in(history: History, finding: Finding, clause: Clause) -> Sequence[Window]:
    """Where being late can have made a finding come out as it did.

    What compares holds wrongly where all was slower before the fault than it was, or where what is seen late, across
    the beginning of the last stretch, counts in it; it is violated wrongly where all was slower at the end.
    """
    if clause.compares:
        before, last = stretches(history)
        return (before, Window(last.from_ns, last.from_ns)) if finding.verdict is Verdict.HOLDS else (last,)
    seen = window(history)
    lasts_s = max(finding.bound or 0.0, finding.measured or 0.0) * _IN_S.get(finding.unit, 0.0)
    from_ns = _start_ns(history, seen.from_ns) if clause.at_start else seen.from_ns
    return (Window(from_ns, seen.to_ns + int(lasts_s * NS)),)


def _start_ns(history: History, default: int) -> int:
    """When the first node was started."""
    return min((line["t_ns"] for line in history.lines("node") if line["event"] == "started"), default=default)


def _is_far(finding: Finding, clause: Clause, share: float, late_ms: float) -> bool:
    """Whether a value is on its side of the bound by more than being late can have moved it."""
    if finding.bound is None or finding.measured is None:
        return False
    kept_by, holds = finding.bound - finding.measured, finding.verdict is Verdict.HOLDS
    if not holds and not clause.at_start:
        return False
    moved_s = (NEAR if holds else FAR) * late_ms / 1e3
    if not clause.compares:
        return abs(kept_by) * _IN_S.get(finding.unit, 0.0) > moved_s
    if finding.unit in _IN_S:
        return share < FEW_LATE
    return kept_by > moved_s * NS / STRETCH_NS  # so many of a stretch's ends can have crossed its edges
