"""Values as TOML writes them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence


def text(value: str) -> str:
    """A basic string; JSON escapes all that TOML wants escaped, but for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def lines(value: str) -> str:
    """A text of several lines as a multi-line string."""
    escaped = "\n".join(text(line)[1:-1] for line in value.split("\n")).replace('\\"', '"').replace('"""', '""\\"')
    return f'"""\n{escaped}"""'


def plain(value: int | float | bool) -> str:
    """A number, true or false."""
    return str(value).lower() if isinstance(value, bool) else repr(value)


def key(name: str) -> str:
    """A key, quoted where it has to be."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else text(name)


def array(values: Sequence[str]) -> str:
    """A list of texts."""
    return f"[{', '.join(map(text, values))}]"


def table(values: Mapping[str, str | int]) -> str:
    """An inline table of texts and numbers."""
    pairs = (f"{key(name)} = {text(value) if isinstance(value, str) else value}" for name, value in values.items())
    return f"{{ {', '.join(pairs)} }}"
