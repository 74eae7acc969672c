"""The story of an operation: what was seen of it, in order, and what nobody saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.guarantees._base import NS, load_window
from harness.history.reader import History
from harness.history.rows import Operation, OpId, Sighting, Step, marker

TOLD = 3
"""How many operations of a finding are told in full."""


def stories(history: History, ops: Sequence[OpId]) -> tuple[Mapping[str, object], ...]:
    """The stories of the first few operations: `op` and its `lines`."""
    chosen = list(ops[:TOLD])
    if not chosen:
        return ()
    start = load_window(history).from_ns
    operations = {o.id: o for o in history.operations() if o.id in chosen}
    seen: dict[OpId, list[Sighting]] = {op: [] for op in chosen}
    for sighting in history.sightings(*Step):
        if sighting.op in seen:
            seen[sighting.op].append(sighting)
    return tuple(
        {"op": marker(str(history.meta["nonce"]), op), "lines": _told(operations.get(op), seen[op], start)}
        for op in chosen
    )


def _told(operation: Operation | None, sightings: Sequence[Sighting], start: int) -> list[str]:
    lines = []
    if operation is not None:
        lines.append(f"offered at {_at(operation.start_ns, start)}")
        if operation.end_ns is None:
            lines.append("never answered")
        else:
            took = (operation.end_ns - operation.start_ns) / 1e6
            ref = f" as {operation.ref}" if operation.ref else f" as sequence {operation.seq}" if operation.seq else ""
            what = {"ok": "accepted", "fail": "refused", "unknown": "left unknown"}[operation.outcome]
            why = f" ({operation.error})" if operation.error else ""
            lines.append(f"{what}{ref} after {took:.1f} ms{why}")
    else:
        lines.append("never offered")
    for sighting in sorted(sightings, key=lambda one: one.t_ns):
        by = f" by {sighting.by}" if sighting.by else ""
        attempt = f", attempt {sighting.attempt}" if sighting.attempt > 1 else ""
        unproved = ", not proved" if sighting.step is Step.RESULT and not sighting.proved else ""
        word = sighting.step.name.lower().replace("_", " ")
        lines.append(f"{word}{by} at {_at(sighting.t_ns, start)}{attempt}{unproved} (seen by {sighting.source})")
    steps = {sighting.step for sighting in sightings}
    missing = [step.name.lower() for step in (Step.PUBLISHED, Step.EFFECT, Step.RESULT) if step not in steps]
    if missing:
        lines.append(f"never seen: {', '.join(missing)}")
    return lines


def _at(t_ns: int, start: int) -> str:
    return f"{(t_ns - start) / NS:+.3f} s"
