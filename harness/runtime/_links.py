"""A link as a toxiproxy process of its own, so that a freeze is a signal and a proxy that hangs takes nobody along.

Its gates (a delay of 0 and a rate without end, both ways) are made at creation, changed by PATCH and never removed: an
end dies within some 20 ms of a latency toxic's removal.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from time import monotonic_ns

from harness.errors import HarnessError, ProxyError, StartError, UsageError
from harness.runtime import _proc, sockets
from harness.runtime._child import Child, Exit
from harness.runtime._http import LOOPBACK
from harness.runtime._together import together
from harness.runtime.contract import Crossed, How, LinkKey, Recorder, Socket, Subscriber, Way
from harness.runtime.journal import Journal
from harness.runtime.proxy import ProxyApi, ProxyHangs, Stream, Toxic

UP_WITHIN_S = 5.0
LOOK_EVERY_S = 0.003
NO_LIMIT = 1_000_000_000
"""Kilobytes a second: a gate that holds nothing back. 0 holds everything."""

_STREAMS: dict[str, Stream] = {"to": "upstream", "from": "downstream"}
_WAYS: dict[Way, tuple[str, ...]] = {"both": ("to", "from"), "to": ("to",), "from": ("from",)}
_LISTENS = "Starting Toxiproxy HTTP server"
_FAILED = "Server finished with error"


def _latency(way: str, latency_ms: int = 0, jitter_ms: int = 0) -> Toxic:
    return Toxic(f"latency_{way}", "latency", _STREAMS[way], {"latency": latency_ms, "jitter": jitter_ms})


def _rate(way: str, kilobytes_s: int = NO_LIMIT) -> Toxic:
    return Toxic(f"rate_{way}", "bandwidth", _STREAMS[way], {"rate": kilobytes_s})


def _silence(way: str) -> Toxic:
    return Toxic(f"silence_{way}", "timeout", _STREAMS[way], {"timeout": 0})


def _gates() -> list[Toxic]:
    return [gate for way in _STREAMS for gate in (_latency(way), _rate(way))]


class ProxyLink:
    """contract.Link in the process runtime. Made refusing; `open` lets clients in."""

    def __init__(
        self,
        key: LinkKey,
        *,
        scheme: str,
        port: int,
        api_port: int,
        upstream_port: int,
        binary: Path,
        env: Mapping[str, str],
        journal: Journal,
        recorder: Recorder,
    ) -> None:
        self.source, self.target = key
        self._scheme, self._port, self._upstream_port = scheme, port, upstream_port
        self._binary = binary
        self._argv = [str(binary), "-host", LOOPBACK, "-port", str(api_port)]
        self._env, self._journal, self._recorder = {**env, "LOG_LEVEL": "trace"}, journal, recorder
        self._api = ProxyApi("-".join(key), api_port=api_port)
        self._subscribers: list[Subscriber] = []
        self._lock = asyncio.Lock()
        self._child: Child | None = None
        self._listens = asyncio.Event()
        self._api_failed = ""
        self._refusing, self._frozen = True, False
        self._enabled, self._is_up = False, False
        # What mend has to undo; set before it is done, so that a cut that was cancelled halfway is undone too.
        self._silenced: set[str] = set()
        self._gated: set[str] = set()

    # ---- what it is ----

    @property
    def port(self) -> int:
        """See Link."""
        return self._port

    @property
    def upstream_port(self) -> int:
        """See Link."""
        return self._upstream_port

    @property
    def url(self) -> str:
        """See Link."""
        return f"{self._scheme}://{LOOPBACK}:{self._port}"

    @property
    def proxy_pid(self) -> int:
        """See Link."""
        return self._running.pid

    @property
    def refusing(self) -> bool:
        """See Link."""
        return self._refusing

    def proxy_state(self) -> str:
        """See Link."""
        return _proc.task_states(self._running.pid)

    async def toxics(self) -> list[Mapping[str, object]]:
        """See Link."""
        return await self._api.toxics()

    def subscribe(self, callback: Subscriber) -> Callable[[], None]:
        """See Link."""
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback)

    async def own_sockets(self) -> list[Socket]:
        """See Link."""
        pid, ports = self._running.pid, {self._port, self._upstream_port}

        def read() -> list[Socket]:
            owned = sockets.owned_inodes(pid)
            return [found for found in sockets.tcp_sockets(ports) if found.inode in owned]

        return await asyncio.to_thread(read)

    async def crossed(self) -> Crossed:
        """See Link."""
        ours = f"{LOOPBACK}:{self._port}"
        found = await self.own_sockets()
        source = [one for one in found if one.local == ours]
        target = [one for one in found if one.local != ours]
        return Crossed(
            sum(one.received for one in source),
            sum(max(one.acked - 1, 0) for one in target),  # the proxy dialled these: its SYN is counted too
            sum(one.received for one in target),
            sum(one.acked for one in source),
        )

    # ---- what is done to it ----

    async def make(self) -> None:
        """Starts the proxy, refusing. Raises StartError or ProxyError."""
        async with self._lock:
            await self._bring_up()
        self._line("made", port=self._port)

    async def cut(self, how: How, way: Way = "both") -> int:
        """See Link."""
        if how == "refused":
            if way != "both":
                raise UsageError(f"a refusal has no ways: {way!r}", where=self._name, fix='cut("refused")')
            return await self.refuse()
        async with self._lock:
            if how == "silent":
                t_ns = await self._or_replaced(lambda: self._silence(way))
            elif way == "both":
                t_ns = await self._or_replaced(self._freeze)
            else:
                t_ns = await self._or_replaced(lambda: self._gate([_rate(way, 0)], {way}))
        self._line("cut", t_ns=t_ns, how=how, way=way)
        return t_ns

    async def slow(
        self, *, latency_ms: float = 0, jitter_ms: float = 0, rate_bytes_s: float = 0, way: Way = "both"
    ) -> int:
        """See Link."""
        rate = max(1, round(rate_bytes_s / 1000)) if rate_bytes_s else NO_LIMIT
        ways = _WAYS[way]
        gates = [_latency(way, round(latency_ms), round(jitter_ms)) for way in ways] + [
            _rate(way, rate) for way in ways
        ]
        async with self._lock:
            t_ns = await self._or_replaced(lambda: self._gate(gates, set(ways)))
        asked = {"latency_ms": latency_ms, "jitter_ms": jitter_ms, "rate_bytes_s": rate_bytes_s}
        how = ", ".join(f"{name} {value:g}" for name, value in asked.items() if value)
        self._line("slowed", t_ns=t_ns, how=how, way=way)
        return t_ns

    async def mend(self) -> int:
        """See Link."""
        async with self._lock:
            t_ns = await self._or_replaced(self._mend)
        self._line("mended", t_ns=t_ns)
        return t_ns

    async def refuse(self) -> int:
        """See Link."""
        return await self._enable(False)

    async def open(self) -> int:
        """See Link."""
        return await self._enable(True)

    async def replace(self) -> int:
        """See Link."""
        async with self._lock:
            return await self._replace("asked for")

    # ---- how ----

    async def _silence(self, way: Way) -> int:
        self._silenced.update(_WAYS[way])
        await together(self._api.add(_silence(way)) for way in _WAYS[way])
        return monotonic_ns()

    async def _gate(self, gates: list[Toxic], ways: set[str]) -> int:
        self._gated |= ways
        await together(self._api.update(gate) for gate in gates)
        return monotonic_ns()

    async def _freeze(self) -> int:
        self._frozen = True
        try:
            return await self._running.stop(alone=True)
        except (TimeoutError, HarnessError) as error:
            raise ProxyError(f"the proxy did not stop: {error}", where=self._name) from error

    async def _mend(self) -> int:
        t_ns = monotonic_ns()
        if self._frozen:
            try:
                t_ns = await self._running.go_on(alone=True)
            except TimeoutError as error:
                raise ProxyError("the proxy did not go on", where=self._name) from error
            self._frozen = False
        if self._enabled is self._refusing:  # asked for while it was frozen
            await self._tell_enabled()
        if self._gated:
            # In this order: a latency gate that waits behind a closed rate gate hangs the proxy's API.
            await self._gate([_rate(way) for way in sorted(self._gated)], set())
            t_ns = await self._gate([_latency(way) for way in sorted(self._gated)], set())
            self._gated.clear()
        if self._silenced:
            await together(self._api.remove(_silence(way).name) for way in sorted(self._silenced))
            self._silenced.clear()
            t_ns = monotonic_ns()
        return t_ns

    async def _enable(self, enabled: bool) -> int:
        async with self._lock:
            self._refusing = not enabled
            # A frozen proxy cannot be told; mend does it.
            t_ns = monotonic_ns() if self._frozen else await self._or_replaced(self._tell_enabled)
        self._line("open" if enabled else "refusing", t_ns=t_ns)
        return t_ns

    async def _tell_enabled(self) -> int:
        enabled = not self._refusing
        await self._api.enable(enabled)
        self._enabled = enabled
        return monotonic_ns()

    async def _or_replaced(self, action: Callable[[], Awaitable[int]]) -> int:
        """Does it; where the proxy hangs, or is dead, another takes its place and is told the same."""
        try:
            if self._is_up:
                return await action()
            await self._replace("the last replacement was interrupted")
        except ProxyHangs as error:
            await self._replace(error.what)
        except ProxyError as error:
            if _proc.alive(self._running.identity):
                raise
            await self._replace(f"the proxy died: {error.what}")
        return await action()

    async def _replace(self, why: str) -> int:
        await self._running.kill()
        self._running.close()
        self._frozen = False
        self._gated.clear()
        self._silenced.clear()
        await self._bring_up()
        t_ns = monotonic_ns()
        self._line("replaced", t_ns=t_ns)
        self._recorder.line(
            "trouble",
            t_ns=t_ns,
            name="proxy replaced",
            detail=f"{self._name}: {why}",
            links=[[self.source, self.target]],
        )
        return t_ns

    async def _bring_up(self) -> None:
        self._is_up = False
        self._listens.clear()
        self._api_failed = ""
        self._child = Child(
            f"proxy {self._name}",
            self._argv,
            env=self._env,
            cwd=Path("/"),
            journal=self._journal,
            on_line=self._hear,
            on_exit=lambda _: self._listens.set(),
        )
        try:
            async with asyncio.timeout(UP_WITHIN_S):
                await self._listens.wait()
                while not await self._api.answers():
                    self._check_up()
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError as error:
            raise StartError(f"the proxy's API did not answer in {UP_WITHIN_S:g} s", where=self._name) from error
        enabled = not self._refusing
        await self._api.create(port=self._port, upstream_port=self._upstream_port, enabled=enabled, toxics=_gates())
        # Only now: had its port been taken, another server could have answered in its place.
        self._check_up()
        self._enabled, self._is_up = enabled, True

    def _check_up(self) -> None:
        if not self._running.alive:
            end: Exit = self._running.ended.result()
            raise StartError(f"the proxy died: {end}", where=self._name)
        if self._api_failed:
            raise StartError(f"the proxy has no API: {self._api_failed}", where=self._name)

    def _hear(self, t_ns: int, text: str) -> None:
        try:
            line = json.loads(text)
        except ValueError:
            line = {"level": "error", "message": text}  # a panic is no JSON
        if not isinstance(line, dict):
            return
        if line.get("message") == _LISTENS:
            self._listens.set()
        elif line.get("message") == _FAILED:
            self._api_failed = str(line.get("error"))
        for subscriber in tuple(self._subscribers):
            subscriber(t_ns, line)

    @property
    def _name(self) -> str:
        return f"{self.source} - {self.target}"

    @property
    def _running(self) -> Child:
        if self._child is None:
            raise ProxyError("the link was not made yet", where=self._name, fix="open the runtime first")
        return self._child

    @property
    def child(self) -> Child | None:
        """The proxy's process, for the runtime, which closes it."""
        return self._child

    def _line(self, event: str, *, t_ns: int | None = None, **fields: object) -> None:
        self._recorder.line("link", t_ns=t_ns, source=self.source, target=self.target, event=event, **fields)
