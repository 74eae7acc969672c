"""The answers of a window: of the operations that were meant to begin in it, however late they did.

Out of rows or columns alike, in ranges of a million operations.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from harness.guarantees._base import GRACE_NS, Window
from harness.guarantees._ids import Ids
from harness.guarantees._measures import Quantiles, Silence
from harness.guarantees._sets import Named
from harness.history._columns import Array
from harness.history.reader import History
from harness.history.rows import CODE_OF_OUTCOME, Outcome

_AT_ONCE = 65_536  # so few that what is computed of them stays in the processor's cache
_NAMED = 1000
_NEVER = np.iinfo(np.int64).max
OK, FAIL, UNKNOWN = (CODE_OF_OUTCOME[outcome] for outcome in (Outcome.OK, Outcome.FAIL, Outcome.UNKNOWN))


class Part(NamedTuple):
    """A range of one writer's operations, as arrays; `at` is the index of the first, `end_ns` 0 for never.

    `workload` is the place of each operation's workload in the meta's; those of others (a fault's own work) are left
    out, so that the index of each is told.
    """

    indices: Array
    intended_ns: Array
    start_ns: Array
    end_ns: Array
    outcome: Array
    workload: Array


def parts(history: History, ids: Ids) -> Iterator[Part]:
    """The operations of the system's workloads."""
    known = {name: place for place, name in enumerate(history.meta["workloads"])}
    place_of = np.array([known.get(name, -1) for name in history.workloads()], np.int16)
    for columns in history.ranges(_AT_ONCE):
        if not len(columns["n"]):
            continue
        workload = place_of[columns["workload"]]
        ours = workload >= 0
        indices = ids.first(int(columns["writer"][0])) + columns["n"].astype(np.int64)
        intended, start, end = (columns[name] for name in ("intended_ns", "start_ns", "end_ns"))
        part = Part(indices, intended, start, end, columns["outcome"], workload)
        yield part if bool(ours.all()) else Part(*(column[ours] for column in part))


class Tally:
    """A growing set of operations: how many, and the first of them."""

    def __init__(self, ids: Ids) -> None:
        self._ids, self._indices = ids, np.zeros(0, np.int64)
        self.total = 0

    def add(self, indices: Array) -> None:
        """Adds operations that were not added before."""
        self.total += len(indices)
        self._indices = np.sort(np.concatenate([self._indices, indices]))[:_NAMED]

    def named(self) -> Named:
        """The set."""
        return Named(self.total, tuple(self._ids.named(self._indices)))


class Answers:
    """What is known of a window's operations, as far as `add` was told of them.

    `latency` is from the intended begin to the answer; what was never answered counts with as long as it was waited
    for. `answered` are accepted or refused. `hung` were not completed GRACE_NS after their deadline: given up by the
    client at the deadline, completed later than that, or never; `unwatched` were never completed, and not watched for
    so long.
    """

    def __init__(self, window: Window, ids: Ids, deadlines_ns: Sequence[int | None], watched_ns: int) -> None:
        self.window, self.watched_ns = window, watched_ns
        self._deadlines = np.array([_NEVER // 2 if one is None else one for one in deadlines_ns], np.int64)
        self.offered = self.accepted = self.refused = self.unwatched = 0
        self.latency = Quantiles()
        self.silence = Silence(window.from_ns, window.to_ns)
        self._hung = Tally(ids)

    @property
    def answered(self) -> int:
        """Accepted or refused."""
        return self.accepted + self.refused

    @property
    def unknown(self) -> int:
        """Neither."""
        return self.offered - self.answered

    @property
    def hung(self) -> Named:
        """See above."""
        return self._hung.named()

    def add(self, part: Part) -> Array:
        """Takes these operations into account; which of them were intended in the window."""
        inside = (part.intended_ns >= self.window.from_ns) & (part.intended_ns <= self.window.to_ns)
        if not inside.any():
            return inside
        indices, intended, start, end, outcome, workload = (column[inside] for column in part)
        accepted, ended = outcome == OK, end > 0
        self.offered += len(indices)
        self.accepted += int(np.count_nonzero(accepted))
        self.refused += int(np.count_nonzero(outcome == FAIL))
        until = np.where(ended, end, self.watched_ns)
        self.latency.add(until - intended)
        self.silence.add(end[accepted])
        took, deadline = until - start, self._deadlines[workload]
        late = took > deadline + GRACE_NS
        given_up = ended & (outcome == UNKNOWN) & (took >= deadline)
        self._hung.add(indices[late | given_up])
        self.unwatched += int(np.count_nonzero(~ended & ~late))
        return inside

    def slower(self, history: History, than_ns: int) -> Named:
        """Those whose latency was above that."""
        ids = Ids(history.writers())
        found = Tally(ids)
        for part in parts(history, ids):
            inside = (part.intended_ns >= self.window.from_ns) & (part.intended_ns <= self.window.to_ns)
            took = np.where(part.end_ns > 0, part.end_ns, self.watched_ns) - part.intended_ns
            found.add(part.indices[inside & (took > than_ns)])
        return found.named()

    def unheard(self, history: History, from_ns: int, to_ns: int) -> Named:
        """Those that were meant to begin in a silence between two moments, and were not accepted by its end."""
        ids = Ids(history.writers())
        found = Tally(ids)
        for part in parts(history, ids):
            accepted = (part.outcome == OK) & (part.end_ns <= to_ns)
            found.add(part.indices[(part.intended_ns > from_ns) & (part.intended_ns < to_ns) & ~accepted])
        return found.named()
