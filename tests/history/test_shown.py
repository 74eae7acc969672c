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
        ("a bearer 0wn.abc", "a bearer [redacted]"),
        ("Authorization: Token s3cret", "Authorization: Token [redacted]"),
        ("proxy-authorization: Negotiate YII=", "proxy-authorization: Negotiate [redacted]"),
        ("got Authorization: Bearer a.b of k3v9x0qa-0-118", "got Authorization: Bearer [redacted] of k3v9x0qa-0-118"),
        ("Authorization: Unheard-of scheme, or=two", "Authorization: [redacted]"),
        ("authorization: AWS4-HMAC-SHA256 Credential=A/1, Signature=b", "authorization: AWS4-HMAC-SHA256 [redacted]"),
        ("{'Authorization': 'Token a, b', 'N': 'v'}", "{'Authorization': 'Token [redacted]', 'N': 'v'}"),
        ('CONNECT {"user":"u","pass":"s"}', 'CONNECT {"user":"u","pass":"[redacted]"}'),
        ('{"auth_token":"abc","client_secret":"d"}', '{"auth_token":"[redacted]","client_secret":"[redacted]"}'),
        ("db_password=abc PGPASSWORD=def pwd=g", "db_password=[redacted] PGPASSWORD=[redacted] pwd=[redacted]"),
        ("AWS_SECRET_ACCESS_KEY=abc", "AWS_SECRET_ACCESS_KEY=[redacted]"),
        ("password: s3cret, token: 0ne", "password: [redacted], token: [redacted]"),
        ("passwd: letters\nsecret: more \nn", "passwd: [redacted]\nsecret: [redacted] \nn"),
        ("psql --password 0ne -v", "psql --password [redacted] -v"),
        ("/x?X-Amz-Signature=ab&n=1", "/x?X-Amz-Signature=[redacted]&n=1"),
        ("postgres://user:a/b@db/x", "postgres://[redacted]@db/x"),
        ("X-Api-Key : abc", "X-Api-Key : [redacted]"),
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
        "Authorization: Bearer {token}",
        "nats://app:{env:NATS_PASSWORD}@{broker.host}",
        "the bearer of news",
        "bypass=1, tokens=5, surpass: 3",
        "unexpected token: a comma",
        "http://127.0.0.1:4222/a@b and http://h/x:y@z",
        "a token that is none, --password is asked for",
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
