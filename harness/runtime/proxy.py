"""Toxiproxy's API: a typed port over toxiproxy-python for setting up, and a small client of ours for faults.

toxiproxy-python knows how to make and list proxies and toxics. It has no deadlines, no PATCH, does not tell what a
toxic became, and keeps its server on a class. So what it sends goes through a transport of ours, and whatever a fault
needs goes past it. Every call here has a deadline, and every answer is compared with what was asked, since Toxiproxy
takes a misspelt attribute as 0.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import types
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal

from harness.errors import ProxyError
from harness.runtime._together import to_its_end
from harness.runtime.contract import Address

DEADLINE_S = 1.0
"""Of every call. An API that hangs is of a proxy that hangs (docs/faults.md): replace it."""

Stream = Literal["upstream", "downstream"]
Ask = Callable[[str, str, object, float], Coroutine[object, object, tuple[int, bytes]]]
"""Method, path, body and deadline in seconds of one request; status and body of its answer.

Raises TimeoutError, or OSError where there was none to read.
"""


class ProxyHangs(ProxyError):
    """The proxy's API did not answer by the deadline."""


@dataclass(frozen=True, slots=True)
class Toxic:
    """One toxic. `stream` "upstream" is what the client sends; `attributes` are Toxiproxy's, in its units.

    One that is not `on` (Toxiproxy: a toxicity of 0) is there and passes everything on, whatever its attributes.
    """

    name: str
    type: str
    stream: Stream
    attributes: Mapping[str, int]
    on: bool = True


@dataclass(frozen=True, slots=True)
class ProxyState:
    """A proxy as its server tells it."""

    listen: str
    upstream: str
    enabled: bool
    toxics: Mapping[str, Toxic]


class ProxyApi:
    """The API of one toxiproxy server with one proxy, called `name`; `ask` is the way to it."""

    def __init__(self, name: str, ask: Ask) -> None:
        self.name, self._ask = name, ask

    # ---- setting up, by toxiproxy-python ----

    async def create(self, listen: Address, upstream: Address, *, enabled: bool, toxics: list[Toxic]) -> None:
        """Makes the proxy with its toxics, and checks that it lists as asked. Raises ProxyError."""
        wanted = ProxyState(_text(listen), _text(upstream), enabled, {toxic.name: toxic for toxic in toxics})

        def make() -> None:
            server = _toxiproxy().Toxiproxy()
            proxy = server.create(wanted.upstream, self.name, listen=wanted.listen, enabled=enabled)
            for toxic in toxics:
                proxy.add_toxic(
                    name=toxic.name,
                    type=toxic.type,
                    stream=toxic.stream,
                    toxicity=float(toxic.on),
                    attributes=dict(toxic.attributes),
                )

        await self._by_package(make)
        made = await self.state()
        if made != wanted:
            raise ProxyError(f"the proxy is {made}, not {wanted}", where=self.name)

    async def state(self) -> ProxyState:
        """The proxy as it lists now. Raises ProxyError when there is none of that name."""

        def read() -> ProxyState | None:
            proxy = _toxiproxy().Toxiproxy().get_proxy(self.name)
            if proxy is None:
                return None
            toxics = {
                name: Toxic(name, toxic.type, toxic.stream, toxic.attributes, bool(toxic.toxicity))
                for name, toxic in proxy.toxics().items()
            }
            return ProxyState(proxy.listen, proxy.upstream, proxy.enabled, toxics)

        found = await self._by_package(read)
        if not isinstance(found, ProxyState):
            raise ProxyError("the server does not list the proxy", where=self.name)
        return found

    # ---- faults, past it ----

    async def update(self, toxic: Toxic) -> None:
        """Gives a toxic that is there other attributes; one that is turned off keeps those that it has.

        Toxiproxy writes the attributes of a PATCH before it interrupts who reads them, and a bandwidth toxic that holds
        a chunk for a slower rate then cuts it by the new one, past its end: the whole server panics. So such a toxic
        is turned off, and turned on with another rate, and never changed meanwhile.
        """
        body = {"toxicity": 1, "attributes": dict(toxic.attributes)} if toxic.on else {"toxicity": 0}
        self._check_toxic(await self._call("PATCH", f"/toxics/{toxic.name}", body), toxic)

    async def add(self, toxic: Toxic) -> None:
        """Adds a toxic at the end of its stream's chain; one of that name and kind that is there already will do."""
        body = {"name": toxic.name, "type": toxic.type, "stream": toxic.stream, "attributes": dict(toxic.attributes)}
        answer = await self._call("POST", "/toxics", body, may_be=(409,))
        if answer is None:
            answer = await self._call("GET", f"/toxics/{toxic.name}")
        self._check_toxic(answer, toxic)

    async def remove(self, name: str) -> None:
        """Removes a toxic; one that is not there is as good."""
        await self._call("DELETE", f"/toxics/{name}", may_be=(404,))

    async def enable(self, enabled: bool) -> None:
        """Lets the proxy listen, or closes its listener and all its connections."""
        answer = await self._call("PATCH", "", {"enabled": enabled})
        if not isinstance(answer, dict) or answer.get("enabled") is not enabled:
            raise ProxyError(f"it should be {enabled=} and answers {answer}", where=self.name)

    async def toxics(self) -> list[Mapping[str, object]]:
        """All toxics as the API tells them."""
        answer = await self._call("GET", "/toxics")
        if not isinstance(answer, list):
            raise ProxyError(f"no list of toxics: {answer}", where=self.name)
        return answer

    async def answers(self) -> bool:
        """Whether the API answers at all."""
        try:
            status, _ = await self._ask("GET", "/version", None, DEADLINE_S)
        except OSError:
            return False
        return status == 200

    async def _by_package(self, work: Any) -> object:
        token = _SERVER.set((self, asyncio.get_running_loop()))
        try:
            return await asyncio.to_thread(work)
        finally:
            _SERVER.reset(token)

    async def call(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        """One request; status and body of its answer. Raises ProxyHangs or ProxyError where there is none."""
        try:
            # To its end: an order given up on its way could be carried out after the one that undoes it.
            return await to_its_end(self._ask(method, path, body, DEADLINE_S))
        except TimeoutError as error:
            raise ProxyHangs(f"{method} {path} was not answered in {DEADLINE_S:g} s", where=self.name) from error
        except OSError as error:
            raise ProxyError(f"{method} {path}: {error.strerror or error}", where=self.name) from error

    async def _call(self, method: str, path: str, body: object = None, *, may_be: tuple[int, ...] = ()) -> Any:
        """The answer as JSON; None for an empty one, or one of the statuses that `may_be`."""
        path = f"/proxies/{self.name}{path}"
        status, answer = await self.call(method, path, body)
        return _json(self.name, method, path, status, answer, may_be)

    def _check_toxic(self, answer: object, toxic: Toxic) -> None:
        match answer:
            case {"type": toxic.type, "stream": toxic.stream, "attributes": dict(attributes), "toxicity": toxicity}:
                if toxicity == toxic.on and (attributes == dict(toxic.attributes) or not toxic.on):
                    return
        raise ProxyError(f"the toxic should be {toxic} and is {answer}", where=self.name)


# ---- toxiproxy-python, with a transport of ours -------------------------------------------------------------------

_SERVER: ContextVar[tuple[ProxyApi, asyncio.AbstractEventLoop]] = ContextVar("toxiproxy server")
_IMPORT = threading.Lock()


class _Answer:
    """What the package reads of an answer of `requests`."""

    def __init__(self, status_code: int, content: bytes, parsed: object) -> None:
        self.status_code, self.content, self._parsed = status_code, content, parsed

    def json(self) -> object:
        return self._parsed


class _Transport:
    """Stands where toxiproxy.api expects `requests`: with deadlines, and with errors that are not mistaken for answers.

    The package builds its addresses from class attributes, one server a process; the server that is meant is the
    context's, so that links can be set up side by side. It runs in a thread, what it asks in the loop.
    """

    def get(self, url: str, params: None = None) -> _Answer:
        return self._send("GET", url, None)

    def post(self, url: str, data: None = None, json: object = None) -> _Answer:
        return self._send("POST", url, json)

    def delete(self, url: str) -> _Answer:
        return self._send("DELETE", url, None)

    def _send(self, method: str, url: str, body: object) -> _Answer:
        server, loop = _SERVER.get()
        path = "/" + url.split("/", 3)[3]
        status, content = asyncio.run_coroutine_threadsafe(server.call(method, path, body), loop).result()
        return _Answer(status, content, _json(server.name, method, path, status, content))


def _toxiproxy() -> Any:
    """The package, with our transport in place of `requests`."""
    with _IMPORT, _without_requests():
        import toxiproxy
        import toxiproxy.api

        toxiproxy.api.requests = _TRANSPORT
    return toxiproxy


@contextmanager
def _without_requests() -> Iterator[None]:
    """Spares the import of `requests`, a quarter of a second at each start, which nothing would use."""
    if "requests" in sys.modules or "toxiproxy.api" in sys.modules:
        yield
        return
    sys.modules["requests"] = types.ModuleType("requests")
    try:
        yield
    finally:
        del sys.modules["requests"]


_TRANSPORT = _Transport()


def _text(address: Address) -> str:
    return f"{address[0]}:{address[1]}"


def _json(name: str, method: str, path: str, status: int, answer: bytes, may_be: tuple[int, ...] = ()) -> Any:
    if status in may_be:
        return None
    try:
        parsed = json.loads(answer) if answer.strip() else None
    except ValueError as error:
        raise ProxyError(f"{method} {path}: {status} and no JSON: {answer[:80]!r}", where=name) from error
    if status >= 300:
        said = parsed.get("error", parsed) if isinstance(parsed, dict) else parsed
        if status == 503:
            raise ProxyHangs(f"{method} {path}: the server gave up on itself", where=name)
        raise ProxyError(f"{method} {path}: {status} {said}", where=name)
    return parsed
