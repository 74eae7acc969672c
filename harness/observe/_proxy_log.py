"""What a toxiproxy's log at trace says of connections: opened, and closed by which end. Pure; fed line by line.

Seen on 2.12.0. Each direction of a connection copies until its source ends, then closes its *destination*. So an end
that closes cleanly leaves no trace of its own; what tells is the warning of the other direction, whose read fails:

    client FIN      Source terminated: read tcp LOCAL->UPSTREAM: use of closed network connection
    client RST      Source terminated: read tcp LISTEN->CLIENT: connection reset by peer, then as above
    upstream FIN    Source terminated: read tcp LISTEN->CLIENT: use of closed network connection
    upstream RST    Source terminated: read tcp LOCAL->UPSTREAM: connection reset by peer, then as above
    the proxy       both reads fail with "use of closed network connection" (disabled; a timeout toxic removed)

The two "Remove link" lines come after, in either order, 0.1 ms apart: they name the client, but tell no cause. Only
where neither direction warns does the first of them count: the direction that ended first. While a gate holds bytes one
way, a FIN that way gives no line at all until it is opened; the kernel tells that one (see `connections`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

SETTLE_NS = 50_000_000
"""How long after its first sign a close is decided, where not all signs have come; they lie within 2 ms."""
CUT_NS = 20_000_000
"""A connection that ends so shortly after a toxic was removed was ended by that."""

By = Literal["client", "upstream", "proxy"]

_SOCKET = re.compile(r"\b(?:read|write) tcp (\S+)->(\S+?): (.+)$")


class Event(NamedTuple):
    """What happened to the connection of `client` ("127.0.0.1:53312") at `t_ns`.

    `upstream_port`: from which the proxy dialled for it, if the close told; else 0.
    """

    event: Literal["opened", "closed"]
    client: str
    t_ns: int
    by: By | None = None
    reason: str | None = None
    upstream_port: int = 0


@dataclass(slots=True)
class Accepted:
    """A connection that is open, as far as the log tells. `upstream_port`: its proxy's own, 0 while unknown."""

    client: str
    opened_ns: int
    upstream_port: int = 0
    dialled: bool = False
    first_sign_ns: int = 0
    removed: list[str] = field(default_factory=list)
    ours: set[str] = field(default_factory=set)
    """The sides ("client", "upstream") whose socket the proxy itself closed."""


class ProxyLog:
    """The connections of one proxy that listens on `port`."""

    def __init__(self, port: int) -> None:
        self.open: dict[str, Accepted] = {}
        self._port = port
        self._cut_ns = -CUT_NS
        self._strays: list[tuple[int, int, str]] = []  # t_ns, local port, error: of upstream sockets not known yet

    def feed(self, t_ns: int, line: Mapping[str, object]) -> list[Event]:
        """What one line, which arrived at `t_ns`, tells for certain."""
        message, client = str(line.get("message", "")), str(line.get("client", ""))
        if message == "Accepted client":
            self.open[client] = Accepted(client, t_ns)
            return [Event("opened", client, t_ns)]
        if message == "Unable to open connection to upstream":
            return self._closed(client, t_ns, "upstream", "unreachable")
        if message == "Setup connection" and line.get("direction") == "upstream":
            waiting = next((found for found in self.open.values() if not found.dialled), None)
            if waiting is not None:
                waiting.dialled = True
        elif message in ("Source terminated", "Could not write to destination"):
            return self._failed(t_ns, str(line.get("error", "")))
        elif message.startswith("Remove link "):
            return self._removed(t_ns, str(line.get("link", "")))
        elif message.startswith("Cleanup closed toxic"):
            self._cut_ns = t_ns
        elif message == "Starting Toxiproxy":  # another process: what the one before had open ended with it
            return [event for client in list(self.open) for event in self._closed(client, t_ns, "proxy", "replaced")]
        return []

    def settle(self, now_ns: int) -> list[Event]:
        """Decides what is overdue: closes whose first sign is older than SETTLE_NS."""
        due = [
            found for found in self.open.values() if found.first_sign_ns and now_ns - found.first_sign_ns >= SETTLE_NS
        ]
        self._strays = [stray for stray in self._strays if now_ns - stray[0] < SETTLE_NS]
        return [event for found in due for event in self._decided(found)]

    @property
    def undecided(self) -> bool:
        """Is there a close to be settled later?"""
        return any(found.first_sign_ns for found in self.open.values())

    def _failed(self, t_ns: int, error: str) -> list[Event]:
        found = _SOCKET.search(error)
        if found is None:
            return []
        local, remote, reason = found.groups()
        port = port_of(local)
        if port == self._port:
            return self._sign(self.open.get(remote), t_ns, "client", reason)
        known = next((accepted for accepted in self.open.values() if accepted.upstream_port == port), None)
        if known is None:
            self._strays.append((t_ns, port, reason))
        return self._sign(known, t_ns, "upstream", reason)

    def _removed(self, t_ns: int, name: str) -> list[Event]:
        direction = "upstream" if name.endswith("upstream") else "downstream"
        found = self.open.get(name.removesuffix(direction))
        if found is None:
            return []
        found.removed.append(direction)
        found.first_sign_ns = found.first_sign_ns or t_ns
        # The warning of a failed read comes before the removal that it leads to, so there is one for each of these.
        stray = next((stray for stray in self._strays if stray[0] >= found.opened_ns), None)
        if direction == "downstream" and not found.upstream_port and stray is not None:
            self._strays.remove(stray)
            at_ns, found.upstream_port, reason = stray
            events = self._sign(found, at_ns, "upstream", reason)
            if events:
                return events
        return self._decided(found) if len(found.removed) == 2 else []

    def _sign(self, found: Accepted | None, t_ns: int, side: By, reason: str) -> list[Event]:
        """One side's socket failed. A reset decides at once; that the proxy closed it, only with the other side."""
        if found is None:
            return []
        found.first_sign_ns = min(found.first_sign_ns or t_ns, t_ns)
        if "use of closed" not in reason:
            return self._closed(found.client, found.first_sign_ns, side, "reset")
        found.ours.add(side)
        return self._decided(found) if len(found.ours) == 2 else []

    def _decided(self, found: Accepted) -> list[Event]:
        by: By
        if len(found.ours) == 2 or abs(found.first_sign_ns - self._cut_ns) < CUT_NS:
            by = "proxy"
        elif found.ours:
            by = "client" if "upstream" in found.ours else "upstream"
        else:
            by = "client" if found.removed[0] == "upstream" else "upstream"
        return self._closed(found.client, found.first_sign_ns, by)

    def _closed(self, client: str, t_ns: int, by: By, reason: str | None = None) -> list[Event]:
        found = self.open.pop(client, None)
        return [Event("closed", client, t_ns, by, reason, found.upstream_port)] if found is not None else []


def port_of(address: str) -> int:
    """The port of "127.0.0.1:53312"."""
    return int(address.rpartition(":")[2])
