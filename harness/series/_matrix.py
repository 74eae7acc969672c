"""What a series of trials with and without measures says, as a matrix of measure by clause. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypedDict

from harness.verdict import Verdict

BREAKS, REPAIRS, BOTH, NEITHER, UNSURE = "-", "+", "±", ".", "?"
WORDS = (
    f"{BREAKS} breaks without it, {REPAIRS} repaired by it alone (with its base), {BOTH} both, {UNSURE} inconclusive"
)


class Cost(TypedDict):
    """What calm showed: the 95th percentile of the answers, and the work that one core of the system carries."""

    p95_ms: float | None
    per_core: float | None


class Result(TypedDict):
    """A trial that is done. `findings` is scenario -> clause -> verdict; `runs` the folders where all of it is."""

    runs: list[str]
    hardening: str
    findings: dict[str, dict[str, str]]
    cost: Cost | None


class Effect(TypedDict):
    """What a measure is there for, clause -> the scenarios that show it."""

    breaks: dict[str, list[str]]
    repairs: dict[str, list[str]]
    unsure: dict[str, list[str]]


def effect(out: tuple[Result, Result], alone: tuple[Result, Result]) -> Effect:
    """What a measure does: with all measures and `out` it, and before and with it `alone` (with its base)."""
    found = Effect(breaks={}, repairs={}, unsure={})
    for (before, trial), was, becomes, into in (
        (out, Verdict.HOLDS, Verdict.VIOLATED, found["breaks"]),
        (alone, Verdict.VIOLATED, Verdict.HOLDS, found["repairs"]),
    ):
        for scenario, clauses in trial["findings"].items():
            for clause, verdict in clauses.items():
                if before["findings"].get(scenario, {}).get(clause) != was:
                    continue
                if verdict == becomes:
                    into.setdefault(clause, []).append(scenario)
                elif verdict == Verdict.INCONCLUSIVE:
                    found["unsure"].setdefault(clause, []).append(scenario)
    return found


def grid(effects: Mapping[str, Effect]) -> Iterator[str]:
    """A line a measure, a column a clause that any of them touches; the columns are named above."""
    clauses = sorted({clause for found in effects.values() for part in found.values() for clause in _of(part)})
    width = max(map(len, effects), default=0)
    if not clauses:
        yield "no measure breaks or repairs anything"
        return
    for number, clause in enumerate(clauses, start=1):
        yield f"{number:>{width}}  {clause}"
    yield ""
    yield f"{'':{width}} " + "".join(f"{number:>4}" for number in range(1, len(clauses) + 1))
    for measure, found in effects.items():
        yield f"{measure:{width}} " + "".join(f"{_mark(found, clause):>4}" for clause in clauses)
    yield WORDS


def _of(part: object) -> Sequence[str]:
    return list(part) if isinstance(part, dict) else []


def _mark(found: Effect, clause: str) -> str:
    breaks, repairs = clause in found["breaks"], clause in found["repairs"]
    if breaks or repairs:
        return BOTH if breaks and repairs else BREAKS if breaks else REPAIRS
    return UNSURE if clause in found["unsure"] else NEITHER


def told(measure: str, found: Effect, cost: tuple[Cost | None, Cost | None]) -> Iterator[str]:
    """A measure in words: what it is there for, where that shows, and what it costs in calm (with it, without it)."""
    yield measure
    for label, part in (("breaks without it", found["breaks"]), ("repaired by it alone", found["repairs"])):
        yield f"  {label}: " + ("; ".join(f"{c} in {', '.join(where)}" for c, where in part.items()) or "nothing")
    if found["unsure"]:
        yield "  inconclusive: " + "; ".join(f"{c} in {', '.join(where)}" for c, where in found["unsure"].items())
    answers, work = _compared("p95_ms", cost, "ms (p95)"), _compared("per_core", cost, "operations a core second")
    yield f"  in calm: {answers}; {work}"


def _compared(key: str, cost: tuple[Cost | None, Cost | None], unit: str) -> str:
    with_it, without = (one.get(key) if one else None for one in cost)
    if not isinstance(with_it, float) or not isinstance(without, float):
        return f"no {unit} was measured"
    return f"{with_it:.1f} {unit}, without it {without:.1f}"
