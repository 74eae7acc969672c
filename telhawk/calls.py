"""Calls over HTTP from one service to another."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import aiohttp


class CallError(Exception):
    """The other service could not be reached, or did not answer."""


class NotCalled(CallError):
    """The other service was not asked, since it is known to be away."""


class TooManyCalls(CallError):
    """The other service was not asked, since as many calls as may be are waiting for it."""


@dataclass(frozen=True)
class Answer:
    """What the other service answered, whatever the status; `retry_after` is its header, or empty."""

    status: int
    body: bytes
    content_type: str
    retry_after: str = ""


class Caller(Protocol):
    """Asks another service."""

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Post JSON. Raises CallError."""


class DirectCaller:
    """Asks, and waits for as long as the answer takes."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Post JSON once."""
        told = {"Content-Type": "application/json", **headers}
        try:
            # aiohttp warns of more than 1 MiB that is no file.
            async with self._session.post(url, data=io.BytesIO(body), headers=told) as response:
                retry_after = response.headers.get("Retry-After", "")
                return Answer(response.status, await response.read(), response.content_type, retry_after)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise CallError(str(error) or type(error).__name__) from error
