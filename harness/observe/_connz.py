"""What a broker's `/connz?state=any` says of its clients: since when, until when and why, in its own nanoseconds. Pure.

It tells of one life of the broker: after a kill it begins anew, and what it had not told by then is lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from harness.history.clock import Anchor, parse_time
from harness.observe._base import OWN_NAMES, Json
from harness.observe._own_ends import FRESH, LASTING

ENDED_BY_PEER = frozenset({"Client Closed", "Read Error", "Write Error"})
"""Reasons by which the broker knows only that the other end closed: our proxy, for whatever reason. All others
("Stale Connection", "Slow Consumer (Pending Bytes)", "Server Shutdown" ...) are the broker's own doing."""


class Entry(NamedTuple):
    """One client as connz tells it. `remote`: where the broker sees it come from; `used`: it did more than connect."""

    server: str
    cid: int
    remote: str
    start_ns: int
    stop_ns: int | None
    reason: str
    ours: bool
    used: bool

    @property
    def known(self) -> bool:
        """Whether it is known to be the probe's, or not to be."""
        return self.ours or self.used


@dataclass
class Connz:
    """What was told already, so that each start and each stop is passed on once."""

    _known: dict[tuple[str, int], bool] = field(default_factory=dict)
    """(server, cid) -> whether its stop was told."""

    def news(self, document: Json, anchor: Anchor) -> Iterator[Entry]:
        """The clients of which more is known than before. Raises ValueError, KeyError for what is no connz."""
        server = str(document["server_id"])
        for found in document["connections"]:
            key, stopped = (server, int(found["cid"])), "stop" in found
            if key not in self._known or (stopped and not self._known[key]):
                yield _entry(server, found, anchor)

    def told(self, entry: Entry) -> None:
        """This was passed on; it is no news any more, unless it stops."""
        self._known[entry.server, entry.cid] = entry.stop_ns is not None

    def heard_of(self, entry: Entry) -> bool:
        """Was its start passed on?"""
        return (entry.server, entry.cid) in self._known


def _entry(server: str, found: Mapping[str, Json], anchor: Anchor) -> Entry:
    name, stop = str(found.get("name", "")), found.get("stop")
    return Entry(
        server=server,
        cid=int(found["cid"]),
        remote=f"{found['ip']}:{found['port']}",
        start_ns=anchor.t_of_wall(parse_time(found["start"])),
        stop_ns=anchor.t_of_wall(parse_time(stop)) if stop else None,
        reason=str(found.get("reason", "")),
        ours=name.startswith(OWN_NAMES) or found["ip"] in (LASTING.address, FRESH.address),
        used=any(found.get(sign) for sign in ("name", "lang", "in_msgs", "out_msgs", "subscriptions")),
    )
