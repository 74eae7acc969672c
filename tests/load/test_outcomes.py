from __future__ import annotations

import pytest

from harness.history.rows import Outcome
from harness.load import outcomes
from harness.load.outcomes import Answer

ACCEPTED, REFUSED = frozenset({200, 202}), frozenset({400, 503})


@pytest.mark.parametrize(
    ("status", "ref", "whole", "expected"),
    [
        (202, "x", True, Answer(Outcome.OK, ref="x", status=202)),
        (202, None, True, Answer(Outcome.UNKNOWN, status=202, error="no ref")),
        (202, None, False, Answer(Outcome.UNKNOWN, status=202, error="body cut")),
        (503, None, True, Answer(Outcome.FAIL, status=503, error="status 503")),
        (503, None, False, Answer(Outcome.FAIL, status=503, error="status 503")),
        (500, "x", True, Answer(Outcome.UNKNOWN, status=500, error="status 500")),
        (504, None, True, Answer(Outcome.UNKNOWN, status=504, error="status 504")),
        (302, None, True, Answer(Outcome.UNKNOWN, status=302, error="status 302")),
    ],
)
def test_http(status: int, ref: str | None, whole: bool, expected: Answer) -> None:
    assert outcomes.http(status, accepted=ACCEPTED, refused=REFUSED, ref=ref, whole=whole) == expected


@pytest.mark.parametrize(("status", "outcome"), [(503, Outcome.FAIL), (500, Outcome.UNKNOWN)])
def test_what_an_answer_that_is_no_promise_says_is_kept(status: int, outcome: Outcome) -> None:
    told = " urn:a retry-after 2"
    found = outcomes.http(status, accepted=ACCEPTED, refused=REFUSED, ref=None, whole=True, told=told)
    assert found == Answer(outcome, status=status, error=f"status {status} urn:a retry-after 2")


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (b'{"stream":"S","seq":7}', Answer(Outcome.OK, seq=7)),
        (b'{"stream":"S","seq":7,"duplicate":true}', Answer(Outcome.OK, seq=7, duplicate=True)),
        (
            b'{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"},"stream":"S","seq":0}',
            Answer(Outcome.FAIL, status=503, error="jetstream 10077 maximum messages exceeded"),
        ),
        (b"", Answer(Outcome.FAIL, error="no responders")),
        (b"what?", Answer(Outcome.UNKNOWN, error="bad answer")),
        (b"[]", Answer(Outcome.UNKNOWN, error="bad answer")),
        (b'{"stream":"S"}', Answer(Outcome.UNKNOWN, error="bad answer")),
    ],
)
def test_jetstream(reply: bytes, expected: Answer) -> None:
    assert outcomes.jetstream(reply) == expected
