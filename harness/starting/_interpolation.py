"""Compose's `${NAME:-default}` turned into text of a system file, where `{env:NAME}` stands for what is not known.

What comes out is a template of ours: braces of the text itself are doubled (`harness.system.placeholders`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from harness.errors import UsageError
from harness.system.placeholders import names

_START = re.compile(r"\$(?:(\$)|\{|([A-Za-z_][A-Za-z0-9_]*))")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FORM = re.compile(r":?[-+?]")
_SECRET = re.compile(r"PASS(WORD|WD|PHRASE)?$|SECRET|TOKEN|CREDENTIAL|PRIVATE|API_?KEY|NKEY|SEED$", re.IGNORECASE)


def looks_secret(name: str) -> bool:
    """Whether a variable of this name holds something that should stay out of files."""
    return _SECRET.search(name) is not None


def escaped(text: str) -> str:
    """Text as a template that renders to it."""
    return text.replace("{", "{{").replace("}", "}}")


def interpolate(text: str, values: Mapping[str, str], where: str, written: set[str] | None = None) -> str:
    """The template for a text of a compose file. `values` are those of its .env file.

    A variable with a value becomes it, unless its name looks like a secret's; one with a default becomes the default;
    any other becomes `{env:NAME}`. Secrets whose default is written out are added to `written`. Raises UsageError for a
    `$` that compose would refuse.
    """
    return _Text(text, values, where, set() if written is None else written).whole()


def variables(template: str) -> list[str]:
    """The environment variables that a template asks for."""
    return [name.removeprefix("env:") for name in names(template) if name.startswith("env:")]


class _Text:
    def __init__(self, text: str, values: Mapping[str, str], where: str, written: set[str]) -> None:
        self._text, self._values, self._where, self._written = text, values, where, written
        self._at = 0

    def whole(self) -> str:
        return self._until("")

    def _until(self, end: str) -> str:
        """Reads up to `end` ("}" inside a default, "" for the text's own end), which is passed."""
        parts: list[str] = []
        while self._at < len(self._text):
            if end and self._text.startswith(end, self._at):
                self._at += 1
                return "".join(parts)
            match = _START.match(self._text, self._at)
            if match is None:
                if self._text[self._at] == "$":
                    raise self._wrong("a $ that begins no variable")
                parts.append(escaped(self._text[self._at]))
                self._at += 1
                continue
            self._at = match.end()
            if match[1]:
                parts.append("$")
            elif match[2]:
                parts.append(self._value(match[2], None))
            else:
                parts.append(self._braced())
        if end:
            raise self._wrong("a ${ that is not closed")
        return "".join(parts)

    def _braced(self) -> str:
        name = _NAME.match(self._text, self._at)
        if name is None:
            raise self._wrong("a ${ without a name of a variable")
        self._at = name.end()
        if self._text.startswith("}", self._at):
            self._at += 1
            return self._value(name[0], None)
        form = _FORM.match(self._text, self._at)
        if form is None:
            raise self._wrong(f"an unknown form of ${{{name[0]}...}}")
        self._at = form.end()
        rest = self._until("}")
        if form[0][-1] == "+":
            return rest if self._values.get(name[0]) else ""
        return self._value(name[0], rest if form[0][-1] == "-" else None)

    def _value(self, name: str, default: str | None) -> str:
        known = self._values.get(name)
        if known and not looks_secret(name):
            return escaped(known)
        if default is not None and not known:
            if default and looks_secret(name):
                self._written.add(name)
            return default
        return f"{{env:{name}}}"

    def _wrong(self, what: str) -> UsageError:
        fix = "write ${NAME}, ${NAME:-default}, or $$ for the sign itself"
        return UsageError(f"{what} in {self._text!r}", where=self._where, fix=fix)
