"""One clock: `t_ns` is CLOCK_MONOTONIC of the host, in nanoseconds, which every process and container of it shares.

What arrives with somebody else's wall time is converted by an anchor: the two clocks read at one moment.
"""

from __future__ import annotations

import os
import re
import time
import uuid
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

STEP_TOLERATED_NS = 5_000_000
"""Anchors at start and end that differ by more are a trouble: the wall clock was stepped."""

_RFC3339 = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt _](\d{2}:\d{2}:\d{2})(?:[.,](\d+))?\s*(Z|z|UTC|[+-]\d{2}:?\d{2})$", re.ASCII
)
_EPOCH = re.compile(r"([+-]?)(\d+)(?:\.(\d+))?$", re.ASCII)


def now_ns() -> int:
    """CLOCK_MONOTONIC now, in nanoseconds."""
    return time.monotonic_ns()


@dataclass(frozen=True, slots=True)
class Anchor:
    """Both clocks at one moment: `t_ns` monotonic, `wall_ns` nanoseconds since the epoch."""

    t_ns: int
    wall_ns: int

    @property
    def wall_minus_mono_ns(self) -> int:
        """What to add to a `t_ns` to get wall time."""
        return self.wall_ns - self.t_ns

    def t_of_wall(self, wall_ns: int) -> int:
        """The `t_ns` of a wall time, in nanoseconds."""
        return wall_ns - self.wall_minus_mono_ns

    def stepped(self, later: Anchor) -> bool:
        """Whether the wall clock was stepped between the two by more than is tolerated."""
        return abs(later.wall_minus_mono_ns - self.wall_minus_mono_ns) > STEP_TOLERATED_NS


def take_anchor(tries: int = 5) -> Anchor:
    """Reads both clocks; of `tries` readings the tightest, so that a preemption in between does not count."""
    readings = []
    for _ in range(tries):
        before = time.monotonic_ns()
        wall = time.time_ns()
        after = time.monotonic_ns()
        readings.append((after - before, Anchor((before + after) // 2, wall)))
    return min(readings, key=lambda reading: reading[0])[1]


def parse_time(value: str | int | float) -> int:
    """Nanoseconds since the epoch of an RFC 3339 time or an epoch number, whose unit is told by its magnitude.

    Below 1e11 are seconds, below 1e14 milliseconds, below 1e17 microseconds, else nanoseconds (right for the years
    1973 to 5138). Raises ValueError for anything else, a time without its offset included: it could mean any hour.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"not a time: {value!r}")
    text = repr(value) if isinstance(value, float) else str(value).strip()
    if found := _EPOCH.match(text):
        return _epoch_ns(*found.groups())
    if isinstance(value, float) and abs(value) < 1e30:  # 1.7e+18, inf and nan do not match
        return _epoch_ns("-" if value < 0 else "", str(int(abs(value))), None)
    if found := _RFC3339.match(text):
        date, clock, fraction, offset = found.groups()
        zone = "+00:00" if offset.upper() in ("Z", "UTC") else offset
        seconds = int(datetime.fromisoformat(f"{date}T{clock}{zone}").timestamp())
        return seconds * 1_000_000_000 + _fraction_ns(fraction)
    raise ValueError(f"not a time: {value!r} is neither RFC 3339 with an offset nor an epoch number")


def _epoch_ns(sign: str, whole: str, fraction: str | None) -> int:
    number = int(whole)
    unit_ns = next((unit for below, unit in ((10**11, 10**9), (10**14, 10**6), (10**17, 10**3)) if number < below), 1)
    ns = number * unit_ns + _fraction_ns(fraction) * unit_ns // 10**9
    return -ns if sign == "-" else ns


def _fraction_ns(digits: str | None) -> int:
    return int((digits or "0")[:9].ljust(9, "0"))


def boot_id() -> bytes:
    """The 16 bytes that name this boot: a `t_ns` means nothing in another one."""
    return uuid.UUID(Path("/proc/sys/kernel/random/boot_id").read_text().strip()).bytes


def time_namespace() -> int:
    """The inode of our time namespace: in another one CLOCK_MONOTONIC has another offset. 0 where there is none."""
    try:
        return os.stat("/proc/self/ns/time").st_ino
    except FileNotFoundError:  # kernels before 5.6
        return 0
