"""The probe, as the runner sees it: a process of its own that crosses links under fault and records what arrived.

It is started idle, once a scenario, and told what to cross; `probing` is what runs there. What it saw is read with
`harness.history.probes`, never from here.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import Any

from harness.errors import HarnessError
from harness.runtime.contract import Beside, LinkKey, Runtime

STARTS_WITHIN_S = 10.0
READY_WITHIN_S = 2.0
STOPS_WITHIN_S = 5.0
LOOKS_EVERY_S = 0.02
RECENT_BYTES = 16_384
"""How much of the probe's lines is looked at again when waiting for the next one."""
SHOWN = 2000
"""How many characters of its last words are shown where it died."""


class Probe:
    """An async context manager: the process lives inside it. One order at a time.

    `login` as `_nats.connect` takes it; `paths`: what to ask a service for by HTTP ("web" -> "/healthz"), else "/".
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        folder: Path,
        nonce: str,
        login: Mapping[str, str] | None = None,
        paths: Mapping[str, str] | None = None,
    ) -> None:
        self._runtime, self._folder, self._nonce = runtime, folder, nonce
        self._login, self._paths = dict(login or {}), dict(paths or {})
        self._orders = asyncio.Lock()
        self._process: Beside | None = None

    async def __aenter__(self) -> Probe:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def pid(self) -> int | None:
        """Its process, or None while there is none."""
        return self._process.pid if self._process is not None else None

    async def start(self) -> None:
        """Starts the process, idle. Raises HarnessError where it dies."""
        self._process = await self._runtime.beside("harness.observe.probing", self._nonce, folder=self._folder)
        await self._answer("stopped", fault=-1, order={"do": "stop", "fault": -1}, within_s=STARTS_WITHIN_S)

    async def watch(self, fault: int, link: LinkKey, *, size: int = 0, wait: bool = True) -> None:
        """Crosses `link` from now on; returns once ten records were answered each way, or after 2 s without that.

        Without `wait` it returns at once, for a link that nothing can cross yet. A record has at least `size` bytes
        (see probing.Order). Raises HarnessError where the process died.
        """
        crossed = self._runtime.links[link]
        target = self._runtime.nodes[crossed.target]
        order: dict[str, Any] = {
            "fault": fault,
            "link": link,
            "kind": "nats" if target.role == "broker" else "http",
            "through": (crossed.host, crossed.port),
            "direct": target.inside(),
            "size": size,
            "path": path if (path := self._paths.get(target.service, "/")).startswith("/") else "/",
            "login": self._login,
        }
        within_s = READY_WITHIN_S if wait else 0
        async with self._orders:
            try:
                await self._answer("ready", fault, order={"do": "watch", **order}, within_s=within_s)
            except TimeoutError:
                return  # the link, or what it leads to, is not well as it is: the records tell

    async def crossed(self, fault: int, link: LinkKey, *, after_ns: int, within_s: float) -> bool:
        """Waits until a record arrives after that moment, on an old connection or a new one; False where none did."""
        deadline = monotonic() + within_s
        with (self._folder / "lines-probe.jsonl").open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - RECENT_BYTES))
            rest = b""
            while monotonic() < deadline:
                *lines, rest = (rest + file.read()).split(b"\n")
                if any(_arrived(line, fault, link, after_ns) for line in lines):
                    return True
                await asyncio.sleep(LOOKS_EVERY_S)
        return False

    async def stop(self, fault: int) -> None:
        """Ends every crossing for this fault; when it returns, each record is in the history."""
        async with self._orders:
            await self._answer("stopped", fault, order={"do": "stop", "fault": fault}, within_s=STOPS_WITHIN_S)

    async def close(self) -> None:
        """Ends the process. Can be called twice."""
        if self._process is not None:
            process, self._process = self._process, None
            await process.close(within_s=STOPS_WITHIN_S)

    async def _line(self) -> bytes:
        try:
            return await self._running.reader.readline()
        except ConnectionError:  # it died with an order of ours unread
            return b""

    async def _answer(self, wanted: str, fault: int, *, order: Mapping[str, Any], within_s: float) -> None:
        """Gives an order and waits for its answer; answers that came too late for earlier orders are passed over."""
        self._running.writer.write(json.dumps(order).encode() + b"\n")
        async with asyncio.timeout(within_s):
            while line := await self._line():
                answer = json.loads(line)
                if (
                    answer["is"] == wanted
                    and answer["fault"] == fault
                    and answer.get("link") == _listed(order.get("link"))
                ):
                    return
        said = await self._running.last_words()
        raise HarnessError(f"the probe's process died; it said:\n{said[-SHOWN:] or '(nothing)'}", where="probe")

    @property
    def _running(self) -> Beside:
        if self._process is None:
            raise HarnessError("the probe does not run", where="probe")
        return self._process


def _listed(link: LinkKey | None) -> list[str] | None:
    return list(link) if link else None


def _arrived(text: bytes, fault: int, link: LinkKey, after_ns: int) -> bool:
    """Is it a line about a record of that crossing that arrived after that moment? A torn one is not."""
    try:
        line = json.loads(text)
    except ValueError:
        return False
    got_ns = line.get("got_ns")
    return (
        line["kind"] == "probe" and line["fault"] == fault and tuple(line["link"]) == link and (got_ns or 0) > after_ns
    )
