"""Which measures a hardening's spelling switches on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.errors import UsageError, suggestion


def resolve(spec: str, switches: Sequence[str], needs: Mapping[str, Sequence[str]]) -> str:
    """`spec` ("none", "all", "a,b" or "all,-x") as "none", "all" or the measures that are on, in the switches' order.

    "all,-x" comes out as a list, so that a system under test reads three spellings and not four.
    Raises UsageError for a measure that does not exist (with the nearest) or whose base is off (with the base).
    """
    words = [word.strip() for word in spec.split(",")]
    if words in (["none"], ["all"]):
        return words[0]
    if words[0] == "all":
        on = set(switches) - {_taken_away(word, switches) for word in words[1:]}
    else:
        on = {_named(word, switches) for word in words}
    for name in switches:
        for base in needs.get(name, ()) if name in on else ():
            if base not in on:
                raise UsageError(f"{name} needs {base}, which is off", fix=f"switch {base} on, or {name} off too")
    if on == set(switches):
        return "all"
    return ",".join(name for name in switches if name in on) or "none"


def _taken_away(word: str, switches: Sequence[str]) -> str:
    if not word.startswith("-"):
        raise UsageError(f"{word!r} behind all", fix=f"all has it already; all,-{word} takes it away")
    return _named(word[1:], switches)


def _named(word: str, switches: Sequence[str]) -> str:
    if word in ("none", "all"):
        raise UsageError(f"{word!r} beside other words", fix="none stands alone, and all comes first")
    if word.startswith("-"):
        raise UsageError(f"{word!r} takes away from nothing", fix=f"write all,{word}")
    if word not in switches:
        raise UsageError(f"no measure is called {word!r}", fix=suggestion(word, switches))
    return word
