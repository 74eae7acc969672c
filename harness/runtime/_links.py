"""A link as a toxiproxy process of its own, so that a freeze is a signal and a proxy that hangs takes nobody along."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from time import monotonic_ns

from harness.errors import HarnessError, ProxyError, StartError, UsageError
from harness.runtime import _toxics
from harness.runtime._child import Exit
from harness.runtime._hosting import ProxyHost, ProxyProcess
from harness.runtime._together import together
from harness.runtime._toxics import WAYS
from harness.runtime.contract import Address, Crossed, How, Impairment, LinkKey, Recorder, Socket, Subscriber, Way
from harness.runtime.proxy import ProxyApi, ProxyHangs

UP_WITHIN_S = 5.0
LOOK_EVERY_S = 0.003
_LISTENS = "Starting Toxiproxy HTTP server"
_FAILED = "Server finished with error"


class ProxyLink:
    """contract.Link in every runtime; where its proxy lives is `host`'s affair. Made refusing; `open` lets clients in.

    `listen` is what the source dials, `api` where the proxy takes its orders, `upstream` the target's own address, all
    of them where the proxy lives. `published` is this machine's way there, where it has another than `listen`.
    """

    def __init__(
        self,
        key: LinkKey,
        *,
        scheme: str,
        listen: Address,
        api: Address,
        upstream: Address,
        host: ProxyHost,
        recorder: Recorder,
        published: Address | None = None,
    ) -> None:
        self.source, self.target = key
        self._scheme, self._listen, self._upstream = scheme, listen, upstream
        self.published = published or listen
        """See Link."""
        self._proxy_host, self._recorder = host, recorder
        self._api_address = api
        self._api = ProxyApi("-".join(key), partial(host.ask, api))
        self._subscribers: list[Subscriber] = []
        self._lock = asyncio.Lock()
        self._process: ProxyProcess | None = None
        self._listens = asyncio.Event()
        self._api_failed = ""
        self._refusing, self._is_up = True, False
        # Whether the proxy listens; None while it is being told.
        self._enabled: bool | None = False
        # What mend has to undo; set before it is done, so that a cut that was cancelled halfway is undone too.
        self._frozen, self._shut, self._loses = False, False, False
        self._delayed: set[Way] = set()
        self._limited: set[Way] = set()
        self._added: set[str] = set()

    # ---- what it is ----

    @property
    def port(self) -> int:
        """See Link."""
        return self._listen[1]

    @property
    def host(self) -> str:
        """See Link."""
        return self._listen[0]

    @property
    def upstream_port(self) -> int:
        """See Link."""
        return self._upstream[1]

    @property
    def url(self) -> str:
        """See Link."""
        return f"{self._scheme}://{self.host}:{self.port}"

    @property
    def proxy_pid(self) -> int:
        """See Link."""
        return self._running.pid

    @property
    def refusing(self) -> bool:
        """See Link."""
        return self._refusing or self._shut

    def proxy_state(self) -> str:
        """See Link."""
        return self._running.states()

    async def toxics(self) -> list[Mapping[str, object]]:
        """See Link."""
        return await self._api.toxics()

    def subscribe(self, callback: Subscriber) -> Callable[[], None]:
        """See Link."""
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback)

    async def own_sockets(self) -> list[Socket]:
        """See Link."""
        return await self._running.sockets({self.port, self.upstream_port})

    async def crossed(self) -> Crossed:
        """See Link."""
        ours = f"{self.host}:{self.port}"
        found = await self.own_sockets()
        source = [one for one in found if one.local == ours]
        target = [one for one in found if one.local != ours]
        return Crossed(
            sum(one.received for one in source),
            sum(max(one.acked - 1, 0) for one in target),  # the proxy dialled these: its SYN is counted too
            sum(one.received for one in target),
            sum(one.acked for one in source),
        )

    def reached_at(self, host: str) -> None:
        """Before it is made: by this one of the addresses there whoever dials `published` comes in."""
        self._listen = host, self.port

    # ---- what is done to it ----

    async def make(self) -> None:
        """Starts the proxy, refusing. Raises StartError or ProxyError."""
        async with self._lock:
            await self._bring_up()
        self._line("made", port=self.port)

    async def cut(self, how: How, way: Way = "both", *, new: bool = False) -> int:
        """See Link."""
        if how in ("refused", "reset") and way != "both":
            raise UsageError(f"{how} has no ways: {way!r}", where=self._name, fix=f'cut("{how}")')
        async with self._lock:
            match how:
                case "silent":
                    t_ns = await self._or_replaced(lambda: self._add("timeout", {"timeout": 0}, way))
                case "refused":
                    self._shut = True
                    t_ns = await self._or_replaced(self._tell_enabled)
                case "reset":
                    t_ns = await self._or_replaced(lambda: self._reset(new))
                case "frozen" if way == "both":
                    t_ns = await self._or_replaced(self._freeze)
                case "frozen":
                    t_ns = await self._or_replaced(lambda: self._limit({way}, 0))
        self._line("cut", t_ns=t_ns, how=how, way=way)
        return t_ns

    async def slow(
        self, *, latency_ms: float = 0, jitter_ms: float = 0, rate_bytes_s: float = 0, way: Way = "both"
    ) -> int:
        """See Link."""
        ways = set(WAYS[way])

        async def slowed() -> int:
            await self._delay(ways, latency_ms, jitter_ms)
            return await self._limit(ways, rate_bytes_s or None)

        async with self._lock:
            t_ns = await self._or_replaced(slowed)
        asked = {"latency_ms": latency_ms, "jitter_ms": jitter_ms, "rate_bytes_s": rate_bytes_s}
        self._line("slowed", t_ns=t_ns, how=_toxics.told(asked), way=way)
        return t_ns

    async def impair(self, toxic: Impairment, attributes: Mapping[str, int], way: Way = "both") -> int:
        """See Link."""
        async with self._lock:
            t_ns = await self._or_replaced(lambda: self._add(toxic, attributes, way))
        self._line("impaired", t_ns=t_ns, how=f"{toxic}: {_toxics.told(attributes)}", way=way)
        return t_ns

    def can_lose(self) -> None:
        """See Link."""
        self._proxy_host.can_lose()

    async def lose(self, share: float, way: Way = "both") -> int:
        """See Link."""
        async with self._lock:
            self._loses = True
            await self._proxy_host.lose(self.port, share, WAYS[way])
            t_ns = monotonic_ns()
        self._line("impaired", t_ns=t_ns, how=f"packets lost: {share:.1%}", way=way)
        return t_ns

    async def mend(self) -> int:
        """See Link."""
        async with self._lock:
            if self._loses:
                await self._find_packets()
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

    async def _delay(self, ways: set[Way], latency_ms: float, jitter_ms: float) -> int:
        if latency_ms or jitter_ms or self._delayed & ways:
            self._delayed |= ways
            await together(self._api.update(_toxics.latency(way, latency_ms, jitter_ms)) for way in sorted(ways))
        return monotonic_ns()

    async def _limit(self, ways: set[Way], bytes_s: float | None) -> int:
        """None: no limit. Another rate than the one that holds bytes now is set by way of none: see ProxyApi.update."""
        await together(self._api.update(_toxics.rate(way)) for way in sorted(self._limited & ways))
        self._limited -= ways
        if bytes_s is not None:
            self._limited |= ways
            await together(self._api.update(_toxics.rate(way, bytes_s)) for way in sorted(ways))
        return monotonic_ns()

    async def _add(self, kind: str, attributes: Mapping[str, int], way: Way) -> int:
        toxics = [_toxics.passing(kind, way, attributes) for way in WAYS[way]]
        self._added.update(toxic.name for toxic in toxics)
        await together(self._api.add(toxic) for toxic in toxics)
        return monotonic_ns()

    async def _reset(self, new: bool) -> int:
        await self._running.linger_0({self.port, self.upstream_port})
        self._shut = True
        try:
            t_ns = await self._tell_enabled()  # it closes every connection, before it answers
            if new:  # from here on: one that is there when the toxic comes would end cleanly
                await self._add("reset_peer", {"timeout": 0}, "both")
        finally:
            self._shut = False
        await self._tell_enabled()
        return t_ns

    async def _find_packets(self) -> None:
        try:
            lost = await self._proxy_host.lost(self.port)
            self._line("lost", seen=lost.seen, dropped=lost.dropped)
        finally:
            await self._proxy_host.whole(self.port)
        self._loses = False

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
        self._shut = False
        if self._enabled is self._refusing or self._enabled is None:  # asked for while it was frozen, or shut by a cut
            t_ns = await self._tell_enabled()
        if self._limited:
            # Before the other gates, which hang the proxy's API while they wait behind one of these. Only gates that
            # were closed are told: one whose client gave up with a chunk on its way may not answer for seconds.
            t_ns = await self._limit(self._limited, None)
        if self._delayed:
            t_ns = await self._delay(self._delayed, 0, 0)
            self._delayed.clear()
        if self._added:
            await together(self._api.remove(name) for name in sorted(self._added))
            self._added.clear()
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
        enabled, self._enabled = not self.refusing, None
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
            if self._running.lives():
                raise
            await self._replace(f"the proxy died: {error.what}")
        return await action()

    async def _replace(self, why: str) -> int:
        self._is_up = False  # also where this is interrupted: one that is killed may seem to live for a while
        await self._running.kill()
        self._running.close()
        self._frozen = False
        self._delayed.clear()
        self._limited.clear()
        self._added.clear()
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
        self._process = await self._proxy_host.start(
            self._name, self._api_address, on_line=self._hear, on_exit=lambda _: self._listens.set()
        )
        try:
            async with asyncio.timeout(UP_WITHIN_S):
                await self._listens.wait()
                while not await self._api.answers():
                    self._check_up()
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError as error:
            raise StartError(f"the proxy's API did not answer in {UP_WITHIN_S:g} s", where=self._name) from error
        enabled = not self.refusing
        await self._api.create(self._listen, self._upstream, enabled=enabled, toxics=_toxics.gates())
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
    def _running(self) -> ProxyProcess:
        if self._process is None:
            raise ProxyError("the link was not made yet", where=self._name, fix="open the runtime first")
        return self._process

    @property
    def process(self) -> ProxyProcess | None:
        """The proxy's process, for the runtime, which closes it."""
        return self._process

    def _line(self, event: str, *, t_ns: int | None = None, **fields: object) -> None:
        self._recorder.line("link", t_ns=t_ns, source=self.source, target=self.target, event=event, **fields)
