"""results: results are kept in a key-value bucket, where they outlive web and every connection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

import nats.js.errors
from nats.js.api import KeyValueConfig, StorageType
from nats.js.kv import KeyValue

from telhawk.messaging import Client, MessagingError, OnePublish
from telhawk.messaging.nats import BROKER_ERRORS, deadline, reason
from telhawk.wire import Job, Malformed, Result
from telhawk.wiring import HeadersFor

BUCKET = KeyValueConfig(
    bucket="QUERY_RESULTS", ttl=3600, max_bytes=500 * 1024 * 1024, storage=StorageType.FILE, direct=True
)
WRITE_WITHIN_S = 2.0
READ_WITHIN_S = 1.0
REMEMBERED = 10_000

T = TypeVar("T")


class Bucket:
    """The bucket of results: a result under its job's id, and before it a marker that the job was accepted."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def ensure(self) -> None:
        """Create the bucket if it is not there. Raises MessagingError."""
        try:
            await self._client.connection().jetstream().create_key_value(BUCKET)
        except BROKER_ERRORS as error:
            raise MessagingError(f"bucket: {reason(error)}") from error

    async def put(self, key: str, value: bytes) -> bool:
        """Write, whatever was there. Always true. Raises MessagingError."""
        await self._call(lambda bucket: bucket.put(key, value), WRITE_WITHIN_S)
        return True

    async def create(self, key: str, value: bytes) -> bool:
        """Write if nothing is there, and say whether it was so. Raises MessagingError."""
        try:
            await self._call(lambda bucket: bucket.create(key, value), WRITE_WITHIN_S)
        except _Exists:
            return False
        return True

    async def get(self, key: str) -> bytes | None:
        """What is there. Raises MessagingError when that cannot be told within a second."""
        entry = await self._call(lambda bucket: bucket.get(key), READ_WITHIN_S)
        return None if entry is None else entry.value or b""

    async def _call(self, call: Callable[[KeyValue], Awaitable[T]], within_s: float) -> T | None:
        try:
            async with deadline(within_s):
                js = self._client.connection().jetstream(timeout=within_s)
                return await call(
                    KeyValue(BUCKET.bucket, f"KV_{BUCKET.bucket}", f"$KV.{BUCKET.bucket}.", js, direct=True)
                )
        except nats.js.errors.KeyNotFoundError:
            return None
        except nats.js.errors.KeyWrongLastSequenceError:
            raise _Exists from None
        except nats.js.errors.NoStreamResponseError as error:
            await self.ensure()
            raise MessagingError("there was no bucket") from error
        except BROKER_ERRORS as error:
            raise MessagingError(f"bucket: {reason(error)}") from error


class _Exists(Exception):
    """The key has a value already."""


class BucketResults:
    """What web knows of its jobs: the bucket's word."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        # Spares the second read for each look at a job that is pending.
        self._accepted: dict[str, None] = {}

    async def expect(self, job_id: str) -> None:
        """Mark the job as accepted. Raises MessagingError."""
        await self._bucket.create(_accepted(job_id), b"accepted")
        if len(self._accepted) >= REMEMBERED:
            del self._accepted[next(iter(self._accepted))]
        self._accepted[job_id] = None

    async def forget(self, job_id: str) -> None:
        """The job was not accepted after all: nobody was told its id, and its marker ages away."""

    async def find(self, job_id: str) -> Result | None:
        """The result, or None while there is none. Raises KeyError for an unknown job, MessagingError."""
        value = await self._bucket.get(job_id)
        if value is not None:
            return _read(job_id, value)
        if job_id not in self._accepted and await self._bucket.get(_accepted(job_id)) is None:
            raise KeyError(job_id)
        return None


def _read(job_id: str, value: bytes) -> Result:
    # Nothing better will come, and whoever asks has made no mistake.
    try:
        result = Result.decode(value)
        why = "" if result.job_id == job_id else "it is of another query"
    except Malformed as error:
        why = str(error)
    return Result(job_id, "", False, error=f"its result cannot be read: {why}") if why else result


def _accepted(job_id: str) -> str:
    return f"accepted.{job_id}"


class BucketStore:
    """Where search leaves its results: in the bucket, and then on the result subject for whoever listens."""

    def __init__(
        self, write: Callable[[str, bytes], Awaitable[bool]], publisher: OnePublish, headers: HeadersFor
    ) -> None:
        self._write = write
        self._publisher = publisher
        self._headers = headers

    async def store(self, job: Job, result: Result) -> None:
        """Return once the bucket has it. Raises MessagingError."""
        data = result.encode()
        if await self._write(job.job_id, data):
            # The bucket is what counts; this only tells those who listen, so nobody waits for it.
            with suppress(MessagingError):
                await self._publisher.publish(job.reply_to, data, headers=self._headers(job.job_id))
