"""Which operations a sabotaged stack wronged, read off the raw rows of a history: no guarantee is asked.

Each function is named by the rows of `patches.toml`.
"""

from __future__ import annotations

from collections import Counter, defaultdict

from harness.history.reader import History
from harness.history.rows import Operation, OpId, Outcome, Step, find_markers
from tests.controls.control import NS, Came

POISON = "poison"
TAKES_NS = NS // 4
"""How long after it was asked to stop a replica may take work."""
DRAINS_S = 15
"""The promise of telhawk's file for what is accepted meanwhile."""


def in_hand(came: Came) -> set[str]:
    """What the worker under fault had begun last of all when it was asked to stop, or died, and nobody saw the end."""
    history = came.history
    node, since_ns = asked(history)
    begun: dict[OpId, str] = {}
    for seen in history.sightings(Step.EFFECT, Step.REPEAT):
        if seen.op is not None and seen.t_ns <= since_ns:
            begun[seen.op] = seen.by
    ended = {seen.op for seen in history.sightings(Step.RESULT) if seen.t_ns <= since_ns}
    return marked(history, {op for op, by in begun.items() if by == node and op not in ended})


def begun_anew(came: Came) -> set[str]:
    """What the worker that was asked to stop, or died, had in hand, and somebody began again."""
    history = came.history
    _, since_ns = asked(history)
    seen_later = {s.op for s in history.sightings(Step.EFFECT, Step.REPEAT) if s.t_ns > since_ns and s.op is not None}
    return in_hand(came) & marked(history, seen_later)


def begun_after_it_was_asked(came: Came) -> set[str]:
    """What the worker that was asked to stop began all the same."""
    history = came.history
    node, since_ns = asked(history)
    until_ns = next_start(history, node, since_ns)
    return marked(
        history,
        {
            seen.op
            for seen in history.sightings(Step.EFFECT, Step.REPEAT)
            if seen.op is not None and seen.by == node and since_ns + TAKES_NS < seen.t_ns < until_ns
        },
    )


def accepted_after_it_was_asked(came: Came) -> set[str]:
    """What the entry that was asked to stop accepted all the same."""
    history = came.history
    node, since_ns = asked(history)
    until_ns = next_start(history, node, since_ns)
    late = {o.id for o in accepted(history) if since_ns + TAKES_NS < o.start_ns and (o.end_ns or 0) < until_ns}
    return marked(history, late)


def never_published(came: Came) -> set[str]:
    """What was accepted, and never came to the broker."""
    history = came.history
    published = {seen.op for seen in history.sightings(Step.PUBLISHED)}
    return marked(history, {o.id for o in accepted(history) if o.id not in published})


def never_answered(came: Came) -> set[str]:
    """What was accepted, and no poll ever brought a result of."""
    history = came.history
    told = {seen.op for seen in history.sightings(Step.RESULT) if seen.source == "poll"}
    return marked(history, {o.id for o in accepted(history) if o.id not in told})


def done_twice(came: Came) -> set[str]:
    """What the event store executed more than once, and did not know again."""
    history = came.history
    times = Counter(seen.op for seen in history.sightings(Step.EFFECT) if seen.op is not None)
    return marked(history, {op for op, count in times.items() if count > 1})


def failed(came: Came) -> set[str]:
    """What was offered under the fault, accepted, and then told to have failed."""
    told = {seen.op for seen in came.history.sightings(Step.FAILURE) if seen.op is not None}
    return came.under() & marked(came.history, told)


def refused(came: Came) -> set[str]:
    """What was answered, and not accepted."""
    return came.of_history(lambda o: o.outcome is not Outcome.OK and o.status != 0)


def poison(came: Came) -> set[str]:
    """The messages that nobody can handle."""
    return came.of_history(lambda o: o.workload == POISON)


def given_up(came: Came) -> set[str]:
    """What became a dead letter, and was no poison."""
    return came.of_history(lambda o: o.workload != POISON) & marked(
        came.history, {seen.op for seen in came.history.sightings(Step.DEAD_LETTER) if seen.op is not None}
    )


def answered_with_anothers(came: Came) -> set[str]:
    """Whose result was told to whoever asked for another's."""
    history = came.history
    told = [find_markers(history.nonce, line["text"]).ours for line in history.lines("phantom")]
    return marked(history, {op for ours in told for op in ours[:1]})


def ended_late(came: Came) -> set[str]:
    """What was accepted in the five seconds from when a worker was asked to stop, and had no end in time.

    Of what never had one, what was asked after until that time was over: of the others nobody can tell.
    """
    history = came.history
    _, since_ns = asked(history)
    looked: dict[OpId, int] = defaultdict(int)
    ended: dict[OpId, int] = {}
    for seen in history.sightings():
        if seen.op is not None:
            looked[seen.op] = max(looked[seen.op], seen.t_ns)
            if seen.terminal:
                ended[seen.op] = min(ended.get(seen.op, seen.t_ns), seen.t_ns)
    soon = {o.id: o.end_ns or 0 for o in accepted(history) if 0 <= (o.end_ns or 0) - since_ns <= 5 * NS}
    return marked(history, {op for op, at_ns in soon.items() if ended.get(op, looked[op]) - at_ns > DRAINS_S * NS})


def asked(history: History) -> tuple[str, int]:
    """The first replica that was asked to stop, or was killed, under a fault; and when."""
    nodes = {node for span in history.faults() for node in span.nodes}
    ends = [one for one in history.lines("node") if one["event"] in ("stopping", "exited") and one["node"] in nodes]
    return str(ends[0]["node"]), int(ends[0]["t_ns"])


def next_start(history: History, node: str, since_ns: int) -> int:
    """When its successor was started."""
    starts = [one for one in history.lines("node") if one["event"] == "started" and one["node"] == node]
    return min((int(one["t_ns"]) for one in starts if one["t_ns"] > since_ns), default=1 << 63)


def accepted(history: History) -> list[Operation]:
    """What the system promised."""
    return [o for o in history.operations() if o.outcome is Outcome.OK and o.workload != POISON]


def marked(history: History, ops: set[OpId]) -> set[str]:
    """Their ids as text."""
    return {history.marker(op) for op in ops}
