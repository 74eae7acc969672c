"""Which workloads a scenario offers, by what it names, and with how much padding."""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import UnknownName, UsageError
from harness.load.driver import Amount
from harness.system.model import SystemFile

MOST_PADDING = 16 * 1024 * 1024
"""Bytes that {pad} stands for at most."""


def amount(system: SystemFile, asked: Sequence[str], times: float, padding_bytes: int) -> Amount:
    """What `run.load` was asked for, checked. Raises UsageError, UnknownName."""
    named = list(dict.fromkeys(name for word in asked for name in _named(system, word)))
    workloads = named or [name for name, workload in system.workloads.items() if workload.usual]
    if isinstance(padding_bytes, bool) or not isinstance(padding_bytes, int) or not 0 <= padding_bytes <= MOST_PADDING:
        fix = f"a whole number, from 0 to {MOST_PADDING}"
        raise UsageError(f"padding_bytes is {padding_bytes!r:.60}", where="run.load", fix=fix)
    if padding_bytes and not any(system.workloads[name].padded for name in workloads):
        raise UsageError(
            f"there is no place for padding in {', '.join(workloads)}",
            where=system.where("workloads"),
            fix='write {pad} where it belongs, such as json = { note = "marker:{op} {pad}" }',
        )
    return Amount(times, tuple(workloads), padding_bytes)


def _named(system: SystemFile, word: str) -> list[str]:
    """The workload of that name, or else all of that kind."""
    if word in system.workloads:
        return [word]
    found = [name for name, workload in system.workloads.items() if workload.kind == word]
    if not found:
        known = [*system.workloads, *(workload.kind for workload in system.workloads.values())]
        raise UnknownName(str(word), set(known), kind="workload", where=system.where("workloads"))
    return found
