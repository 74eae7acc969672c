"""What a timeline counts, beside the same counted one by one."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from harness.history.compact import compact
from harness.history.reader import History
from harness.history.rows import OpId, Outcome, Step
from harness.report._asked import Asked, Cell, Slice

from ..guarantees.synthetic import MS, T0, Story, story

WORKLOADS = ("polled", "read", "untraced", "it's")
TRACED, READ, POLLED = ("polled", "read"), ("read",), ("polled",)
NEVER_INTENDED = -T0 // MS
STEP, SLICE = 13 * MS, 50 * MS

refs = st.sampled_from([None, "their-1", "their-2"])
offers = st.tuples(
    st.integers(0, 900),
    st.sampled_from([Outcome.OK, Outcome.OK, Outcome.OK, Outcome.FAIL, Outcome.UNKNOWN, None]),
    st.sampled_from([0, 0.0004, 0.5, 1, 10, 99.99, 1_000]),
    st.sampled_from([None, None, 0, NEVER_INTENDED]),
    st.sampled_from(["polled", "polled", "read", "untraced", "it's"]),
    refs,
)
ids = st.sampled_from([None, None, *(OpId(0, n) for n in range(6)), OpId(1, 0), OpId(2, 0), OpId(7, 2**32 - 1)])
steps = st.sampled_from([*Step, Step.EFFECT, Step.RESULT, Step.REPEAT])
sights = st.tuples(steps, ids, refs, st.integers(-100, 1_500), st.booleans(), st.sampled_from([0, 1, 2, 255]))


def tell(told: Story, offered: Sequence[Any], seen: Sequence[Any]) -> None:
    for at, outcome, took, intended, workload, ref in offered:
        named = {"ref": ref} if ref and outcome else {}
        told.op(at, outcome, took=took, intended=intended, workload=workload, **named)
    for step, op, ref, at, proved, attempt in seen:
        told.recorder.sight(step, t_ns=T0 + at * MS, source="tap", op=op, ref=ref or "", proved=proved, attempt=attempt)


class Naive:
    """One operation after the other."""

    def __init__(self, history: History) -> None:
        self.operations = list(history.operations())
        self.sightings = list(history.sightings())

    def span(self) -> tuple[int, int] | None:
        if not self.operations:
            return None
        ends = [seen.t_ns for seen in self.sightings if seen.terminal or seen.step in (Step.EFFECT, Step.RESULT)]
        told = [moment for one in self.operations for moment in (one.start_ns, one.end_ns or 0)]
        return min(one.intended_ns or one.start_ns for one in self.operations), max(told + ends)

    def kinds(self) -> Iterator[tuple[str, int, int | None, int | None, bool]]:
        """Of each operation: its kind, when it was to begin, was answered and ended, and whether it is polled."""
        for one in self.operations:
            mine = [s for s in self.sightings if s.op == one.id or (not s.op and s.ref and s.ref == one.ref)]
            ends = [s.t_ns for s in mine if s.terminal or (s.step is Step.EFFECT and one.workload in READ)]
            accepted = one.outcome is Outcome.OK
            kind = "open" if accepted and one.workload in TRACED and not ends else str(one.outcome)
            polled = accepted and one.workload in POLLED and bool(one.end_ns)
            yield kind, one.intended_ns or one.start_ns, one.end_ns or None, min(ends, default=None), polled

    def cells(self, from_ns: int, step: int) -> list[Cell]:
        found = Counter(
            (kind, (began - from_ns) // step, None if end is None else _row((end - began) / 1e6))
            for kind, began, end, _, _ in self.kinds()
        )
        cells = [Cell(*place, n) for place, n in found.items()]
        return sorted(cells, key=lambda cell: (cell.kind, cell.x, cell.y is None, cell.y or 0))

    def slices(self, from_ns: int, step: int, *, timed: bool) -> list[Slice]:
        found: dict[int, list[tuple[str, float | None]]] = {}
        for kind, began, end, _, _ in self.kinds():
            ms = None if end is None else (end - began) / 1e6
            found.setdefault((began - from_ns) // step, []).append((kind, ms))
        return [
            Slice(x, *(sum(kind == one for kind, _ in ops) for one in ("ok", "open", "fail", "unknown")), *times)
            for x, ops in sorted(found.items())
            for took in [[ms for _, ms in ops if ms is not None] if timed else []]
            for times in [(median(took), max(took)) if took else (None, None)]
        ]

    def flow(self, from_ns: int, step: int) -> dict[int, int]:
        found: dict[int, int] = {}
        for *_, answered, ended, polled in self.kinds():
            if polled and answered:
                for t_ns, by in ((answered, 1), (None if ended is None else max(ended, answered), -1)):
                    if t_ns is not None:
                        place = int((t_ns - from_ns) / step)
                        found[place] = found.get(place, 0) + by
        return found

    def again(self, from_ns: int, step: int) -> Counter[int]:
        return Counter(
            int((seen.t_ns - from_ns) / step)
            for seen in self.sightings
            if seen.step is Step.REPEAT or (seen.attempt > 1 and seen.step in (Step.DELIVERED, Step.EFFECT))
        )


def _row(ms: float) -> int:
    return math.floor(math.log10(max(ms, 1e-3)) * 24)


@settings(max_examples=40, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    st.just([]) | st.lists(offers, min_size=4, max_size=12),
    st.lists(sights, min_size=6, max_size=20),
    st.sampled_from([(0,), (0, 2)]),
    st.booleans(),
)
def test_counted_as_columns_is_counted_one_by_one(
    offered: list[Any], seen: list[Any], writers: tuple[int, ...], columnar: bool
) -> None:
    with story(writers=writers) as told:
        tell(told, offered, seen)
        naive = Naive(told.ended())
        span = naive.span()
        from_ns = min(T0, span[0] if span else T0)
        if columnar:
            compact(told.folder)
        asked = Asked(History.open(told.folder, still=True), TRACED, READ, POLLED)
        assert asked.span() == span
        found = asked.counted(from_ns, STEP, SLICE)
        assert found.cells == naive.cells(from_ns, STEP)
        assert found.slices == naive.slices(from_ns, SLICE, timed=True)
        assert found.rate == naive.slices(from_ns, SLICE // 4, timed=False)
        assert found.flow == sorted(naive.flow(from_ns, STEP).items())
        assert found.again == sorted(naive.again(from_ns, STEP).items())
