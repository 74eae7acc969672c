"""What of a text that a system said may be kept and shown: no credentials; nothing that moves, hides or recolours."""

from __future__ import annotations

import re
import unicodedata

REDACTED = "[redacted]"

_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Controls (ANSI escapes begin with one), bidirectional overrides and other invisible marks, lone surrogates,
private and unassigned code points, line and paragraph separators."""

_USER_INFO = re.compile(r"(?<=://)(?:[^\s/\"'{}]+|[^\s/\"'{}:@]+:(?!\d{1,5}/)[^\s\"'{}@]+)(?=@)")
_NAME = (
    r"(?:api[-_]?key|access[-_]?key(?:[-_]?id)?|passw(?:or)?d|passphrase|pwd|secret|token|signature"
    r"|credential|(?<![a-z])(?:pass|jwt))"
)
"""How a name ends that speaks of a secret: `password`, and so `db_password`; `pass` alone, and not `bypass`."""
_TELLING = r"(?=[^\s\"'\\,;&{}]*(?:\d|(?<=\S)[^\S\n]*$))"
"""What follows a bare colon is a secret where it has a digit or ends the line; "password: is wanted" has none."""
_NAMED = re.compile(
    rf"(?P<name>{_NAME}(?:\\?[\"'])?"
    r"\s*(?:=|(?<=[\"'])\s*:|(?<=key)\s*:|(?<=x-auth-token):)\s*(?:\\?[\"'])?)"
    r"(?:(?<=[\"'])[^\"'\\{}]+|[^\s\"'\\,;&{}]+)",
    re.IGNORECASE,
)
_TOLD = re.compile(
    rf"(?P<name>{_NAME}:[^\S\n]+|--[a-z-]{{0,40}}(?:password|token|secret|api-key)[^\S\n]+(?=[^\s-])){_TELLING}"
    r"[^\s\"'\\,;&{}]+",
    re.IGNORECASE | re.MULTILINE,
)
_WORD_SCHEMES = r"(?:bearer|basic|token|negotiate|ntlm|apikey|dpop)\s+"
_AUTHORIZATION = re.compile(
    r"(?P<name>\b(?:proxy-)?authorization(?:\\?[\"'])?\s*[:=]\s*+(?>"
    rf"\\?[\"'](?:{_WORD_SCHEMES})?+|{_WORD_SCHEMES}(?P<word>)|(?:(?:digest|hawk|aws4-hmac-sha256)\s+)?+))"
    r"(?(word)[^\s\"'\\,;&{}]+|[^\n\"'\\{}]+)",
    re.IGNORECASE,
)
"""One word after a scheme that is known to have one; else all up to the quote or the line's end."""
_COOKIE = re.compile(r"(?P<name>\bcookie(?:\\?[\"'])?\s*[:=]\s*(?:\\?[\"'])?)[^\"'\\{}]+", re.IGNORECASE)
_WORDS = ("key", "pass", "pwd", "secret", "token", "signature", "credential", "jwt")
_BEARER = re.compile(r"\b(Bearer |(?i:bearer )(?=[\w.~+/=-]*\d))[\w.~+/=-]+")
_COMMAND = re.compile(r"^[^\S\n]*:(?=:)|##(?=\[)", re.MULTILINE)
"""What makes a line a command to GitHub, whoever printed it."""


def without_credentials(text: str) -> str:
    """`text` without what names itself as a secret: user info in a URL, credentials in a header, `password=...`.

    Values that are known to be secret are the recorder's affair; these nobody has told it.
    """
    if "@" in text and "://" in text:
        text = _USER_INFO.sub(REDACTED, text)
    small = text.lower()
    if "authorization" in small:
        text = _AUTHORIZATION.sub(rf"\g<name>{REDACTED}", text)
    if "cookie" in small:
        text = _COOKIE.sub(rf"\g<name>{REDACTED}", text)
    if any(word in small for word in _WORDS):
        text = _TOLD.sub(rf"\g<name>{REDACTED}", _NAMED.sub(rf"\g<name>{REDACTED}", text))
    if "bearer " in small:
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
