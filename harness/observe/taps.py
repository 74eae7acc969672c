"""Taps: the subjects that a system file names, heard on one direct connection that never crosses a proxy.

Dead letters are heard on the same connection, as a source of their own (see `dead_letters`).
"""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic, monotonic_ns

from harness.errors import HarnessError, why
from harness.history.recorder import Recorder
from harness.history.rows import OpId, Step, marker
from harness.observe._base import OWN_NAME, SHOWN_BYTES, Gap, Json, as_number, as_text, find_op, first, json_path
from harness.runtime import _nats
from harness.system.model import SystemFile

PING_EVERY_S = 1.0
ANSWERS_WITHIN_S = 2.0
CONNECTS_WITHIN_S = 2.0
RETRIES_EVERY_S = 0.05
GIVES_UP_AFTER_S = 30.0
"""A server that is silent for so long is left, and its connection replaced. Before, it is taken for paused: what it
holds for us then arrives, and a new connection would miss it."""
ENDS_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subject to hear, what a message there shows, and where in it our id (`op`) or the system's (`ref`) is.

    `op` and `ref` are JSONPaths; with neither the whole message is searched for our id. Of a dead letter, `reason` and
    `payload` are where it says why it is one, and what could not be handled; `attempt` how often that was tried.
    """

    subject: str
    step: Step
    source: str = "taps"
    op: str | None = None
    ref: str | None = None
    reason: str | None = None
    payload: str | None = None
    attempt: str | None = None


class Taps:
    """Hears `subscriptions` on the broker at host:port; one sighting a message. `login` as `_nats.connect` takes it."""

    def __init__(
        self, recorder: Recorder, host: str, port: int, login: Mapping[str, str], subscriptions: Sequence[Subscription]
    ) -> None:
        self.source = "taps"
        self._recorder, self._address, self._login = recorder, (host, port), login
        self._readers = [_Reader(recorder, subscription) for subscription in subscriptions]
        self._sources = {subscription.source for subscription in subscriptions}
        self._gaps = [Gap(recorder, source) for source in sorted(self._sources)]
        self._connection: _nats.Connection | None = None
        self._connected = asyncio.Event()
        self._proof_ns = monotonic_ns()  # when the server last proved that all before it has arrived here

    async def watch(self) -> None:
        """Stays subscribed until cancelled: where a connection ended another is tried every 50 ms."""
        try:
            while True:
                try:
                    await self._connect()
                    await self._stay()
                except OSError as error:
                    self._lose(why(error))
                await asyncio.sleep(RETRIES_EVERY_S)
        finally:
            if self._connection is not None:
                self._connection.drop()

    async def wait_subscribed(self, *, within_s: float) -> None:
        """Waits until every subscription is on the server, which must prove it now. Raises HarnessError if not."""
        deadline = monotonic() + within_s
        while (left_s := deadline - monotonic()) > 0:
            with suppress(OSError):
                async with asyncio.timeout(left_s):
                    await self._connected.wait()
                    if self._connection is not None:
                        await self._connection.flush(within_s=left_s)
                        return
            await asyncio.sleep(RETRIES_EVERY_S)
        host, port = self._address
        raise HarnessError(
            f"our own subscriptions were not on the broker within {within_s:g} s",
            where=f"{host}:{port}",
            fix="is the broker up, and may broker.connect's user subscribe to the taps and dead letters?",
        )

    def ended(self) -> set[OpId]:
        """The operations whose result, failure or dead letter was heard."""
        ends = (Step.RESULT, Step.FAILURE, Step.DEAD_LETTER)
        return set().union(*(reader.ops for reader in self._readers if reader.wanted.step in ends))

    async def final(self) -> None:
        """Everything that the server had delivered before is read; records whether that is certain, for each source."""
        complete = False
        from_ns = monotonic_ns()
        if self._connection is not None:
            with suppress(OSError):
                await self._connection.flush(within_s=ENDS_WITHIN_S)
                complete = True
        counts = Counter[str]()
        for reader in self._readers:
            counts[reader.wanted.source] += reader.count
        for source in sorted(self._sources):
            self._recorder.line("read", source=source, complete=complete, count=counts[source], from_ns=from_ns)

    async def _connect(self) -> None:
        name = OWN_NAME + "taps"
        connection = await _nats.connect(*self._address, name=name, login=self._login, within_s=CONNECTS_WITHIN_S)
        self._connection = connection
        for reader in self._readers:
            connection.subscribe(reader.wanted.subject, reader.take)
        await self._prove(connection, ANSWERS_WITHIN_S)
        if connection.refused:
            raise PermissionError(connection.refused[0])
        self._connected.set()
        for gap in self._gaps:
            gap.close()

    async def _stay(self) -> None:
        """Until the connection ends, or the server has not answered for too long."""
        connection = self._connection
        assert connection is not None
        async with asyncio.TaskGroup() as group:
            pings = group.create_task(self._ping(connection))
            await connection.lost()
            pings.cancel()
        raise ConnectionResetError(connection.ended)

    async def _ping(self, connection: _nats.Connection) -> None:
        while True:
            await asyncio.sleep(PING_EVERY_S)
            try:
                await self._prove(connection, GIVES_UP_AFTER_S)
            except OSError as error:
                return connection.drop(f"silent for {GIVES_UP_AFTER_S:g} s: {why(error)}")

    async def _prove(self, connection: _nats.Connection, within_s: float) -> None:
        asked_ns = monotonic_ns()
        await connection.flush(within_s=within_s)
        self._proof_ns = asked_ns

    def _lose(self, reason: str) -> None:
        self._connected.clear()
        if self._connection is not None:
            self._connection.drop()
            self._connection = None
        for gap in self._gaps:
            gap.open(reason, from_ns=self._proof_ns)


def subscriptions(system: SystemFile) -> list[Subscription]:
    """What the taps of a system's workloads ask for."""
    return [
        Subscription(tap.subject, Step[tap.step.upper()], "taps", tap.op, tap.ref)
        for workload in system.workloads.values()
        for tap in workload.taps
    ]


class _Reader:
    """Turns the messages of one subscription into sightings."""

    def __init__(self, recorder: Recorder, wanted: Subscription) -> None:
        self.wanted, self.count = wanted, 0
        self.ops: set[OpId] = set()
        self._recorder = recorder
        self._op = json_path(wanted.op) if wanted.op else None
        self._ref = json_path(wanted.ref) if wanted.ref else None
        self._reason = json_path(wanted.reason) if wanted.reason else None
        self._payload = json_path(wanted.payload) if wanted.payload else None
        self._attempt = json_path(wanted.attempt) if wanted.attempt else None

    def take(self, message: _nats.Message) -> None:
        self.count += 1
        document = _document(message.data)
        ref = as_text(first(self._ref, document))
        op = None
        if not ref or self._op is not None:
            value = message.data.decode(errors="replace") if self._op is None else as_text(first(self._op, document))
            text = value if not message.headers else f"{value}\n{message.headers}"
            op = find_op(self._recorder, text, source=self.wanted.source)
        if op is not None:
            self.ops.add(op)
        if op is not None or ref:
            attempt = as_number(first(self._attempt, document))
            source, seq = self.wanted.source, self.count
            self._recorder.sight(
                self.wanted.step, t_ns=message.got_ns, source=source, op=op, ref=ref, seq=seq, attempt=attempt
            )
        if self.wanted.step is Step.DEAD_LETTER:
            self._tell(message, document, op, ref)

    def _tell(self, message: _nats.Message, document: Json, op: OpId | None, ref: str) -> None:
        """Records what a dead letter says; its payload is there where it carries the id, in plain words or base64."""
        marked = marker(self._recorder.nonce, op) if op is not None else ""
        payload, named = as_text(first(self._payload, document)), marked or ref
        self._recorder.line(
            "dead_letter",
            t_ns=message.got_ns,
            subject=message.subject,
            op=marked,
            ref=ref,
            reason=as_text(first(self._reason, document))[:SHOWN_BYTES] or None,
            payload=bool(named) and (named in payload or named in _decoded(payload)),
        )


def _decoded(text: str) -> str:
    try:
        return b64decode(text, validate=True).decode(errors="replace")
    except ValueError:
        return ""


def _document(data: bytes) -> Json:
    try:
        return json.loads(data)
    except ValueError:
        return None  # no JSON: no path finds anything in it
