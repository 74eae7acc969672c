from __future__ import annotations

import errno

import pytest

from harness.history.rows import Outcome
from harness.load._requests import answer_of


class Response:
    def __init__(self, status_code: int | None) -> None:
        self.status_code = status_code


class ReadTimeout(Exception):
    """As libraries call theirs."""


class Failed(Exception):
    """As urllib3 does, it keeps what it came of as its reason."""

    def __init__(self, reason: Exception) -> None:
        super().__init__("failed")
        self.reason = reason


def caused(by: BaseException) -> Exception:
    error = Exception("by another")
    error.__cause__ = by
    return error


REFUSED = ConnectionRefusedError(errno.ECONNREFUSED, "refused")
ROUND = Exception("in a circle")
ROUND.__context__ = ROUND


@pytest.mark.parametrize(
    ("exception", "response", "outcome", "error"),
    [
        (None, Response(200), "ok", ""),
        (None, Response(500), "ok", ""),  # response.success() of the locustfile: it knows its system
        (None, None, "ok", ""),
        (Exception("503"), Response(503), "fail", "status 503"),
        (Exception("500"), Response(500), "unknown", "status 500"),
        (Exception("too plain"), Response(200), "unknown", "failed by the locustfile"),
        (REFUSED, None, "fail", "connection refused"),
        (Failed(REFUSED), Response(0), "fail", "connection refused"),
        (Exception(Failed(REFUSED)), Response(None), "fail", "connection refused"),
        (caused(REFUSED), None, "fail", "connection refused"),
        (TimeoutError(), None, "unknown", "timeout"),
        (ReadTimeout(), Response(0), "unknown", "timeout"),
        (ConnectionResetError(), None, "unknown", "closed"),
        (ROUND, None, "unknown", "Exception"),
        (KeyError("id"), None, "unknown", "KeyError"),
        ("a text", None, "unknown", "str"),
    ],
)
def test_what_an_event_means(exception: object, response: object, outcome: str, error: str) -> None:
    answer = answer_of(exception, response, refused=[503])
    assert (answer.outcome, answer.error) == (Outcome(outcome), error)
