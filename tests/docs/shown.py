"""Whether what a page shows is what came back: to the word, but for what no two runs share."""

from __future__ import annotations

import re
from itertools import pairwise

CUT = "..."
VARIES = {
    "run": r"\d{8}-\d{6}-[0-9a-f]{4}",
    "digest": r"[0-9a-f]{64}",
    "operation": r"\b[0-9a-z]{8}-\d+-\d+",
    "time": r"(?:\d+ min )?(?:\d+\.\d+|\d\d+) m?s\b",
    "number": r"-?\d[\d,]*\.\d+|\d[\d,]+\d|\d\d",
    "cut": r"\.\.\.",
    "space": r"\s+",
}
"""What may be another the next time. A time or number of a single digit is a count, and is kept."""
INSTEAD = {**VARIES, "time": r"(?:\d+ min )?\d[\d.]* m?s\b", "number": r"-?\d[\d,.]*", "cut": ".*"}
PARTS = re.compile("|".join(f"(?P<{name}>{pattern})" for name, pattern in VARIES.items()))


def differs(shown: str, output: str) -> str:
    """What stands in `shown` and did not come back where it should have; empty where all did.

    A line `...` stands for any lines, `...` in a line for any text; a run, a digest, an operation, and a time or
    number of more than one digit for another of its kind.
    """
    came = [line.rstrip() for line in output.strip("\n").splitlines()]
    lines = [line.rstrip() for line in shown.strip("\n").splitlines()]
    at = 0
    for before, line in pairwise(["", *lines]):
        if line == CUT:
            continue
        end = len(came) if before == CUT else at + 1
        pattern = re.compile(_pattern(line))
        found = next((number for number in range(at, min(end, len(came))) if pattern.fullmatch(came[number])), None)
        if found is None:
            there = came[at] if at < len(came) else "nothing more"
            return f"{line!r} did not come back; there is {there!r}"
        at = found + 1
    return "" if at == len(came) or lines[-1:] == [CUT] else f"{came[at]!r} came back, and is not shown"


def _pattern(line: str) -> str:
    parts, at = [], 0
    for match in PARTS.finditer(line):
        parts += [re.escape(line[at : match.start()]), INSTEAD[str(match.lastgroup)]]
        at = match.end()
    return "".join([*parts, re.escape(line[at:])])
