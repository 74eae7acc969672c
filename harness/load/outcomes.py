"""What an answer means: the table of docs/guarantees.md, section Outcomes, as pure functions.

ok       the system promised
fail     certainly not accepted
unknown  anything else; the error tells what was seen
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import NamedTuple

from harness.history.rows import Outcome

# What an error may say, besides "status 500" and JetStream's own words. Few and fixed, so that they can be counted.
TIMEOUT = "timeout"  # no answer by the deadline
CLOSED = "closed"  # the connection was closed after the request was sent, before its answer
CONNECTION_REFUSED = "connection refused"
CANNOT_CONNECT = "cannot connect"  # reset or unreachable while connecting
BODY_CUT = "body cut"
BAD_ANSWER = "bad answer"  # not HTTP, no acknowledgement
NO_REF = "no ref"  # accepted, but the answer does not tell the system's id
NOT_CONNECTED = "not connected"  # refused by our own client, which does not buffer; nothing was sent
NO_RESPONDERS = "no responders"
TOO_LARGE = "payload too large"
ANSWER_TOO_LARGE = "answer too large"  # more than we read
NOT_SENT = "not sent"  # our own client raised before it wrote anything


class Answer(NamedTuple):
    """What an operation came to; the fields are Recorder.finish's."""

    outcome: Outcome
    ref: str = ""
    seq: int = 0
    status: int = 0
    error: str = ""
    duplicate: bool = False


def failed(error: str, status: int = 0) -> Answer:
    """Certainly not accepted."""
    return Answer(Outcome.FAIL, status=status, error=error)


def unknown(error: str, status: int = 0) -> Answer:
    """Neither promised nor certainly refused."""
    return Answer(Outcome.UNKNOWN, status=status, error=error)


def http(
    status: int, *, accepted: Collection[int], refused: Collection[int], ref: str | None, whole: bool, told: str = ""
) -> Answer:
    """An HTTP answer. `ref` is the system's id, None where the answer does not tell it.

    `whole`: the body arrived to its end; a refusal needs none. `told` is what an answer that is no promise says besides
    its status.
    """
    if status in refused:
        return failed(f"status {status}{told}", status)
    if not whole:
        return unknown(BODY_CUT, status)
    if status not in accepted:
        return unknown(f"status {status}{told}", status)
    if ref is None:
        return unknown(NO_REF, status)
    return Answer(Outcome.OK, ref=ref, status=status)


# As nats-server writes it; to parse JSON would be a tenth of what a publish costs.
_ACKNOWLEDGED = re.compile(rb'\{"stream":"[^"\\]*","seq":(\d+)\}')


def jetstream(reply: bytes) -> Answer:
    """The reply to a publish: JetStream's acknowledgement, its error, or (empty) that nobody listens on the subject.

    The error keeps JetStream's own number and words: "jetstream 10077 maximum messages exceeded".
    """
    if acknowledged := _ACKNOWLEDGED.fullmatch(reply):
        return Answer(Outcome.OK, seq=int(acknowledged[1]))
    if not reply:
        return failed(NO_RESPONDERS)
    try:
        told = json.loads(reply.decode())  # of bytes it would guess the encoding, at a third more
        if error := told.get("error"):
            words = f"jetstream {error.get('err_code', 0)} {error.get('description', '')}"
            return failed(words, int(error["code"]))
        return Answer(Outcome.OK, seq=int(told["seq"]), duplicate=bool(told.get("duplicate")))
    except (ValueError, KeyError, AttributeError, TypeError):
        return unknown(BAD_ANSWER)


NO_RESPONDERS_STATUS = "503"


def request(reply: bytes, status: str) -> Answer:
    """The reply to a request; `status` is its header of that name, which the broker's own word has."""
    if status == NO_RESPONDERS_STATUS and not reply:
        return failed(NO_RESPONDERS, int(status))
    return Answer(Outcome.OK)


def handed_over() -> Answer:
    """A message that a connected client took, and that nobody answers."""
    return Answer(Outcome.OK)
