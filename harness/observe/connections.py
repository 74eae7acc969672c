"""Connections: who was connected over which link, since when, until when, and which end closed.

Three witnesses, none of which crosses a proxy: the log of each link's proxy (`_proxy_log`); the broker's own connz
(`_connz`), which alone knows when a client reached it; and the kernel, where the log sleeps or cannot tell: while a
proxy is stopped, or holds bytes, a client that closes leaves the proxy's socket in CLOSE-WAIT, one that resets takes it
away. The kernel is asked every 50 ms.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic_ns
from typing import NamedTuple

from harness.errors import why
from harness.history.clock import take_anchor
from harness.history.recorder import Recorder
from harness.observe import _http
from harness.observe._base import Gap, Json
from harness.observe._connz import ENDED_BY_PEER, Connz, Entry
from harness.observe._own_ends import FRESH, is_probe
from harness.observe._proxy_log import SETTLE_NS, Accepted, Event, ProxyLog
from harness.runtime.contract import Ends, Link, LinkKey
from harness.verdict import Doubt

CONNZ_EVERY_S = 0.25
CONNZ_WITHIN_S = 1.0
CONNZ_PAGE = 1000
KERNEL_EVERY_S = 0.05
CLOSED_FOR_NS = 40_000_000
"""How long the kernel must have had a connection closed, without a line of the log, before it is told."""
GONE_FOR_NS = 200_000_000
"""The same for one that the kernel has no more: the log, which then tells who ended it, may only be late."""
LOOKS, LOOKS_EVERY_S = 6, 0.05
"""How often, and at what distance, the proxy's sockets are looked at for a new connection's."""
OPENED_LATE_NS = 1_000_000_000
"""How much later than the broker's own start the proxy's line of the same connection may have reached us."""
GUESS_WITHIN_NS = 100_000_000
"""A broker takes a connection up to this much later than its proxy, where their sockets could not be matched."""
FOUND_WITHIN_NS = 400_000_000
"""By then a connection's port was looked up; only after that is it guessed whose it is."""
DOUBT_NS = 1_000_000_000
"""A client that is still of no link after this time has come past the proxies."""


class _Bound(NamedTuple):
    """A connection of a link and the local port from which its proxy dialled the broker."""

    watch: _LinkWatch
    client: str
    opened_ns: int


States = Callable[[Sequence[Ends]], Awaitable[Mapping[Ends, str]]]
"""Asks the kernel for the state of sockets of the proxies, as Runtime.socket_states does."""


class Connections:
    """Records lines of kind `connection` for all `links`. `monitors`: each broker node's monitoring URL."""

    def __init__(
        self, recorder: Recorder, links: Mapping[LinkKey, Link], monitors: Mapping[str, str], states: States
    ) -> None:
        self.source = "connections"
        self._recorder, self._monitors, self._states = recorder, monitors, states
        self._ports: dict[int, list[_Bound]] = {}
        self._watches = [
            _LinkWatch(recorder, link, self._ports, bind=link.target in monitors) for link in links.values()
        ]
        self._kernel_gap = Gap(recorder, self.source)
        self._connz = {node: _ConnzWatch(recorder, node, url, self) for node, url in monitors.items()}

    def alive(self, link: LinkKey) -> int:
        """How many connections of a link are open now, the probe's left out. A link without a proxy has none."""
        return sum(watch.alive() for watch in self._watches if watch.key == link)

    async def watch(self) -> None:
        """Follows logs, kernel and brokers until cancelled. Connections made before are not seen: start it first."""
        unsubscribe = [watch.link.subscribe(watch.on_line) for watch in self._watches]
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._ask_kernel())
                for watch in self._watches:
                    group.create_task(watch.find_ports())
                for connz in self._connz.values():
                    group.create_task(connz.watch())
        finally:
            for stop in unsubscribe:
                stop()

    async def final(self) -> None:
        """Asks each broker once more, and again where a client is too new to be placed; complete if all answered."""
        from_ns = monotonic_ns()
        answered = [await connz.poll() for connz in self._connz.values()]
        if any(connz.unplaced for connz in self._connz.values()):
            await asyncio.sleep(FOUND_WITHIN_NS / 1e9 + KERNEL_EVERY_S)
            answered = [await connz.poll() for connz in self._connz.values()]
        count = sum(watch.count for watch in self._watches)
        self._recorder.line("read", source=self.source, complete=all(answered), count=count, from_ns=from_ns)

    async def _ask_kernel(self) -> None:
        while True:
            asked_ns = monotonic_ns()
            try:
                states = await self._states([ends for watch in self._watches for ends in watch.ends()])
            except OSError as error:
                self._kernel_gap.open(f"sockets: {why(error)}", from_ns=asked_ns)
            else:
                self._kernel_gap.close()
                for watch in self._watches:
                    watch.compare(asked_ns, states)
            await asyncio.sleep(KERNEL_EVERY_S)

    def place(self, node: str, entry: Entry, *, guess: bool) -> _Bound | None:
        """The link's connection that the broker's client is, if it is one.

        Known by its port; with `guess`, where several were dialled at once, the oldest of its link, or of its time.
        """
        latest, port = entry.start_ns + OPENED_LATE_NS, _port(entry.remote)
        for bound in reversed(self._ports.get(port, [])):
            if bound.opened_ns <= latest and bound.watch.link.target == node:
                return bound
        watches = [watch for watch in self._watches if watch.link.target == node]
        owners = [watch for watch in watches if port in watch.dialled_from]
        if not guess or (entry.ours and not owners):
            return None
        earliest = 0 if owners else entry.start_ns - GUESS_WITHIN_NS
        # A proxy dials in the order in which it accepts, and the broker's clients are told in the order of their start.
        # Whose a connection is that was not used is not known: under a one-way freeze a client waits as the probe does.
        found = [
            (opened_ns, client, watch)
            for watch in owners or watches
            for client, opened_ns in watch.unbound.items()
            if earliest <= opened_ns <= latest and (not entry.known or is_probe(client) is entry.ours)
        ]
        if not found:
            return None
        opened_ns, client, watch = min(found, key=lambda one: one[0])
        return watch.bind(client, port, opened_ns)

    def forget(self, node: str, before_ns: int) -> None:
        """That node will tell no more of what was opened before this moment."""
        for watch in self._watches:
            if watch.link.target == node:
                watch.unbound = {client: opened for client, opened in watch.unbound.items() if opened >= before_ns}


class _LinkWatch:
    """One link: what its proxy's log and the kernel say."""

    def __init__(self, recorder: Recorder, link: Link, ports: dict[int, list[_Bound]], *, bind: bool) -> None:
        self.link, self.key, self.count = link, (link.source, link.target), 0
        self.unbound: dict[str, int] = {}
        """Connections to a broker whose proxy's own port is not known: client -> opened_ns."""
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

    def bind(self, client: str, port: int, opened_ns: int) -> _Bound:
        """Remembers which local port the proxy dialled the broker from for this client."""
        self.unbound.pop(client, None)
        self._bound[client] = port
        bound = _Bound(self, client, opened_ns)
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
        ports = {_port(found.local) for found in sockets if _port(found.remote) == self.link.upstream_port}
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

    def tell(self, bound: _Bound, event: str, t_ns: int, entry: Entry) -> None:
        """Records what the broker knew; never before the proxy's own line, which the connection is known by."""
        by = "upstream" if event == "closed" and entry.reason not in ENDED_BY_PEER else None
        reason = entry.reason if event == "closed" else None
        t_ns = max(t_ns, bound.opened_ns)
        self._line(bound.client, event, t_ns, via="connz", cid=entry.cid, by=by, reason=reason)


@dataclass(slots=True)
class _Life:
    """What was read of the broker's present life."""

    server: str = ""
    read_ns: int = 0


class _ConnzWatch:
    """One broker node's clients, as itself tells them."""

    def __init__(self, recorder: Recorder, node: str, monitor: str, connections: Connections) -> None:
        self._recorder, self._node, self._monitor, self._connections = recorder, node, monitor, connections
        self._connz, self._life = Connz(), _Life()
        self._doubtful: dict[tuple[str, int], int] = {}
        self.unplaced = False
        """Whether a client is of no link yet, as last read."""

    async def watch(self) -> None:
        while True:
            await self.poll()
            await asyncio.sleep(CONNZ_EVERY_S)

    async def poll(self) -> bool:
        """Reads once; whether the broker answered. While it does not, nothing is lost: it keeps what to tell."""
        asked_ns, anchor = monotonic_ns(), take_anchor()
        try:
            documents = [document async for document in self._pages()]
            entries = [entry for document in documents for entry in self._connz.news(document, anchor)]
        except (OSError, ValueError, KeyError):
            return False
        server = str(documents[0]["server_id"])
        if self._life.server not in ("", server):  # with its last life went what that had not told yet
            reason = f"{self._node} was started anew"
            self._recorder.line("gap", source="connz", from_ns=self._life.read_ns, to_ns=asked_ns, why=reason)
            self._connections.forget(self._node, self._life.read_ns)
        self._life = _Life(server, asked_ns)
        for entry in entries:
            self._tell(entry, asked_ns)
        self.unplaced = any(one.used and not one.ours and not self._connz.heard_of(one) for one in entries)
        return True

    async def _pages(self) -> AsyncIterator[Json]:
        offset = 0
        while True:
            url = f"{self._monitor}/connz?state=any&limit={CONNZ_PAGE}&offset={offset}"
            answer = await _http.get(url, within_s=CONNZ_WITHIN_S)
            document = json.loads(answer.body)
            yield document
            offset += CONNZ_PAGE
            if offset >= int(document["total"]):
                return

    def _tell(self, entry: Entry, now_ns: int) -> None:
        guess = now_ns - entry.start_ns > FOUND_WITHIN_NS
        bound = self._connections.place(self._node, entry, guess=guess)
        if bound is None:
            return self._doubt(entry, monotonic_ns())
        if not self._connz.heard_of(entry):
            bound.watch.tell(bound, "reached", entry.start_ns, entry)
        if entry.stop_ns is not None:
            bound.watch.tell(bound, "closed", entry.stop_ns, entry)
        self._connz.told(entry)

    def _doubt(self, entry: Entry, now_ns: int) -> None:
        """Of no link: one of ours, one that only knocked, one whose proxy's line is still on its way; else a bypass."""
        key = (entry.server, entry.cid)
        if entry.ours or not entry.used:
            if entry.ours or entry.stop_ns is not None:
                self._connz.told(entry)
            return
        if now_ns - self._doubtful.setdefault(key, now_ns) < DOUBT_NS:
            return
        detail = f"a client at {entry.remote} reached {self._node} past the proxies (its cid {entry.cid})"
        self._recorder.line("trouble", name=Doubt.BYPASS, detail=detail, links=[])
        self._connz.told(entry)


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])
