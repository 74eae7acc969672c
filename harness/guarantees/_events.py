"""What a service should tell of: connections to the broker that it lost, and got back, and handlers that failed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from harness.guarantees._base import NS, load_window
from harness.guarantees._connections import FOREVER, Connection, LinkKey, connections
from harness.guarantees._lives import Lives
from harness.guarantees._returns import LIVED_NS, UNTOLD, effective_at, healed_at
from harness.history.reader import History
from harness.history.rows import Outcome

Word = Literal["lost", "returned", "failures"]
"""The system file's own, of metrics and output."""
POISON = "poison"
"""The fault, and the workload of what it published."""


class Event(NamedTuple):
    """Something that happened to one of `nodes`, at `t_ns`. `marker`: the operation that a handler failed on."""

    word: Word
    nodes: tuple[str, ...]
    t_ns: int
    marker: str = ""

    def told(self, start_ns: int) -> str:
        """It in words; moments count from `start_ns`."""
        what = {"lost": "lost its connection", "returned": "was back", "failures": f"was given {self.marker}"}
        return f"{' or '.join(self.nodes)} {what[self.word]} at {(self.t_ns - start_ns) / NS:+.3f} s"


def of_connections(history: History) -> list[Event]:
    """Losses and returns of services' clients, as the proxies saw them, from the load's start to the last read.

    A connection is established that reached the broker and lived 200 ms. It is lost when it closes and no other
    established one of its link lives on; the first that is established after that is the return.
    """
    lives, brokers, events = Lives(history), set(history.meta["brokers"]), list[Event]()
    begun_ns, watched_ns = load_window(history).from_ns, watched_until(history)
    for link, found in connections(history).items():
        if link[0] in history.meta["observed"] and link[1] in brokers:
            events += _of_link(link[0], list(_established(history, link, found)), lives)
    return sorted((event for event in events if begun_ns <= event.t_ns <= watched_ns), key=lambda one: one.t_ns)


def of_handlers(history: History) -> list[Event]:
    """Messages that no handler can take, which the fault `poison` put among the work: any worker may have had it."""
    workers = tuple(node for node in history.meta["workers"] if node in history.meta["observed"])
    if not workers or not any(span.kind == POISON for span in history.faults()):
        return []
    taken = [one for one in history.operations(POISON) if one.outcome is Outcome.OK and one.end_ns is not None]
    return [Event("failures", workers, one.end_ns or 0, history.marker(one.id)) for one in taken]


def watched_until(history: History) -> int:
    """When the services were last read to the end."""
    return max((line["t_ns"] for line in history.lines("read")), default=load_window(history).to_ns)


def _established(history: History, link: LinkKey, found: Sequence[Connection]) -> Iterator[tuple[int, Connection]]:
    """Each connection that was established, and when: what was dialled while nothing crossed, at the healing."""
    cuts = [
        (effective_at(span, link), healed_at(span, link))
        for span in history.faults()
        if span.kind in UNTOLD and link in span.links and span.effective_ns is not None
    ]
    for one in found:
        if one.reached_ns is not None:
            since = max([one.reached_ns, *(healed for cut, healed in cuts if cut <= one.opened_ns < healed)])
            if one.closed_ns > since + LIVED_NS:
                yield since, one


def _of_link(node: str, established: Sequence[tuple[int, Connection]], lives: Lives) -> Iterator[Event]:
    backs: set[int] = set()
    for _, one in established:
        lost_ns = one.seen_closed_ns
        lives_on = any(since <= lost_ns and other.closed_ns > lost_ns + LIVED_NS for since, other in established)
        if lost_ns >= FOREVER or lives_on or not lives.ran(node, lost_ns):
            continue
        yield Event("lost", (node,), lost_ns)
        back_ns = min((since for since, _ in established if since > lost_ns), default=FOREVER)
        if back_ns < FOREVER and lives.one_life(node, lost_ns, back_ns) and lives.ran(node, back_ns):
            backs.add(back_ns)
    yield from (Event("returned", (node,), back_ns) for back_ns in backs)
