"""dedup: every message has an id, effects are keyed by the job, and only the first result counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


def message_headers(message_id: str) -> Mapping[str, str]:
    """The stream keeps one message of this id (within its window of two minutes)."""
    return {"Nats-Msg-Id": message_id}


def effect_headers(job_id: str) -> Mapping[str, str]:
    """The event store answers a second search for this job from the first."""
    return {"Idempotency-Key": job_id}


class Creates(Protocol):
    """The bucket of results, as far as it matters here."""

    async def create(self, key: str, value: bytes) -> bool:
        """Write if nothing is there, and say whether it was so. Raises MessagingError."""


class WriteOnce:
    """Writes to a bucket what is not there yet."""

    def __init__(self, bucket: Creates) -> None:
        self._bucket = bucket

    async def write(self, key: str, value: bytes) -> bool:
        """Whether this was the first value of `key`; a second one is not written. Raises MessagingError."""
        return await self._bucket.create(key, value)
