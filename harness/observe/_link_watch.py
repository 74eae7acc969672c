"""One link: what its proxy's log and the kernel say of its connections, and from which port each was dialled on."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from time import monotonic_ns
from typing import NamedTuple

from harness.history.recorder import Recorder
from harness.observe._connz import ENDED_BY_PEER, Entry
from harness.observe._own_ends import FRESH, is_probe
from harness.observe._proxy_log import SETTLE_NS, Accepted, Event, ProxyLog, port_of
from harness.runtime.contract import Ends, Link

CLOSED_FOR_NS = 40_000_000
"""How long the kernel must have had a connection closed, without a line of the log, before it is told."""
GONE_FOR_NS = 200_000_000
"""The same for one that the kernel has no more: the log, which then tells who ended it, may only be late."""
LOOKS, LOOKS_EVERY_S = 6, 0.05
"""How often, and at what distance, the proxy's sockets are looked at for a new connection's."""


class Bound(NamedTuple):
    """A connection of a link and the local port from which its proxy dialled the broker."""

    watch: LinkWatch
    client: str
    opened_ns: int


class LinkWatch:
    """One link: what its proxy's log and the kernel say."""

    def __init__(self, recorder: Recorder, link: Link, ports: dict[int, list[Bound]], *, bind: bool) -> None:
        self.link, self.key, self.count = link, (link.source, link.target), 0
        self.unbound: dict[str, int] = {}
        """Connections to a broker whose proxy's own port is not known: client -> opened_ns."""
        self.gone: dict[str, int] = {}
        """Those of them that were closed: client -> when."""
        self.dialled_from: set[int] = set()
        """Ports from which the proxy was seen to have dialled the broker, whoever's they were."""
        self._recorder, self._log, self._ports = recorder, ProxyLog(link.port), ports
        self._binds, self._listens = bind, f"{link.host}:{link.port}"
        self._bound: dict[str, int] = {}  # client -> port, of open connections
        self._left: dict[int, int] = {}  # port -> when the last connection that had it was seen to close
        self._pids: dict[str, int] = {}  # client -> the proxy that accepted it
        self._suspects: dict[str, int] = {}  # client -> when the kernel first had it closed
        self._told: set[str] = set()  # clients of open connections whose close the kernel told already
        self._settling = False
        self._dialled = asyncio.Event()

    def on_line(self, t_ns: int, line: Mapping[str, object]) -> None:
        """A line of the proxy's log."""
        self._record(self._log.feed(t_ns, line))
        if self._binds and line.get("message") == "Setup connection" and line.get("direction") == "upstream":
            self._dialled.set()
        if self._log.undecided and not self._settling:
            self._settling = True
            asyncio.get_running_loop().call_later(1.2 * SETTLE_NS / 1e9, self._settle)

    def alive(self) -> int:
        """Connections that neither the log nor the kernel has closed, the probe's left out."""
        return sum(
            not found.first_sign_ns and client not in self._told and not is_probe(client)
            for client, found in self._log.open.items()
        )

    def ends(self) -> list[Ends]:
        """The proxy's sockets towards the clients of open connections."""
        return [(self._listens, client) for client in self._log.open if client not in self._told]

    def compare(self, asked_ns: int, states: Mapping[Ends, str]) -> None:
        """Closes that the log does not tell, told once the kernel has had them closed for a while."""
        for ends in self.ends():
            state = states.get(ends, "")
            if state != "CLOSE_WAIT" and (state or not self._same_proxy(ends[1])):
                self._suspects.pop(ends[1], None)
                continue
            first_ns = self._suspects.setdefault(ends[1], asked_ns)
            if asked_ns - first_ns >= (CLOSED_FOR_NS if state else GONE_FOR_NS):
                self._told.add(ends[1])
                reason = None if state else "reset"
                self._line(ends[1], "closed", first_ns, via="close_wait", by="client", reason=reason)

    def bind(self, client: str, port: int, opened_ns: int) -> Bound:
        """Remembers which local port the proxy dialled the broker from for this client."""
        self.unbound.pop(client, None)
        self.gone.pop(client, None)
        self._bound[client] = port
        bound = Bound(self, client, opened_ns)
        self._ports.setdefault(port, []).append(bound)
        return bound

    async def find_ports(self) -> None:
        """Finds from which local port the proxy dialled the broker, for each connection, until cancelled.

        Of several at once it cannot be told which is whose. They are looked at again: of the many that wait when a way
        opens again most are given up, and end, and tell their port in doing so.
        """
        while True:
            await self._dialled.wait()
            self._dialled.clear()
            for _ in range(LOOKS):
                if not self._unknown():
                    break
                with suppress(OSError):  # then it is matched by its start
                    await self._look()
                await asyncio.sleep(LOOKS_EVERY_S)

    async def _look(self) -> None:
        before = self._unknown()
        sockets = await self.link.own_sockets()
        ports = {port_of(found.local) for found in sockets if port_of(found.remote) == self.link.upstream_port}
        self.dialled_from |= ports
        free = ports - set(self._bound.values())
        if len(before) == len(free) == 1 and before == self._unknown()[:1]:
            (before[0].upstream_port,) = free
            self.bind(before[0].client, before[0].upstream_port, before[0].opened_ns)

    def _unknown(self) -> list[Accepted]:
        """Open connections whose port is to be found; not the probe's fresh ones, which tell it in closing at once."""
        return [
            found
            for client, found in self._log.open.items()
            if found.dialled and client not in self._bound and not FRESH.made(client)
        ]

    def _record(self, events: list[Event]) -> None:
        for event in events:
            if event.event == "opened":
                self.count += 1
                self._pids[event.client] = self.link.proxy_pid
                if self._binds:
                    self.unbound[event.client] = event.t_ns
            else:
                self._pids.pop(event.client, None)
                self._suspects.pop(event.client, None)
                self._told.discard(event.client)
                opened_ns, port = self.unbound.get(event.client), event.upstream_port
                if opened_ns is not None and port and not self._anothers(port, opened_ns):
                    self.bind(event.client, port, opened_ns)
                elif event.reason == "unreachable":
                    self.unbound.pop(event.client, None)
                elif opened_ns is not None:
                    self.gone[event.client] = event.t_ns
                if (left := self._bound.pop(event.client, None)) is not None:
                    self._left[left] = event.t_ns
            self._line(event.client, event.event, event.t_ns, via="proxy", by=event.by, reason=event.reason)

    def _anothers(self, port: int, since_ns: int) -> bool:
        """Was it another connection's since then? Of many that close at once the log may tell another's port."""
        return port in self._bound.values() or self._left.get(port, -1) >= since_ns

    def _settle(self) -> None:
        self._settling = False
        self._record(self._log.settle(monotonic_ns()))

    def _same_proxy(self, client: str) -> bool:
        """Does the proxy that accepted it still live? Its sockets go with it, which is no doing of the client."""
        return self._pids.get(client) == self.link.proxy_pid and self.link.proxy_state() != ""

    def _line(self, client: str, event: str, t_ns: int, *, via: str, **more: str | int | None) -> None:
        known = {name: value for name, value in more.items() if value is not None}
        if is_probe(client):
            known["probe"] = True
        self._recorder.line(
            "connection",
            t_ns=t_ns,
            source=self.link.source,
            target=self.link.target,
            client=client,
            event=event,
            via=via,
            **known,
        )

    def tell(self, bound: Bound, event: str, t_ns: int, entry: Entry) -> None:
        """Records what the broker knew; never before the proxy's own line, which the connection is known by."""
        by = "upstream" if event == "closed" and entry.reason not in ENDED_BY_PEER else None
        reason = entry.reason if event == "closed" else None
        t_ns = max(t_ns, bound.opened_ns)
        self._line(bound.client, event, t_ns, via="connz", cid=entry.cid, by=by, reason=reason)
