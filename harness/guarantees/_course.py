"""The course of a scenario's work: what was answered, what was done in time, and when each operation came to its end.

One pass over the operations and one over what was seen of them; ten bytes an operation. Out of rows or columns alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from harness.guarantees._answers import OK, Answers, Part, Tally, parts
from harness.guarantees._base import NS, end_ns, healed_ns, load_window, risk_window, stretches, window
from harness.guarantees._facts import read_ends, rules
from harness.guarantees._ids import EFFECT, FAILURE, PROVED, Ids, Seen, seen
from harness.guarantees._sets import Named
from harness.history._columns import Array
from harness.history.reader import History
from harness.history.rows import OpId, Step

_INSIDE, _IN_TIME, _EARLY, _ENDED = map(np.uint8, (1, 2, 4, 8))
"""An operation's byte: intended in the window, done in time, accepted by the healing, come to its end."""


@dataclass(slots=True)
class Stretch:
    """Some of the load: its answers, and how many operations came to their ends in it, from the load's first on."""

    answers: Answers
    ended: int = 0
    from_ns: int = 0

    @property
    def rate(self) -> float:
        """Ends a second."""
        seconds = (self.answers.window.to_ns - self.from_ns) / NS
        return self.ended / seconds if seconds > 0 else 0.0

    @property
    def lasting(self) -> float:
        """Ends a second, as far as they can go on: no more than were offered. More is a backlog that was worked off."""
        seconds = (self.answers.window.to_ns - self.answers.window.from_ns) / NS
        return min(self.rate, self.answers.offered / seconds) if seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Ends:
    """Operations that were accepted by the healing, and when: their ends, or their last looks (-1: no answered one)."""

    indices: Array
    t_ns: Array

    def __len__(self) -> int:
        return len(self.indices)

    def past(self, moment_ns: int) -> Ends:
        """Those that were later than this."""
        later = self.t_ns > moment_ns
        return Ends(self.indices[later], self.t_ns[later])

    def latest(self, default: int) -> int:
        """When the last of them was; of none: `default`."""
        return int(self.t_ns.max()) if len(self) else default


@dataclass(frozen=True, slots=True)
class Course:
    """`under` is the window of `available`: of its operations, `failed` had no proved success in time.

    `before` and `last` are the stretches that are compared: before the first fault, and at the end of the load. `early`
    operations were accepted by the last healing, where ends are seen; `at_risk` of them in the window of risk. Those
    that ended after the healing are `after`, with when; those that never did are `open`, with the last look at them.
    `ended` tells of each operation whether it came to its end; where no ends are seen, its acceptance is one.
    """

    ids: Ids
    under: Answers
    failed: Named
    before: Stretch
    last: Stretch
    early: int
    at_risk: int
    after: Ends
    open: Ends
    ended: Array

    def first_done(self, history: History, after_ns: int) -> int | None:
        """When the first operation that began after that was accepted, of those that came to their ends."""
        found = []
        for part in parts(history, self.ids):
            done = (part.start_ns >= after_ns) & (part.outcome == OK) & self.ended[part.indices]
            found += [int(part.end_ns[done].min())] if done.any() else []
        return min(found, default=None)

    def unended(self, history: History, stretch: Stretch) -> Named:
        """The operations that were meant to begin in a stretch, and never came to their ends."""
        tally, within = Tally(self.ids), stretch.answers.window
        for part in parts(history, self.ids):
            inside = (part.intended_ns >= within.from_ns) & (part.intended_ns <= within.to_ns)
            tally.add(part.indices[inside & ~self.ended[part.indices]])
        return tally.named()

    def named(self, *indices: Array) -> Named:
        """The operations at these indices, each of which is there once."""
        tally = Tally(self.ids)
        for some in indices:
            tally.add(some)
        return tally.named()


_KNOWN: WeakKeyDictionary[History, Course] = WeakKeyDictionary()


def course(history: History) -> Course:
    """The course of a history's work, worked out once for all guarantees."""
    if history not in _KNOWN:
        _KNOWN[history] = _Follower(history).course()
    return _KNOWN[history]


class _Follower:
    """Goes through a history, and keeps what a course is made of."""

    def __init__(self, history: History) -> None:
        workloads, self._history = history.meta["workloads"], history
        self._ids = Ids(history.writers())
        self._state, self._workload = np.zeros((2, self._ids.total), np.uint8)
        self._due = np.zeros(self._ids.total, np.int64)  # by when a polled operation is done in time
        known = rules(history)
        self._polled = np.array([name in known.polled for name in workloads], np.bool_)
        self._read = np.array([name in known.read for name in workloads], np.bool_)
        self._followed = np.array([one["followed"] for one in workloads.values()], np.bool_)
        self._results = np.array([int((one["results_s"] or 0) * NS) for one in workloads.values()], np.int64)
        reads = read_ends(history)
        self._read_end = np.array([reads.get(one["read"], -1) for one in workloads.values()], np.int64)
        self._healed, self._risk_ns = healed_ns(history), risk_window(history).from_ns
        self._windows(history)
        self._early = self._at_risk = 0
        self._after: list[tuple[Array, Array]] = []

    def _windows(self, history: History) -> None:
        watched = end_ns(history)
        deadlines = [one["answers_s"] and int(one["answers_s"] * NS) for one in history.meta["workloads"].values()]
        under = load_window(history) if history.meta.get("calm") else window(history)
        answers = [Answers(one, self._ids, deadlines, watched) for one in (under, *stretches(history))]
        self._under, self._stretches = answers[0], [Stretch(one) for one in answers[1:]]
        self._first_end = watched

    def course(self) -> Course:
        for part in parts(self._history, self._ids):
            self._offer(part)
        for sightings in seen(self._history, self._ids):
            self._see(sightings)
        failed = Tally(self._ids)
        failed.add(np.flatnonzero(self._state & (_INSIDE | _IN_TIME) == _INSIDE))
        for stretch in self._stretches:
            stretch.from_ns = max(stretch.answers.window.from_ns, self._first_end)
        nothing = np.zeros(0, np.int64)
        after = Ends(*(np.concatenate(column) for column in zip((nothing, nothing), *self._after, strict=True)))
        open_ = np.flatnonzero(self._state & (_EARLY | _ENDED) == _EARLY)
        before, last = self._stretches
        looked, ended = Ends(open_, self._looked(open_)), self._state & _ENDED > 0
        return Course(
            self._ids, self._under, failed.named(), before, last, self._early, self._at_risk, after, looked, ended
        )

    def _offer(self, part: Part) -> None:
        inside = self._under.add(part)
        for stretch in self._stretches:
            stretch.answers.add(part)
        promised, workload = part.outcome == OK, part.workload
        polled = self._polled[workload]
        traced = polled | self._read[workload]
        early = promised & (part.end_ns <= self._healed) & traced
        self._early += int(np.count_nonzero(early))
        self._at_risk += int(np.count_nonzero(early & (part.end_ns >= self._risk_ns)))
        self._end(part.end_ns[promised & ~self._followed[workload]])
        self._workload[part.indices] = workload
        asked_after = polled & promised
        self._due[part.indices[asked_after]] = (part.start_ns + self._results[workload])[asked_after]
        self._state[part.indices] = (
            inside * _INSIDE | (promised & ~polled) * _IN_TIME | early * _EARLY | (promised & ~traced) * _ENDED
        )

    def _see(self, sightings: Seen) -> None:
        indices, t_ns, says = sightings
        workload = self._workload[indices]
        self._state[indices[(says == PROVED) & (t_ns <= self._due[indices])]] |= _IN_TIME
        terminal = (says == PROVED) | (says == FAILURE) | ((says == EFFECT) & self._read[workload])
        new = terminal & self._followed[workload] & (self._state[indices] & _ENDED == 0)
        if new.any():
            ended, first = np.unique(indices[new], return_index=True)
            at_ns = t_ns[new][first]
            self._end(at_ns)
            late = (self._state[ended] & _EARLY > 0) & (at_ns > self._healed)
            self._after.append((ended[late], at_ns[late]))
        self._state[indices[terminal]] |= _ENDED

    def _end(self, t_ns: Array) -> None:
        """Operations came to their ends then."""
        if len(t_ns):
            self._first_end = min(self._first_end, int(t_ns.min()))
        for stretch in self._stretches:
            seen_in = stretch.answers.window
            stretch.ended += int(np.count_nonzero((t_ns >= seen_in.from_ns) & (t_ns <= seen_in.to_ns)))

    def _looked(self, open_: Array) -> Array:
        """When each of these was last looked at, and the look was answered."""
        workload = self._workload[open_]
        looked: Array = np.where(self._polled[workload], -1, self._read_end[workload])
        place: dict[OpId, int] = {op: number for number, op in enumerate(self._ids.named(open_))}
        if place:
            for sighting in self._history.sightings(Step.PENDING, Step.GONE):
                number = place.get(sighting.op) if sighting.op else None
                if number is not None:
                    looked[number] = max(sighting.t_ns, int(looked[number]))
        return looked
