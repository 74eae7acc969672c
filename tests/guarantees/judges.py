"""A third judge, which only compares everything with everything, and histories written to be judged."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from harness.guarantees._sets import Named, Rules, Sets, Swap
from harness.history import _columns, rows
from harness.history.compact import compact
from harness.history.reader import History
from harness.history.recorder import Recorder
from harness.history.rows import CODE_OF_OUTCOME, Operation, OpId, Outcome, Sighting, Step

NONCE = "a1b2c3d4"


def write(folder: Path, operations: Sequence[Operation], sightings: Sequence[Sighting]) -> History:
    """A history in rows, with times of our choosing, which a recorder would read off the clock."""
    for writer in sorted({operation.id.writer for operation in operations}):
        recorder = Recorder(folder, name=f"load-{writer}", nonce=NONCE, writer=writer)
        mine = [operation for operation in operations if operation.id.writer == writer]
        for operation in sorted(mine, key=lambda o: o.id):
            n = recorder.begin(operation.workload, operation.intended_ns)
            assert n == operation.id.n
            if operation.end_ns is not None:
                recorder.finish(
                    n,
                    operation.outcome,
                    ref=operation.ref or "",
                    seq=operation.seq,
                    duplicate=operation.duplicate,
                )
        recorder.close()
        path = folder / f"ops-{writer}.rows"
        data = bytearray(path.read_bytes())
        for n, operation in enumerate(sorted(mine, key=lambda o: o.id)):
            at = rows.HEADER.size + n * rows.ROW.size
            slot = list(rows.ROW.unpack_from(data, at))
            slot[1], slot[2] = operation.start_ns, operation.end_ns or 0
            rows.ROW.pack_into(data, at, *slot)
            assert slot[-1] == CODE_OF_OUTCOME[operation.outcome]
        path.write_bytes(data)
    recorder = Recorder(folder, name="runner", nonce=NONCE)
    for seen in sightings:
        recorder.sight(
            seen.step, t_ns=seen.t_ns, source=seen.source, op=seen.op, ref=seen.ref or "", proved=seen.proved
        )
    recorder.close()
    return History.open(folder)


def columnar(folder: Path, file_rows: int) -> History:
    """The same history in columns, in files of so few rows that there are several."""
    with pytest.MonkeyPatch.context() as patched:
        for name in ("operation_chunks", "sighting_chunks"):
            patched.setattr(_columns, name, partial(getattr(_columns, name), size=file_rows))
        compact(folder)
    return History.open(folder)


def brute_sets(operations: Sequence[Operation], sightings: Sequence[Sighting], rules: Rules) -> Sets:
    """The sets, straight from the definitions, in quadratic time."""

    def is_of(seen: Sighting, operation: Operation) -> bool:
        if seen.op is not None:
            return seen.op == operation.id
        same = [other.id for other in operations if seen.ref is not None and other.ref == seen.ref]
        return bool(same) and min(same) == operation.id

    def seen_of(operation: Operation) -> list[Sighting]:
        return [seen for seen in sightings if is_of(seen, operation)]

    def effects(operation: Operation) -> int:
        return sum(seen.step == Step.EFFECT for seen in seen_of(operation))

    def failed(operation: Operation) -> bool:
        return any(seen.step in (Step.FAILURE, Step.DEAD_LETTER) for seen in seen_of(operation))

    def settled(operation: Operation) -> bool:
        if any(seen.step == Step.RESULT and seen.proved for seen in seen_of(operation)) or failed(operation):
            return True
        return operation.workload in rules.read and effects(operation) > 0

    def due(operation: Operation) -> bool:
        if operation.workload in rules.polled:
            polls = [seen.t_ns for seen in seen_of(operation) if seen.step in (Step.PENDING, Step.GONE)]
            end = max(polls) if polls else None
        else:
            end = rules.read.get(operation.workload)
        return end is not None and end - max(operation.end_ns or 0, rules.healed_ns) >= rules.settles_ns

    def named(found: Sequence[OpId]) -> Named:
        return Named(len(found), tuple(sorted(found)[: rules.named]))

    accepted = [o for o in operations if o.outcome == "ok"]
    refused = [o for o in operations if o.outcome == "fail"]
    open_ = [o for o in accepted if not settled(o) and (o.workload in rules.polled or o.workload in rules.read)]
    judged = [o for o in operations if rules.effects_of is None or o.workload in rules.effects_of]
    strange = [seen for seen in sightings if not any(is_of(seen, o) for o in operations)]
    refs = [o.ref for o in operations if o.ref is not None]
    traced = [o for o in accepted if o.workload in rules.polled or o.workload in rules.read]
    window = rules.window or (1, 0)
    swaps = brute_swaps([o for o in accepted if o.seq and not o.duplicate])
    return Sets(
        offered=len(operations),
        accepted=len(accepted),
        refused=len(refused),
        owed=sum(o in accepted for o in judged),
        traced=len(traced),
        in_window=sum(
            o.start_ns <= window[1] and (o.end_ns or 0) >= window[0] for o in traced if rules.window is not None
        ),
        effects=sum(effects(o) for o in operations),
        lost=named([o.id for o in open_ if due(o)]),
        undetermined=named([o.id for o in open_ if not due(o)]),
        duplicates=named([o.id for o in judged if rules.most is not None and effects(o) > rules.most]),
        missing=named(
            [
                o.id
                for o in judged
                if o in accepted and not failed(o) and effects(o) < rules.least and (settled(o) or due(o))
            ]
        ),
        refused_yet_done=named([o.id for o in refused if effects(o) >= 1]),
        phantoms=len(strange),
        phantom_ops=named(list({seen.op for seen in strange if seen.op is not None})),
        unknown_refs=sum(seen.op is None and seen.ref is not None for seen in strange),
        refs_twice=tuple(sorted({ref for ref in refs if refs.count(ref) > 1})[: rules.named]),
        out_of_order=sum(swap.offenders for swap in swaps),
        swaps=tuple(swaps[: rules.named]),
    )


def brute_swaps(acknowledged: Sequence[Operation]) -> list[Swap]:
    """Every pair, compared."""
    pairs: dict[tuple[str, int, OpId], list[tuple[int, OpId]]] = {}
    for a in acknowledged:
        against = [
            b for b in acknowledged if b.workload == a.workload and (a.end_ns or 0) < b.start_ns and a.seq >= b.seq
        ]
        if against:
            witness = min(against, key=lambda b: (-b.start_ns, b.seq, b.id))
            pairs.setdefault((a.workload, witness.start_ns, witness.id), []).append((a.seq, a.id))
    return [Swap(key[0], key[2], min(offenders)[1], len(offenders)) for key, offenders in sorted(pairs.items())]


def accepted(n: int, **fields: object) -> Operation:
    """An accepted operation of writer 0."""
    given: dict[str, object] = {
        "workload": "polled",
        "intended_ns": 1,
        "start_ns": 1,
        "end_ns": 5,
        "outcome": Outcome.OK,
    }
    return Operation(OpId(0, n), **{**given, **fields})  # type: ignore[arg-type]
