"""Broker: what its monitoring says each second of clients, streams and consumers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from time import monotonic_ns

from harness.errors import why
from harness.history.recorder import Recorder
from harness.observe import _http
from harness.observe._base import Gap, Json

POLLS_EVERY_S = 1.0
ANSWERS_WITHIN_S = 1.0


class Broker:
    """Records a line of kind `broker` each second for each of `monitors`: node -> monitoring URL."""

    def __init__(self, recorder: Recorder, monitors: Mapping[str, str]) -> None:
        self.source = "broker"
        self._recorder, self._monitors = recorder, monitors
        self._gaps = {node: Gap(recorder, self.source) for node in monitors}
        self._read_ns = dict.fromkeys(monitors, monotonic_ns())

    async def watch(self) -> None:
        """Polls until cancelled; a node that does not answer is a gap of this source."""
        while True:
            await asyncio.gather(*(self._poll(node) for node in self._monitors))
            await asyncio.sleep(POLLS_EVERY_S)

    async def final(self) -> None:
        """Polls once more; the read is complete if every node answered."""
        from_ns = monotonic_ns()
        answered = [await self._poll(node) for node in self._monitors]
        self._recorder.line("read", source=self.source, complete=all(answered), count=len(answered), from_ns=from_ns)

    async def _poll(self, node: str) -> bool:
        asked_ns, monitor = monotonic_ns(), self._monitors[node]
        try:
            async with asyncio.timeout(ANSWERS_WITHIN_S):
                server = await _read(f"{monitor}/varz")
                store = await _read(f"{monitor}/jsz?streams=1&consumers=1")
            told = _told(server, store)
        except (OSError, ValueError, KeyError) as error:
            self._gaps[node].open(f"{node}: {why(error)}", from_ns=self._read_ns[node])
            return False
        self._gaps[node].close()
        self._read_ns[node] = asked_ns
        self._recorder.line("broker", node=node, **told)
        return True


async def _read(url: str) -> Json:
    return json.loads((await _http.get(url, within_s=ANSWERS_WITHIN_S)).body)


def _told(server: Json, store: Json) -> dict[str, Json]:
    streams = {}
    for account in store.get("account_details") or ():
        for stream in account.get("stream_detail") or ():
            consumers = {
                consumer["name"]: {
                    "pending": consumer["num_pending"],
                    "ack_pending": consumer["num_ack_pending"],
                    "redelivered": consumer["num_redelivered"],
                }
                for consumer in stream.get("consumer_detail") or ()
            }
            streams[stream["name"]] = {"messages": stream["state"]["messages"], "consumers": consumers}
    return {
        "server": server["server_id"],
        "version": server["version"],
        "connections": server["connections"],
        "slow_consumers": server["slow_consumers"],
        "streams": streams,
    }
