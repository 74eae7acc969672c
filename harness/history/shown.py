"""What of a text that a system said may be kept and shown: no credentials; nothing that moves, hides or recolours."""

from __future__ import annotations

import re
import unicodedata

REDACTED = "[redacted]"

_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Controls (ANSI escapes begin with one), bidirectional overrides and other invisible marks, lone surrogates,
private and unassigned code points, line and paragraph separators."""

_USER_INFO = re.compile(r"(?<=://)[^\s/\"'{}]+(?=@)")
_NAMED = re.compile(
    r"(?P<name>\b(?:(?:proxy-)?authorization|(?:x-)?api[-_]?key|x-auth-token"
    r"|password|passwd|secret|(?:access_|refresh_)?token)"
    r"(?:\\?[\"'])?\s*(?:=|(?<=[\"'])\s*:|(?<=authorization):|(?<=key):|(?<=x-auth-token):)\s*(?:\\?[\"'])?"
    r"(?:(?:bearer|basic|digest)\s+)?+)(?:(?<=[\"'])[^\"'\\{}]+|[^\s\"'\\,;&{}]+)",
    re.IGNORECASE,
)
_COOKIE = re.compile(r"(?P<name>\bcookie(?:\\?[\"'])?\s*[:=]\s*(?:\\?[\"'])?)[^\"'\\{}]+", re.IGNORECASE)
_WORDS = ("auth", "key", "passw", "secret", "token", "cookie")
_BEARER = re.compile(r"\b(Bearer )[\w.~+/=-]+")
_COMMAND = re.compile(r"^[^\S\n]*:(?=:)|##(?=\[)", re.MULTILINE)
"""What makes a line a command to GitHub, whoever printed it."""


def without_credentials(text: str) -> str:
    """`text` without what names itself as a secret: user info in a URL, credentials in a header, `password=...`.

    Values that are known to be secret are the recorder's affair; these nobody has told it.
    """
    if "@" in text and "://" in text:
        text = _USER_INFO.sub(REDACTED, text)
    small = text.lower()
    if any(word in small for word in _WORDS):
        text = _COOKIE.sub(rf"\g<name>{REDACTED}", _NAMED.sub(rf"\g<name>{REDACTED}", text))
    if "Bearer " in text:
        text = _BEARER.sub(rf"\g<1>{REDACTED}", text)
    return text


def escaped(text: str, *, keeping: str = "") -> str:
    """`text` with each unsafe character, but those of `keeping`, written as its escape."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(char) if _unsafe(char) and char not in keeping else char for char in text)


def on_lines(error: Exception) -> str:
    """What an error says, safe to print; it may take several lines, of which none is a command to GitHub."""
    return _COMMAND.sub(lambda found: f"{found[0][:-1]}\\x{ord(found[0][-1]):02x}", escaped(str(error), keeping="\n"))


def _unsafe(char: str) -> bool:
    return unicodedata.category(char) in _UNSAFE


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
