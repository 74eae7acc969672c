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
from dataclasses import dataclass
from time import monotonic_ns

from harness.errors import why
from harness.history.clock import take_anchor
from harness.history.lines import NEVER_NS
from harness.history.recorder import Recorder
from harness.observe import _http
from harness.observe._base import Gap, Json
from harness.observe._connz import Connz, Entry
from harness.observe._link_watch import Bound, LinkWatch
from harness.observe._own_ends import is_probe
from harness.observe._proxy_log import port_of
from harness.runtime.contract import Ends, Link, LinkKey
from harness.verdict import Doubt

CONNZ_EVERY_S = 0.25
CONNZ_WITHIN_S = 1.0
CONNZ_PAGE = 1000
KERNEL_EVERY_S = 0.05
OPENED_LATE_NS = 1_000_000_000
"""How much later than the broker's own start the proxy's line of the same connection may have reached us."""
GUESS_WITHIN_NS = 100_000_000
"""A broker takes a connection up to this much later than its proxy, where their sockets could not be matched."""
FOUND_WITHIN_NS = 400_000_000
"""By then a connection's port was looked up; only after that is it guessed whose it is."""
DOUBT_NS = 1_000_000_000
"""A client that is still of no link after this time has come past the proxies."""

States = Callable[[Sequence[Ends]], Awaitable[Mapping[Ends, str]]]
"""Asks the kernel for the state of sockets of the proxies, as Runtime.socket_states does."""


class Connections:
    """Records lines of kind `connection` for all `links`. `monitors`: each broker node's monitoring URL."""

    def __init__(
        self, recorder: Recorder, links: Mapping[LinkKey, Link], monitors: Mapping[str, str], states: States
    ) -> None:
        self.source = "connections"
        self._recorder, self._monitors, self._states = recorder, monitors, states
        self._ports: dict[int, list[Bound]] = {}
        self._watches = [
            LinkWatch(recorder, link, self._ports, bind=link.target in monitors) for link in links.values()
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

    def place(self, node: str, entry: Entry, *, guess: bool) -> Bound | None:
        """The link's connection that the broker's client is, if it is one.

        Known by its port; with `guess`, where several were dialled at once, the oldest of its link, or of its time.
        """
        latest, port = entry.start_ns + OPENED_LATE_NS, port_of(entry.remote)
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
        # But who ended before a connection was opened that lives is not that: it looked whether anybody listens.
        found = [
            (opened_ns, client, watch)
            for watch in owners or watches
            for client, opened_ns in watch.unbound.items()
            if earliest <= opened_ns <= latest and (not entry.known or is_probe(client) is entry.ours)
            if entry.stop_ns is None or opened_ns <= entry.stop_ns or client in watch.gone
        ]
        if not found:
            return None
        return self._oldest(found, port)

    def spare(self, node: str, entry: Entry) -> Bound | None:
        """The oldest of the links' connections that nobody took and that lived when the broker's client began.

        A broker that gets no core takes a connection up any while after its proxy.
        """
        until_ns, since_ns = entry.start_ns + OPENED_LATE_NS, entry.start_ns - GUESS_WITHIN_NS
        found = [
            (opened_ns, client, watch)
            for watch in self._watches
            for client, opened_ns in watch.unbound.items()
            if watch.link.target == node and is_probe(client) is entry.ours
            if opened_ns <= until_ns and watch.gone.get(client, NEVER_NS) >= since_ns
        ]
        return self._oldest(found, port_of(entry.remote)) if found else None

    def _oldest(self, found: Sequence[tuple[int, str, LinkWatch]], port: int) -> Bound:
        opened_ns, client, watch = min(found, key=lambda one: one[0])
        return watch.bind(client, port, opened_ns)

    def forget(self, node: str, before_ns: int) -> None:
        """That node will tell no more of what was opened before this moment."""
        for watch in self._watches:
            if watch.link.target == node:
                watch.unbound = {client: opened for client, opened in watch.unbound.items() if opened >= before_ns}
                watch.gone = {client: gone for client, gone in watch.gone.items() if client in watch.unbound}


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
        bound = self._connections.place(self._node, entry, guess=guess) or self._doubted(entry, monotonic_ns())
        if bound is None:
            return
        if not self._connz.heard_of(entry):
            bound.watch.tell(bound, "reached", entry.start_ns, entry)
        if entry.stop_ns is not None:
            bound.watch.tell(bound, "closed", entry.stop_ns, entry)
        self._connz.told(entry)

    def _doubted(self, entry: Entry, now_ns: int) -> Bound | None:
        """Of no link: one of ours, one that only knocked, one whose proxy's line is still on its way; else a bypass.

        But if a link's connection can be it, it is that one.
        """
        if entry.ours or not entry.used:
            if entry.ours or entry.stop_ns is not None:
                self._connz.told(entry)
            return None
        if now_ns - self._doubtful.setdefault((entry.server, entry.cid), now_ns) < DOUBT_NS:
            return None
        if (bound := self._connections.spare(self._node, entry)) is not None:
            return bound
        detail = f"a client at {entry.remote} reached {self._node} past the proxies (its cid {entry.cid})"
        self._recorder.line("trouble", name=Doubt.BYPASS, detail=detail, links=[])
        self._connz.told(entry)
        return None
