"""correlation: one id goes with a request, through HTTP, the outbox, messages, log lines and dead letters.

It is the X-Request-Id that the request came with, or a new one.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager

from aiohttp import web
from nats.aio.msg import Msg

from telhawk.calls import Answer, Caller
from telhawk.events import request_id
from telhawk.messaging import Message, MessageHandler
from telhawk.problems import Handler
from telhawk.web.queries import Deliver, Queue
from telhawk.wiring import HeadersFor

HEADER = "X-Request-Id"

# An id becomes a header, and part of a line.
_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
# While a job waits in the outbox, its id is its first field.
_KEPT = re.compile(rb'\{"request_id":"([A-Za-z0-9._:-]{1,128})",')


@contextmanager
def following(given: str | None) -> Iterator[str]:
    """Within, the id is `given`, or a new one where that is none."""
    known = given if given and _ID.fullmatch(given) else str(uuid.uuid4())
    before = request_id.set(known)
    try:
        yield known
    finally:
        request_id.reset(before)


def header() -> Mapping[str, str]:
    """What carries the id, where one is known."""
    known = request_id.get()
    return {HEADER: known} if known else {}


def with_id(others: HeadersFor) -> HeadersFor:
    """The headers of `others`, and the id."""
    return lambda about: {**others(about), **header()}


@web.middleware
async def answered_with_id(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Follow a request's id, and answer with it."""
    with following(request.headers.get(HEADER)) as known:
        try:
            response = await handler(request)
        except web.HTTPException as error:
            error.headers[HEADER] = known
            raise
        response.headers[HEADER] = known
        return response


class CallerWithId:
    """Asks another service under the id."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Post JSON. Raises CallError."""
        return await self._caller.post(url, body, {**headers, **header()})


class QueueWithId:
    """Accepts a job together with the id, which outlives the process where the job does."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    async def submit(self, job_id: str, job: bytes) -> None:
        """Accept a job. Raises Overloaded or MessagingError."""
        known = request_id.get().encode()
        kept = b'{"request_id":"%b",%b' % (known, job[1:]) if known else job
        await self._queue.submit(job_id, kept)

    def holds(self, job_id: str) -> bool:
        """Whether the job has been accepted and is still here."""
        return self._queue.holds(job_id)


def delivered_with_id(deliver: Deliver) -> Deliver:
    """Take the id out of the job, and deliver it under that."""

    async def deliver_with_id(job_id: str, job: bytes) -> None:
        if found := _KEPT.match(job):
            with following(found[1].decode()):
                await deliver(job_id, b"{" + job[found.end() :])
        else:
            await deliver(job_id, job)

    return deliver_with_id


def taken_with_id(handle: MessageHandler) -> MessageHandler:
    """Handle a message under the id in its headers."""

    async def take(message: Message) -> None:
        with following(message.headers.get(HEADER)):
            await handle(message)

    return take


def handled_with_id(handle: Callable[[Msg], Awaitable[None]]) -> Callable[[Msg], Awaitable[None]]:
    """As `taken_with_id`, of a message of JetStream."""

    async def handle_with_id(msg: Msg) -> None:
        with following((msg.headers or {}).get(HEADER)):
            await handle(msg)

    return handle_with_id
