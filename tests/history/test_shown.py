from __future__ import annotations

import pytest

from harness.history.shown import escaped, on_lines, without_credentials


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("nats://app:p@ss@h:4222, redis://token@c", "nats://[redacted]@h:4222, redis://[redacted]@c"),
        ("Authorization: Basic YWRtaW4=", "Authorization: Basic [redacted]"),
        ("{'Authorization': 'Bearer a.b-c=', 'N': 'v'}", "{'Authorization': 'Bearer [redacted]', 'N': 'v'}"),
        ("x-api-key: k3y", "x-api-key: [redacted]"),
        ("Cookie: a=b; c=d", "Cookie: [redacted]"),
        ('{"password": "two words", "n": 1}', '{"password": "[redacted]", "n": 1}'),
        (r"{\"token\": \"abc\"}", r"{\"token\": \"[redacted]\"}"),
        ("GET /?access_token=abc&n=1", "GET /?access_token=[redacted]&n=1"),
        ("sent Bearer abc.def", "sent Bearer [redacted]"),
    ],
)
def test_what_names_itself_as_a_secret_is_hidden(said: str, kept: str) -> None:
    assert without_credentials(said) == kept
    assert without_credentials(kept) == kept


@pytest.mark.parametrize(
    "said",
    [
        "http://127.0.0.1:4222/a@b",
        "mail to a@b",
        "password: is wanted",
        "the token of k3v9x0qa-0-118",
        "key k3v9x0qa-0-118: done",
        'Authorization = "Bearer {token}"',
        "nats://app:{env:NATS_PASSWORD}@{broker.host}",
        "the bearer of news",
    ],
)
def test_what_is_none_is_left(said: str) -> None:
    assert without_credentials(said) == said


def test_what_a_terminal_obeys_is_an_escape() -> None:
    assert escaped("é\t\x1b[31m\x9b\u202e\x00", keeping="\t") == "é\t\\x1b[31m\\x9b\\u202e\\x00"


@pytest.mark.parametrize("said", ["::error::x", "what\n::error::x", "what\n  ::mask::x", "a ##[error]x", "a\r\n::x"])
def test_no_line_of_an_error_is_a_command(said: str) -> None:
    shown = on_lines(ValueError(said))
    assert "##[" not in shown
    assert not [line for line in shown.split("\n") if line.strip().startswith("::")]


def test_an_error_is_else_as_it_is() -> None:
    assert on_lines(ValueError("what\n  fix: a::b ## [c] [::1]:80")) == "what\n  fix: a::b ## [c] [::1]:80"
