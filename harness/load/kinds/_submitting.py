"""What the kinds that ask over HTTP share: each operation is one request, and its answer an outcome.

Each request is sent once: no retries, no redirects. The whole of it (connecting, sending, the answer's last byte) has
the workload's one deadline.
"""

from __future__ import annotations

import asyncio
import errno
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import aiohttp
from multidict import CIMultiDictProxy

from harness.load import outcomes
from harness.load._config import OP, PAD
from harness.load._operations import Operations
from harness.load.kinds._http import session
from harness.load.kinds._paths import finder
from harness.load.outcomes import Answer

BODY_LIMIT = 8 * 1024 * 1024
"""Bytes of an answer that are read at most, so that a system that never ends one cannot eat our memory."""


class Submitting:
    """One workload of HTTP requests; see `Kind`."""

    def __init__(self, workload: Mapping[str, Any], operations: Operations, tasks: asyncio.TaskGroup) -> None:
        self.operations, self._tasks = operations, tasks
        self._submit = _Submit(workload["submit"])
        self.answers_s = float(workload["answers_s"])
        self._session = session()
        self._requests: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Connects nothing: the first request does."""

    async def offer(self, intended_ns: int) -> None:
        """Sends one request."""
        n = self.operations.begin(intended_ns)
        request = self._tasks.create_task(self._one(n))
        self._requests.add(request)
        request.add_done_callback(self._requests.discard)

    async def settle(self) -> None:
        """Waits for the answers; each has its deadline."""
        if self._requests:
            await asyncio.wait(self._requests)

    async def final(self) -> None:
        """Nothing: the answer was all."""

    async def close(self) -> None:
        """Closes the connections."""
        await self._session.close()

    def answered(self, n: int, answer: Answer) -> None:
        """Operation n has its answer."""
        self.operations.finish(n, answer)

    async def _one(self, n: int) -> None:
        marker, padding = self.operations.marker(n), self.operations.padding
        self.answered(n, await self._submit.send(self._session, marker, padding, self.answers_s))


class _Submit:
    """A rendered `submit` table, compiled."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        self._method, self._url = table["method"], table["url"]
        self._headers: dict[str, str] = dict(table.get("headers") or {})
        self._body: str | None = None
        if table.get("json") is not None:
            self._body = json.dumps(table["json"])
            if "content-type" not in {name.lower() for name in self._headers}:
                self._headers["Content-Type"] = "application/json"
        self._accepted, self._refused = frozenset(table["accepted"]), frozenset(table.get("refused") or ())
        self._ref = finder(table["ref"]) if table.get("ref") else None

    async def send(self, client: aiohttp.ClientSession, marker: str, padding: str, answers_s: float) -> Answer:
        """Sends one request and says what came of it."""
        status, told, body = 0, "", b""
        whole = False
        try:
            async with (
                asyncio.timeout(answers_s),
                client.request(
                    self._method,
                    self._url.replace(OP, marker),
                    headers={name: text.replace(OP, marker) for name, text in self._headers.items()},
                    data=self._filled(marker, padding),
                    allow_redirects=False,
                ) as response,
            ):
                status = response.status
                with suppress(aiohttp.ClientError, ConnectionError):  # cut in the middle
                    body = await _body(response)
                    whole = True
                if status not in self._accepted:
                    told = _told(body, response.headers)
        except _TooLarge:
            return outcomes.unknown(outcomes.ANSWER_TOO_LARGE, status)
        except TimeoutError:
            return outcomes.unknown(outcomes.TIMEOUT, status)
        except aiohttp.ClientConnectorError as error:
            if error.os_error.errno == errno.ECONNREFUSED:
                return outcomes.failed(outcomes.CONNECTION_REFUSED)
            return outcomes.unknown(outcomes.CANNOT_CONNECT)
        except aiohttp.ClientResponseError:
            return outcomes.unknown(outcomes.BAD_ANSWER)
        except (aiohttp.ClientError, ConnectionError):
            return outcomes.unknown(outcomes.CLOSED)
        return outcomes.http(
            status,
            accepted=self._accepted,
            refused=self._refused,
            ref=self._found_ref(body),
            whole=whole,
            told=told,
        )

    def _filled(self, marker: str, padding: str) -> bytes | None:
        """The body of one operation."""
        if self._body is None:
            return None
        return self._body.replace(_OP_IN_JSON, marker).replace(_PAD_IN_JSON, padding).encode()

    def _found_ref(self, body: bytes) -> str | None:
        """The system's id; "" where the system file does not ask for one, None where the answer lacks it."""
        if self._ref is None:
            return ""
        with suppress(ValueError):
            for value in self._ref(json.loads(body)):
                if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
                    return str(value)
        return None


_OP_IN_JSON, _PAD_IN_JSON = json.dumps(OP)[1:-1], json.dumps(PAD)[1:-1]


class _TooLarge(Exception):
    """An answer longer than BODY_LIMIT."""


async def _body(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > BODY_LIMIT:
            response.close()
            raise _TooLarge
    return bytes(body)


MOST_TYPE = 200
"""Letters of a problem type that are kept."""


def _told(body: bytes, headers: CIMultiDictProxy[str]) -> str:
    """What an answer that is no promise says of itself: its problem type (RFC 9457) and when to come back."""
    words = ""
    if "problem+json" in headers.get("Content-Type", ""):
        with suppress(ValueError):
            problem = json.loads(body)
            kind = problem.get("type") if isinstance(problem, dict) else None
            if isinstance(kind, str) and (kind := "".join(kind.split())):
                words = f" {kind[:MOST_TYPE]}"
    after = headers.get("Retry-After")
    return f"{words} retry-after {after}" if after else words
