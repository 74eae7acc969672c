"""What Locust's request event means: the row of a locustfile in docs/guarantees.md, section Outcomes.

ok       Locust counts a success
fail     certainly not accepted: the connection was refused, or the status is one of the workload's `refused`
unknown  any other failure; the error tells what was seen
"""

from __future__ import annotations

import errno
from collections.abc import Collection, Iterator

from harness.history.rows import Outcome
from harness.load import outcomes
from harness.load.outcomes import Answer, failed, unknown

SAID_SO = "failed by the locustfile"
"""A good answer that the locustfile itself called a failure."""


def answer_of(exception: object, response: object, refused: Collection[int]) -> Answer:
    """The outcome of one request, of what the event tells."""
    status = getattr(response, "status_code", None) or 0
    if not exception:
        return Answer(Outcome.OK, status=status)
    if status in refused:
        return failed(f"status {status}", status)
    if status:
        return unknown(f"status {status}" if status >= 400 else SAID_SO, status)
    causes = list(_causes(exception))
    if any(isinstance(cause, OSError) and cause.errno == errno.ECONNREFUSED for cause in causes):
        return failed(outcomes.CONNECTION_REFUSED)
    if any(isinstance(cause, TimeoutError) or "Timeout" in type(cause).__name__ for cause in causes):
        return unknown(outcomes.TIMEOUT)
    if any(isinstance(cause, ConnectionError) for cause in causes):
        return unknown(outcomes.CLOSED)
    return unknown(type(exception).__name__)


def _causes(exception: object) -> Iterator[BaseException]:
    """An exception and what it came of, however its library keeps that: as its cause, argument or reason."""
    waiting, seen = [exception], set[int]()
    while waiting:
        one = waiting.pop()
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
