"""Connections of a link, put together from what the proxies, the broker and the kernel said of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.history.reader import History

LinkKey = tuple[str, str]
FOREVER = 1 << 62


@dataclass
class Connection:
    """One connection through a proxy; the probe's own are left out. Times in t_ns.

    `reached_ns`: when its upstream was seen to have it. `closed_ns` by whichever end was seen first; `client_ns`: when
    the client itself was seen to have closed; `seen_closed_ns`: when its proxy was seen to have it closed.
    """

    client: str
    opened_ns: int
    reached_ns: int | None = None
    closed_ns: int = FOREVER
    client_ns: int = FOREVER
    seen_closed_ns: int = FOREVER
    by: list[str] = field(default_factory=list)

    def open_at(self, t_ns: int) -> bool:
        """Was it open at this moment?"""
        return self.opened_ns <= t_ns < self.closed_ns


def connections(history: History) -> dict[LinkKey, Sequence[Connection]]:
    """Every connection of every link, in the order of opening."""
    found: dict[LinkKey, list[Connection]] = defaultdict(list)
    latest: dict[tuple[str, str, str], Connection] = {}
    for line in history.lines("connection"):
        if line.get("probe"):
            continue
        link, client, t_ns = (line["source"], line["target"]), line["client"], line["t_ns"]
        known = latest.get((*link, client))
        if line["event"] == "opened":
            if known is not None:  # the port is used again, so the one before has ended, unseen
                known.closed_ns = min(known.closed_ns, t_ns)
            known = latest[(*link, client)] = Connection(client, t_ns)
            found[link].append(known)
        elif known is None:
            continue
        elif line["event"] == "reached":
            known.reached_ns = t_ns if known.reached_ns is None else known.reached_ns
        elif line["event"] == "closed":
            known.closed_ns = min(known.closed_ns, t_ns)
            known.by.append(line.get("by") or "?")
            if line.get("via") != "connz":  # the broker may give up a client that cannot know of it
                known.seen_closed_ns = min(known.seen_closed_ns, t_ns)
            if line.get("by") == "client":
                known.client_ns = min(known.client_ns, t_ns)
    return dict(found)
